//! Joins the shares of all machines into an index.
//!
//! 1. read the records: all shares of one build, each exactly once, with the same input, model and options
//! 2. lock the index's folder  3. check every shard against its record; seal the shards in the order of
//!    the input  4. token embeddings in the order of the segment  5. commit
//!
//! The shares are only read. A merge that stops before the commit leaves nothing visible to readers, and
//! starts over when run again.

use std::path::{Path, PathBuf};

use quarry_index::features::Channels;
use quarry_index::folder::{BUILD, FolderWriter};
use quarry_index::manifest::PartEntry;
use quarry_index::tokens::{self, TokenStore};
use quarry_index::{IndexError, Storage, Verify, names};
use quarry_vectors::DocId;
use serde_json::{Map, Value};

use super::make::{QUERY_TABLE, TOKENIZER, VOCABULARY};
use super::record::{Record, Tokens, tokens_path};
use crate::BuildError;
use crate::build::{Description, EncoderFiles, JOB, commit, count_done, exists, report_of};
use crate::job::{Job, Work};
use crate::options::{BuildReport, Event};
use crate::order::Rows;
use crate::seal::{SealJob, Sealed, seal};
use crate::spool::shard_path;
use crate::workspace::{self, Found};

/// Options of joining shares.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// The index folder.
    pub out: PathBuf,
    /// Replace an existing index.
    pub overwrite: bool,
    /// Bytes that buffers and sorting may take together; `None`: as when the shares were made. The bytes of
    /// tantivy's files depend on it, their content does not.
    pub memory: Option<u64>,
}

/// A finished share and its folder.
struct Given<'a> {
    folder: &'a Path,
    record: Record,
}

/// Joins the shares in `folders`, given in any order, to the index that `build` would have made in one run.
///
/// # Errors
/// If a folder holds no finished share; if a share is missing, given twice, or of a build with another
/// number of shares ([`BuildError::Shards`]); if shares are of different models, options or inputs
/// ([`BuildError::ShardMismatch`]); if an id occurs twice, in one share or in two; if a file is damaged; if
/// an index or an unfinished build is in `options.out`, or writing fails. Nothing is visible then.
pub fn join(
    folders: &[PathBuf],
    options: &JoinOptions,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<BuildReport, BuildError> {
    let given = read_all(folders)?;
    let Some(first) = given.first() else {
        return Err(BuildError::Shards { what: "no shards are given".to_owned() });
    };
    let record = &first.record;
    let mut folder = FolderWriter::create(&options.out, &workspace::mark)?;
    let build = folder.storage().path(BUILD);
    if let Some(current) = folder.current()
        && !options.overwrite
    {
        if current.build.get(JOB).and_then(Value::as_object) == Some(&record.facts) {
            return Ok(BuildReport { already_complete: true, ..report_of(current) });
        }
        return Err(exists(current, &options.out));
    }
    match workspace::look(&build)? {
        Found::Ours(job) if job.work() == Work::Build && !options.overwrite => {
            let documents = count_done(&build)?;
            return Err(BuildError::Interrupted { path: options.out.clone(), documents });
        }
        Found::Foreign(name) => return Err(workspace::foreign(&build, name)),
        Found::Ours(_) | Found::Nothing => workspace::clear(&build)?,
    }
    folder.collect()?;
    workspace::begin(&build, &Job::change())?;
    let shards = shards(&given)?;
    let memory = options.memory.unwrap_or(record.memory);
    let seal_options = record.sealing.options(memory);
    seal_options.check()?;
    let vocabulary = vocabulary(first)?;
    let identity = record.facts.get("encoder").unwrap_or(&Value::Null);
    let encoded = !identity.is_null();
    let job = SealJob {
        storage: folder.storage(),
        build: &build,
        shards: &shards,
        options: &seal_options,
        tokens: vocabulary.as_ref(),
        ids_are_unique: record.sealing.ids_are_unique,
        kept: None,
        channels: Channels { sparse: encoded, bm25: encoded },
    };
    let mut sealed = seal(job, progress)?;
    if let Some(tokens) = record.tokens.as_ref().filter(|_| sealed.totals.rows > 0) {
        let part = write_tokens(folder.storage(), &sealed, (&given, &shards), tokens, progress)?;
        sealed.segment.parts.push(part);
    }
    let tokenizer = record.file(first.folder, TOKENIZER)?;
    let query_table = record.file(first.folder, QUERY_TABLE)?;
    let kept = encoded.then_some(EncoderFiles {
        identity,
        tokenizer: tokenizer.as_deref(),
        query_table: query_table.as_deref(),
    });
    let tokens = record.tokens.as_ref().map(|tokens| tokens.options.kept(tokens.dims));
    let built = Description { options: &record.description, facts: &record.facts };
    let report = commit(&mut folder, sealed, (&seal_options, built), (kept, tokens))?;
    workspace::clear(&build)?;
    folder.collect()?;
    let truncated = given.iter().map(|g| g.record.truncated).sum();
    Ok(BuildReport { truncated, ..report })
}

/// Reads and compares the records; returns the shares in order.
fn read_all(folders: &[PathBuf]) -> Result<Vec<Given<'_>>, BuildError> {
    let mut given: Vec<Option<Given<'_>>> = Vec::new();
    let mut first: Option<(&Path, usize)> = None;
    let wrong = |what: String| Err(BuildError::Shards { what });
    for folder in folders {
        let folder = folder.as_path();
        let Some(record) = Record::read(folder)? else {
            let unfinished = folder.join(crate::job::FILE).is_file();
            let what = if unfinished {
                "its shard of a build is not finished; `quarry index --shard` with --resume continues it"
            } else {
                "it holds no shard of a build; `quarry index --shard I/N` makes one"
            };
            return Err(BuildError::NotAShard {
                path: folder.to_path_buf(),
                what: what.to_owned(),
            });
        };
        let share = record.share(folder)?;
        let (of_first, of) = *first.get_or_insert((folder, share.of()));
        if share.of() != of {
            return wrong(format!(
                "{} is shard {share}, {} one of {of}: they belong to different builds",
                folder.display(),
                of_first.display()
            ));
        }
        given.resize_with(of, || None);
        let slot = &mut given[share.number() - 1];
        if let Some(other) = slot {
            return wrong(format!(
                "shard {share} is given twice: {} and {}",
                other.folder.display(),
                folder.display()
            ));
        }
        *slot = Some(Given { folder, record });
    }
    let missing: Vec<String> = (1..)
        .zip(&given)
        .filter(|(_, slot)| slot.is_none())
        .map(|(number, _)| format!("{number}/{}", given.len()))
        .collect();
    if !missing.is_empty() {
        return wrong(format!("shard {} is missing", missing.join(", ")));
    }
    let given: Vec<Given<'_>> = given.into_iter().flatten().collect();
    for other in given.iter().skip(1) {
        compare(&given[0], other)?;
    }
    Ok(given)
}

/// Fails if two shares are of different builds.
fn compare(first: &Given<'_>, other: &Given<'_>) -> Result<(), BuildError> {
    let sides = [first, other].map(|given| {
        let record = &given.record;
        let mut facts = record.facts.clone();
        if let Some(source) = facts.get_mut("source").and_then(Value::as_object_mut) {
            // The same files may have different paths on each machine.
            for path in ["input", "vocab", "texts", "doc_ids"] {
                source.remove(path);
            }
        }
        let value = |value: serde_json::Result<Value>| value.unwrap_or(Value::Null);
        let more = [
            ("input", value(serde_json::to_value(&record.input))),
            ("options", value(serde_json::to_value(&record.sealing))),
            ("token embeddings", value(serde_json::to_value(&record.tokens))),
            ("files of the model", value(serde_json::to_value(&record.files))),
        ];
        facts.extend(more.map(|(name, value)| (name.to_owned(), value)));
        facts
    });
    let [ours, theirs]: [Map<String, Value>; 2] = sides;
    for what in ours.keys().chain(theirs.keys()) {
        let (a, b) = (ours.get(what), theirs.get(what));
        if a != b {
            let text = |value: Option<&Value>| value.map_or("absent".into(), Value::to_string);
            return Err(BuildError::ShardMismatch {
                shard: other.record.shard.clone(),
                path: other.folder.to_path_buf(),
                first: first.folder.to_path_buf(),
                difference: format!("its `{what}` is {}, there it is {}", text(b), text(a)),
            });
        }
    }
    Ok(())
}

/// The paths of all shards in the order of the input; each must be the file named in its record.
fn shards(given: &[Given<'_>]) -> Result<Vec<PathBuf>, BuildError> {
    let whole = given.first().map_or(0, |first| first.record.input.shards);
    let mut paths = Vec::new();
    for number in 0..whole {
        let Given { folder, record } = &given[number % given.len()];
        let path = shard_path(folder, number);
        let Some(spooled) = record.shards.get(&number) else {
            let what = format!("the record lacks shard {number}");
            return Err(IndexError::corrupt(folder, what).into());
        };
        let shard = crate::spool::Shard::open(&path)?;
        if quarry_index::container::hex(shard.checksum()) != spooled.checksum {
            let what = "it is not the file that the record names";
            return Err(IndexError::corrupt(&path, what).into());
        }
        paths.push(path);
    }
    Ok(paths)
}

fn vocabulary(first: &Given<'_>) -> Result<Option<Vec<String>>, BuildError> {
    let bytes = first.record.file(first.folder, VOCABULARY)?;
    let parsed = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
    let path = first.folder.join(VOCABULARY);
    Ok(parsed.map_err(|e| IndexError::corrupt(&path, e.to_string()))?)
}

/// Writes the token embeddings of a sealed segment from those that the shares hold per shard.
fn write_tokens(
    storage: &Storage,
    sealed: &Sealed,
    (given, shards): (&[Given<'_>], &[PathBuf]),
    wanted: &Tokens,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<PartEntry, BuildError> {
    let rows = Rows::open(shards)?;
    let mut stores = Vec::with_capacity(shards.len());
    for number in 0..shards.len() {
        let path = tokens_path(given[number % given.len()].folder, number);
        let store = TokenStore::open(&path, Verify::Full)?;
        let source = &store.meta().source;
        if store.documents() != rows.shard(number)?.len() || *source != wanted.options.source {
            let what = "token embeddings of another shard, or of another encoder";
            return Err(IndexError::corrupt(&path, what).into());
        }
        stores.push(store);
    }
    let place = |doc: DocId| {
        let row = sealed.order.as_ref().map_or(doc.index(), |o| o.rows()[doc.index()] as usize);
        rows.find(row)
    };
    let id = |doc: DocId| {
        let (shard, at) = place(doc);
        let view = rows.shard(shard).ok();
        view.and_then(|view| view.iter().nth(at)).map_or_else(String::new, |row| row.id.to_owned())
    };
    let mut read: crate::update::tokens::Reader<'_> = Box::new(|doc| {
        let (shard, at) = place(doc);
        Ok(stores[shard].document(DocId(u32::try_from(at).unwrap_or(u32::MAX)))?)
    });
    let file = names::next_part(sealed.segment.id, tokens::KIND);
    let of = crate::update::tokens::Rows { documents: rows.len(), dims: wanted.dims, id: &id };
    let to = (storage.path(&file), &mut None);
    let written = crate::update::tokens::write(to, &of, &wanted.options, &mut read, progress)?;
    Ok(PartEntry::new(tokens::KIND, tokens::VERSION, &file, written, false))
}
