//! Makes one machine's share of a build.
//!
//! 1. lock the folder; refuse, resume or start afresh  2. read all documents and make the shards that
//!    belong to this share (`ingest.rs`)  3. token embeddings of their texts, if wanted  4. the encoder's
//!    files that an index keeps  5. the record, last
//!
//! An interrupted run can be resumed after its last complete shard.

use std::fs;
use std::path::Path;

use quarry_index::container::hex;
use quarry_index::folder::{LOCK, lock};
use quarry_index::names::{is_numbered, is_temporary};
use quarry_index::storage::create_folder;
use quarry_index::text::StoredDocument;
use quarry_index::{IndexError, Storage};
use quarry_vectors::{Document, EncodeTokens};
use serde::Serialize;
use serde_json::{Value, json};

use super::Share;
use super::record::{Input, RECORD, Record, Spooled, Tokens, tokens_path};
use crate::BuildError;
use crate::ingest::{Reading, ingest};
use crate::job::Job;
use crate::options::{BuildOptions, EncoderSetup, Event};
use crate::spool::{Shard, shard_path};
use crate::terms::Known;
use crate::update::tokens::{TokenOptions, encode_shard, encoded_before};

/// Names of the files beside the record.
pub(super) const VOCABULARY: &str = "vocabulary.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const QUERY_TABLE: &str = "query-table.json";

/// The result of making a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShareReport {
    /// Which share, as `2/3`.
    pub shard: String,
    /// Documents in the whole input.
    pub input_documents: u64,
    /// Documents in this share.
    pub documents: u64,
    /// Rows in this share: more than documents if texts were split into passages.
    pub rows: u64,
    /// Documents taken over from an interrupted run.
    pub resumed_documents: u64,
    /// Passages cut off at the encoder's longest input, in this run.
    pub truncated: u64,
    /// Whether the share was already complete, so that nothing was done.
    pub already_complete: bool,
}

/// Makes one share of the index that `build` would make from the same arguments, in the folder
/// `options.out`. With `tokens`, it also makes the token embeddings that `add_tokens` would add.
///
/// All documents are read, and their ids checked for repetition as far as this machine can see; only the
/// share's own documents are encoded. Cost: reading everything, encoding one of `share.of()` parts. Disk:
/// vectors with four bytes per weight, texts compressed.
///
/// # Errors
/// The errors of `build`; also if the folder already holds a share or foreign files.
pub fn build_share<I, E>(
    documents: I,
    encoder: Option<&EncoderSetup<'_>>,
    (options, share): (&BuildOptions, Share),
    tokens: Option<(&dyn EncodeTokens, &TokenOptions)>,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<ShareReport, BuildError>
where
    I: IntoIterator<Item = Result<Document, E>>,
    I::IntoIter: Send,
    E: std::error::Error + Send + Sync + 'static,
{
    options.check()?;
    if let Some((_, options)) = tokens {
        options.check()?;
    }
    let folder = options.out.as_path();
    create_folder(folder)?;
    let _lock = lock(folder, &mut || check_folder(folder))?;
    let job = Job::new(options, encoder);
    let mut record = Record::new(share, job.facts().clone(), options);
    record.tokens =
        tokens.map(|(encoder, options)| Tokens { dims: encoder.dims(), options: options.clone() });
    let marked = job.with("shard", json!(share.to_string())).with("tokens", json!(record.tokens));
    if let Some(report) = prepare(&marked, &record, options)? {
        return Ok(report);
    }
    marked.write(folder)?;
    let ingested = ingest(
        documents,
        encoder,
        (Reading::of(options), &Known::Nothing),
        (folder, Some(share)),
        progress,
    )?;
    record.truncated = ingested.truncated;
    record.input = Input {
        documents: ingested.documents,
        shards: ingested.shards,
        digest: hex(ingested.digest),
    };
    let own = (0..ingested.shards).filter(|number| share.owns(*number));
    for number in own {
        let shard = Shard::open(&shard_path(folder, number))?;
        if let Some(tokens) = tokens {
            encode_tokens(&shard, (folder, number), tokens, progress)?;
        }
        record.shards.insert(
            number,
            Spooled {
                documents: shard.meta.documents,
                rows: shard.meta.rows,
                checksum: hex(shard.checksum()),
            },
        );
    }
    let names = encoder.map(|e| &e.tokens).or(options.ingest.vocabulary.as_ref());
    if let Some(names) = names {
        let bytes = serde_json::to_vec(names)
            .map_err(|e| IndexError::corrupt(&folder.join(VOCABULARY), e.to_string()))?;
        record.add_file(folder, VOCABULARY, &bytes)?;
    }
    if let Some(setup) = encoder {
        for (name, bytes) in [(TOKENIZER, &setup.tokenizer), (QUERY_TABLE, &setup.query_table)] {
            if let Some(bytes) = bytes {
                record.add_file(folder, name, bytes)?;
            }
        }
    }
    record.write(folder)?;
    let path = folder.join(crate::job::FILE);
    fs::remove_file(&path).map_err(IndexError::io(&path))?;
    Ok(ShareReport { resumed_documents: ingested.resumed_documents, ..report_of(&record) })
}

fn report_of(record: &Record) -> ShareReport {
    ShareReport {
        shard: record.shard.clone(),
        input_documents: record.input.documents,
        documents: record.shards.values().map(|s| s.documents).sum(),
        rows: record.shards.values().map(|s| s.rows).sum(),
        resumed_documents: 0,
        truncated: record.truncated,
        already_complete: false,
    }
}

/// Refuses a folder that no earlier run made: without the record of a finished or unfinished share it
/// must be empty, and with one it may only hold files of a share.
fn check_folder(folder: &Path) -> Result<(), BuildError> {
    let marked = Record::read(folder)?.is_some() || Job::read(folder)?.is_some();
    let is_nothing = |name: &str| {
        let path = folder.join(name);
        let empty = || fs::symlink_metadata(&path).is_ok_and(|m| m.is_file() && m.len() == 0);
        (name == LOCK && empty()) || (is_temporary(name) && Job::is_begun(&path))
    };
    let other = Storage::of(folder)
        .names()?
        .into_iter()
        .find(|name| if marked { !is_ours(name) } else { !is_nothing(name) });
    match other {
        None => Ok(()),
        Some(other) => Err(BuildError::NotAShard {
            path: folder.to_path_buf(),
            what: format!("the folder holds other files, such as `{other}`; choose another --out"),
        }),
    }
}

/// Decides what to do with what the folder holds. Returns a report when there is nothing left to do.
fn prepare(
    job: &Job,
    record: &Record,
    options: &BuildOptions,
) -> Result<Option<ShareReport>, BuildError> {
    let folder = options.out.as_path();
    let (done, begun) = (Record::read(folder)?, Job::read(folder)?);
    if let Some(done) = done {
        let same = done.shard == record.shard
            && done.facts == record.facts
            && done.sealing == record.sealing
            && done.tokens == record.tokens;
        if options.resume && same {
            return Ok(Some(ShareReport { already_complete: true, ..report_of(&done) }));
        }
        if !options.overwrite {
            return Err(BuildError::ShardExists { path: folder.to_path_buf(), shard: done.shard });
        }
    } else if let Some(begun) = &begun {
        if options.resume {
            begun.check_same(job, folder)?;
            return Ok(None);
        }
        if !options.overwrite {
            let mut documents = 0;
            for name in
                Storage::of(folder).names()?.iter().filter(|n| is_numbered(n, "shard-", ".qry"))
            {
                documents += Shard::open(&folder.join(name))?.meta.documents;
            }
            return Err(BuildError::Interrupted { path: folder.to_path_buf(), documents });
        }
    }
    // All files are ours (`check_folder`). The records go last, so that the folder is still recognised as
    // ours after a crash.
    let is_mark = |name: &str| [RECORD, crate::job::FILE].contains(&name);
    let names = Storage::of(folder).names()?;
    let (marks, files): (Vec<_>, Vec<_>) =
        names.iter().filter(|name| *name != LOCK).partition(|name| is_mark(name));
    for name in files.into_iter().chain(marks) {
        let path = folder.join(name);
        fs::remove_file(&path).map_err(IndexError::io(&path))?;
    }
    Ok(None)
}

/// Whether making a share uses this file name.
fn is_ours(name: &str) -> bool {
    [LOCK, RECORD, crate::job::FILE, VOCABULARY, TOKENIZER, QUERY_TABLE].contains(&name)
        || is_numbered(name, "shard-", ".qry")
        || is_numbered(name, "tokens-", ".qry")
        || is_temporary(name)
}

/// Encodes the texts of a shard into token embeddings, unless an earlier run did.
fn encode_tokens(
    shard: &Shard,
    (folder, number): (&Path, usize),
    (encoder, options): (&dyn EncodeTokens, &TokenOptions),
    progress: &(dyn Fn(Event) + Sync),
) -> Result<(), BuildError> {
    let path = tokens_path(folder, number);
    let view = shard.view()?;
    if encoded_before(&path, view.len(), encoder.dims(), &options.source)? {
        return Ok(());
    }
    progress(Event::Stage { name: "token encoding", total: view.len() as u64 });
    let ids: Vec<&str> = view.iter().map(|row| row.id).collect();
    let texts = shard.stored()?;
    let stored = |at: usize| {
        if texts[at].is_empty() {
            return Ok(StoredDocument::default());
        }
        serde_json::from_str(&texts[at])
            .map_err(|e| IndexError::corrupt(&path, format!("stored document: {e}")).into())
    };
    let id = |at: usize| ids[at].to_owned();
    let done = |at: usize| progress(Event::Step { done: at as u64 });
    let source: &Value = &options.source;
    encode_shard(&path, view.len(), (&stored, &id), (encoder, source), &done)
}
