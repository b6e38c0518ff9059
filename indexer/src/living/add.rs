//! Documents are added: a new segment; documents of the same ids in older segments are deleted.
//!
//! 1. take the index; the encoder must be the one that it was built with  2. shards, as in a build;
//!    documents that have only their place in a file go on after the highest number (`Numbers`)
//! 3. of documents with one id the last stays  4. seal  5. mark what is replaced  6. commit
//!
//! Cost: that of a build of the new documents, and looking up their ids.

use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use quarry_index::lexicon;
use quarry_index::{Index, IndexError};
use quarry_vectors::{DocId, Document, SparseVector};
use serde_json::Value;
use uuid::Uuid;

use super::{Deletions, Opened};
use crate::BuildError;
use crate::build::{fields_of, remove_build};
use crate::fields::joined;
use crate::ingest::ingest;
use crate::options::{BuildOptions, EncoderSetup, Event};
use crate::seal::{Kept, SealJob, seal};
use crate::spool::{self, Shard, ShardMeta, SpoolDoc, shard_path, shard_paths};
use crate::terms::{Grown, Known};

/// What was added.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AddReport {
    /// The generation that is current now; the one before when nothing was added.
    pub generation: u64,
    /// Documents added, those that replaced others among them.
    pub added: u64,
    /// Documents that were replaced.
    pub replaced: u64,
    /// Documents of the batch that a later one of the same id took the place of.
    pub repeated: u64,
    /// Documents whose vector is empty.
    pub empty_vectors: u64,
    /// Passages cut at the encoder's longest input.
    pub truncated: u64,
    /// Where the documents' file names none: the number that became the first one's id.
    pub numbered_from: Option<u64>,
}

/// Adds `documents` to the index in `options.out`; those whose id is there replace the old ones. Those
/// whose file names none ([`Document::numbered`]) never do: they go on after the index's highest number.
/// Lists, memory and splitting are as `options` and `encoder` say, as in a build.
///
/// # Errors
/// When there is no index, another process writes there or an unfinished build lies there; when the
/// index was built with another encoder, or with one and none is given; when documents have no ids and the
/// index's ids are names, or terms by number and its terms names; when an input is bad; when the encoder or
/// the disk fails. Nothing is added then.
pub fn add<I, E>(
    documents: I,
    encoder: Option<&EncoderSetup<'_>>,
    options: &BuildOptions,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<AddReport, BuildError>
where
    I: IntoIterator<Item = Result<Document, E>>,
    I::IntoIter: Send,
    E: std::error::Error + Send + Sync + 'static,
{
    let folder = options.out.as_path();
    encoder.map_or(Ok(()), EncoderSetup::check)?;
    let Opened { mut writer, index, build } = Opened::take(folder)?;
    check_encoder(&index, encoder)?;
    std::fs::create_dir_all(&build).map_err(IndexError::io(&build))?;
    let known = Known::of(&index);
    // Repeated ids are sorted out below: the last of a batch stays.
    let fields = joined(&index.manifest().fields, &options.fields)?;
    let options = BuildOptions { ids_are_unique: true, fields, ..options.clone() };
    let numbers = Numbers::new(&index);
    let documents = documents.into_iter().map(|document| {
        let mut document = document.map_err(|e| BuildError::Input(Box::new(e)))?;
        numbers.name(&mut document)?;
        Ok::<_, BuildError>(document)
    });
    let ingested = ingest(documents, encoder, (&options, &known), (&build, None), progress)?;
    let repeated = drop_repeated(&build, ingested.shards)?;
    let generation = index.manifest().generation;
    let mut report = AddReport {
        generation,
        added: ingested.documents - repeated,
        replaced: 0,
        repeated,
        empty_vectors: 0,
        truncated: ingested.truncated,
        numbered_from: numbers.first.get().copied(),
    };
    if ingested.documents == 0 {
        remove_build(&build)?;
        return Ok(report);
    }
    let met = Met::of(&build, ingested.shards)?;
    let list = encoder.map(|e| &e.tokens).or(options.vocabulary.as_ref()).map(Vec::as_slice);
    let grown = Grown::of(&known, list, (&met.tokens, &met.numbers, met.dimension));
    let job = SealJob {
        folder,
        build: &build,
        shards: &shard_paths(&build, ingested.shards),
        options: &options,
        tokens: encoder.map(|e| &e.tokens),
        kept: Some(Kept {
            dimension: grown.len()?,
            quantization: None,
            has_text: !index.segments().is_empty() && index.has_text(),
        }),
    };
    check_kind(&index, met.has_vectors)?;
    let mut deletions = Deletions::new(index.segments());
    for number in 0..ingested.shards {
        let shard = Shard::open(&shard_path(&build, number))?;
        for row in shard.view()?.iter() {
            deletions.delete(row.id);
        }
    }
    let sealed = seal(job, progress)?;
    report.replaced = deletions.count();
    report.empty_vectors = sealed.totals.empty_vectors;
    let mut manifest = index.manifest().clone();
    deletions.write(folder, &mut manifest.segments)?;
    let terms = index.lexicon().map_or(0, lexicon::Lexicon::len);
    if met.has_vectors && (grown.len()? > terms || index.lexicon().is_none()) {
        let file = format!("{}-{}.qry", Uuid::new_v4().simple(), lexicon::KIND);
        manifest.assets.retain(|asset| asset.kind != lexicon::KIND);
        manifest.assets.push(grown.write(folder, &file)?);
    }
    manifest.fields = fields_of(&options, &sealed.totals);
    manifest.segments.push(sealed.segment);
    drop(index);
    report.generation = writer.commit(manifest)?.generation;
    remove_build(&build)?;
    writer.collect()?;
    Ok(report)
}

/// An index built with an encoder takes documents encoded by the same one alone.
fn check_encoder(index: &Index, encoder: Option<&EncoderSetup<'_>>) -> Result<(), BuildError> {
    let built_with = index.manifest().encoders.get("sparse").unwrap_or(&Value::Null);
    let given = encoder.map_or(&Value::Null, |e| &e.identity);
    if built_with == given {
        return Ok(());
    }
    Err(BuildError::OtherEncoder {
        path: index.folder().to_path_buf(),
        built_with: built_with.to_string(),
        given: given.to_string(),
    })
}

/// Documents with vectors go to an index of vectors, others to one of words.
fn check_kind(index: &Index, has_vectors: bool) -> Result<(), BuildError> {
    let has = index.segments().iter().any(|s| s.forward().is_some());
    if index.segments().is_empty() || has == has_vectors {
        return Ok(());
    }
    Err(BuildError::OtherKind { path: index.folder().to_path_buf(), has_vectors: has })
}

/// Ids for documents that have only their place in a file: they go on after the index's highest number,
/// so that none takes another's place. Deleted documents count, as long as their rows are there.
struct Numbers<'a> {
    index: &'a Index,
    first: OnceLock<u64>,
    given: AtomicU64,
}

impl<'a> Numbers<'a> {
    fn new(index: &'a Index) -> Self {
        Self { index, first: OnceLock::new(), given: AtomicU64::new(0) }
    }

    fn name(&self, document: &mut Document) -> Result<(), BuildError> {
        if !document.numbered {
            return Ok(());
        }
        let first = match self.first.get() {
            Some(first) => *first,
            None => {
                let first = after_highest(self.index)?;
                *self.first.get_or_init(|| first)
            }
        };
        let number = first.checked_add(self.given.fetch_add(1, Ordering::Relaxed));
        let number = number.ok_or_else(|| no_numbers(self.index, &first.to_string()))?;
        document.id = number.to_string();
        Ok(())
    }
}

/// The number after the highest of an index whose ids are numbers. Cost: one pass over its ids.
fn after_highest(index: &Index) -> Result<u64, BuildError> {
    let mut next = 0;
    for segment in index.segments() {
        let table = segment.documents();
        for row in 0..u32::try_from(table.len()).unwrap_or(u32::MAX) {
            let id = table.id(DocId(row));
            let number = id.parse::<u64>().ok().filter(|n| n.to_string() == id);
            let after = number.and_then(|n| n.checked_add(1));
            next = next.max(after.ok_or_else(|| no_numbers(index, id))?);
        }
    }
    Ok(next)
}

fn no_numbers(index: &Index, id: &str) -> BuildError {
    BuildError::NoIds { path: index.folder().to_path_buf(), id: id.to_owned() }
}

/// What the shards of a batch met.
#[derive(Debug, Default)]
struct Met {
    tokens: Vec<String>,
    numbers: Vec<u32>,
    dimension: u32,
    has_vectors: bool,
}

impl Met {
    fn of(build: &Path, shards: usize) -> Result<Self, BuildError> {
        let mut met = Self::default();
        for number in 0..shards {
            let meta = Shard::open(&shard_path(build, number))?.meta;
            met.dimension = met.dimension.max(meta.dimension);
            met.has_vectors |= meta.has_vectors;
            met.tokens.extend(meta.new_tokens);
            met.numbers.extend(meta.new_numbers);
        }
        Ok(met)
    }
}

/// Leaves the last document of each id in the shards; says how many went. Shards that change are
/// written anew.
fn drop_repeated(build: &Path, shards: usize) -> Result<u64, BuildError> {
    // Of each id the number of its last document; rows of a document follow each other.
    let mut last: HashMap<String, u64> = HashMap::new();
    let mut documents = 0;
    for number in 0..shards {
        let shard = Shard::open(&shard_path(build, number))?;
        for row in
            shard.view()?.iter().filter(|r| r.passage.as_ref().is_none_or(|p| p.ordinal == 0))
        {
            last.insert(row.id.to_owned(), documents);
            documents += 1;
        }
    }
    let repeated = documents - last.len() as u64;
    if repeated == 0 {
        return Ok(0);
    }
    let (mut next, mut kept) = (0, Vec::new());
    for number in 0..shards {
        let path = shard_path(build, number);
        let shard = Shard::open(&path)?;
        kept.clear();
        let mut current = 0;
        for (row, stored) in shard.view()?.iter().zip(shard.stored()?) {
            if row.passage.as_ref().is_none_or(|p| p.ordinal == 0) {
                (current, next) = (next, next + 1);
            }
            if last.get(row.id) == Some(&current) {
                let pairs = row.terms.iter().copied().zip(row.weights.iter().copied());
                let vector = SparseVector::from_pairs(pairs).map_err(|source| {
                    BuildError::Vector { id: row.id.to_owned(), line: row.line, source }
                })?;
                kept.push(SpoolDoc {
                    id: row.id.to_owned(),
                    line: row.line,
                    passage: row.passage.clone(),
                    stored,
                    vector,
                    origins: row.origins.to_vec(),
                });
            }
        }
        if kept.len() < shard.view()?.len() {
            // Counts are of what is kept; the rest holds for more than is.
            let meta = ShardMeta {
                documents: kept.iter().filter(|d| d.is_first()).count() as u64,
                rows: kept.len() as u64,
                components: kept.iter().map(|d| d.vector.len() as u64).sum(),
                empty_vectors: kept.iter().filter(|d| d.vector.is_empty()).count() as u64,
                ..shard.meta.clone()
            };
            drop(shard);
            std::fs::remove_file(&path).map_err(IndexError::io(&path))?;
            spool::write(&path, &kept, &meta, true)?;
        }
    }
    Ok(repeated)
}
