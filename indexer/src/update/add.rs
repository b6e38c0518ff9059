//! Adds documents: they become a new segment, and documents with the same ids in older segments are deleted.
//!
//! 1. take the index; encoder, passages and origins must be those that it was built with (`rules.rs`)
//! 2. shards, as in a build; documents that have only their place in a file are numbered on (`numbers.rs`)
//! 3. of documents with one id the last stays  4. seal, with the lists that the
//!    index has  5. token embeddings and dense vectors, where the index has them  6. mark what is replaced  7. commit
//! 8. merge the smallest segments, where there are many
//!
//! Cost: that of a build of the new documents, and looking up their ids.

use std::collections::HashMap;
use std::path::Path;

use quarry_index::doctable::{self, DocTable};
use quarry_index::features::{Channels, Features};
use quarry_index::folder::read_current;
use quarry_index::lexicon;
use quarry_index::manifest::{PartEntry, SegmentEntry};
use quarry_index::{Index, IndexError, Segment, Storage, Verify, names};
use quarry_vectors::{DocId, Document, SparseVector};
use serde_json::json;
use uuid::Uuid;

use super::dense::{self, DenseInput};
use super::merge::{MOST_SEGMENTS, Merge, MergeReport, merge};
use super::numbers::Numbers;
use super::rules::{Adding, AsBuilt};
use super::tokens::{Place, TokenInput, centroids_of};
use super::{Checked, Deletions, IndexWriter};
use crate::BuildError;
use crate::build::fields_of;
use crate::fields::joined;
use crate::ingest::{Reading, ingest};
use crate::job::Job;
use crate::options::{EncoderSetup, Event, IngestOptions, Lists, SealOptions, WordLists};
use crate::seal::{Kept, SealJob, seal};
use crate::spool::{self, Shard, ShardMeta, SpoolDoc, shard_path, shard_paths};
use crate::terms::{Grown, Known};
use crate::unseal::versions_part;

/// The result of adding documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct AddReport {
    /// The current generation afterwards; unchanged if nothing was added.
    pub generation: u64,
    /// Documents added, including those that replaced others.
    pub added: u64,
    /// Documents replaced.
    pub replaced: u64,
    /// Given documents that a later one with the same id replaced.
    pub repeated: u64,
    /// Added documents with an empty vector.
    pub empty_vectors: u64,
    /// Passages cut off at the encoder's longest input.
    pub truncated: u64,
    /// For documents without ids: the number that became the id of the first.
    pub numbered_from: Option<u64>,
    /// The merge that followed, if there was one.
    pub merged: Option<MergeReport>,
}

/// Adds `documents` to the index in `adding.folder`; a document whose id exists replaces the old one.
/// Documents without ids of their own ([`Document::numbered`]) never replace any: they are numbered after
/// the highest number. Added documents get what the index has: passages, origins, lists, token embeddings.
///
/// # Errors
/// If there is no index, another process writes to it or it holds an unfinished build; if the encoder,
/// passages, provenance, lists or token encoder differ from what the index was built with; if documents
/// have no ids but the index's ids are names, or have terms by number but its terms have names; if an input
/// is invalid; if a file that is read is damaged; if the encoder or writing fails. Nothing is added then.
/// [`BuildError::NotMerged`] if the documents were added and only the merge failed.
pub fn add<I, E>(
    documents: I,
    encoder: Option<&EncoderSetup<'_>>,
    adding: &Adding<'_>,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<AddReport, BuildError>
where
    I: IntoIterator<Item = Result<Document, E>>,
    I::IntoIter: Send,
    E: std::error::Error + Send + Sync + 'static,
{
    let folder = adding.folder;
    adding.ingest.check()?;
    encoder.map_or(Ok(()), EncoderSetup::check)?;
    // Check what a merge would copy before anything is added.
    let merges = adding.merge && read_current(folder)?.0.segments.len() >= MOST_SEGMENTS;
    let mut report = commit(documents, encoder, (adding, merges), progress)?;
    if adding.merge && report.added > 0 {
        let memory = adding.seal.memory;
        report.merged = merge(folder, Merge::Policy, memory, progress).map_err(|source| {
            BuildError::NotMerged { generation: report.generation, source: Box::new(source) }
        })?;
        report.generation = report.merged.map_or(report.generation, |merged| merged.generation);
    }
    Ok(report)
}

/// Commits the documents as a segment.
fn commit<I, E>(
    documents: I,
    encoder: Option<&EncoderSetup<'_>>,
    (adding, merges): (&Adding<'_>, bool),
    progress: &(dyn Fn(Event) + Sync),
) -> Result<AddReport, BuildError>
where
    I: IntoIterator<Item = Result<Document, E>>,
    I::IntoIter: Send,
    E: std::error::Error + Send + Sync + 'static,
{
    let folder = adding.folder;
    let checked = if merges { Checked::All } else { Checked::Rewritten };
    let writer = IndexWriter::take(folder, checked, |_| false)?;
    let (index, build) = (writer.index(), writer.build());
    AsBuilt::of(index).check(encoder, folder)?;
    check_lists(adding.seal, index.features(), folder)?;
    let embed = adding.tokens_of(index)?;
    let dense = adding.dense_of(index)?;
    writer.begin(&Job::change())?;
    let known = Known::of(index);
    // Repeated ids are resolved below: the last document stays.
    let ingest_options = IngestOptions { ids_are_unique: true, ..adding.ingest.clone() };
    let fields = joined(&index.manifest().fields, &adding.seal.fields)?;
    let mut options = SealOptions { fields, ..adding.seal.clone() };
    let numbers = Numbers::new(index);
    let documents = documents.into_iter().map(|document| {
        let mut document = document.map_err(|e| BuildError::Input(Box::new(e)))?;
        numbers.name(&mut document)?;
        Ok::<_, BuildError>(document)
    });
    let reading = Reading { ingest: &ingest_options, fields: &options.fields, out: folder };
    let ingested = ingest(documents, encoder, (reading, &known), (build, None), progress)?;
    let repeated = drop_repeated(build, ingested.shards)?;
    let mut report = AddReport {
        generation: index.manifest().generation,
        added: ingested.documents - repeated,
        repeated,
        truncated: ingested.truncated,
        numbered_from: numbers.first(),
        ..AddReport::default()
    };
    if ingested.documents == 0 {
        writer.leave()?;
        return Ok(report);
    }
    let met = Met::of(build, ingested.shards)?;
    let channels = met.channels(index, encoder)?;
    let list = encoder.map(|e| &e.tokens).or(ingest_options.vocabulary.as_ref());
    let of_batch = (met.tokens.as_slice(), met.numbers.as_slice(), met.dimension);
    let grown = Grown::of(&known, list.map(Vec::as_slice), of_batch);
    as_the_index_has_them(&mut options, index.features(), met.rows);
    let job = SealJob {
        storage: writer.storage(),
        build,
        shards: &shard_paths(build, ingested.shards),
        options: &options,
        tokens: list,
        ids_are_unique: true,
        kept: Some(Kept { dimension: grown.len()?, stored: None }),
        channels,
    };
    let mut deletions = Deletions::new(index.segments());
    for number in 0..ingested.shards {
        let shard = Shard::open(&shard_path(build, number))?;
        for row in shard.view()?.iter() {
            deletions.delete(row.id);
        }
    }
    let mut sealed = seal(job, progress)?;
    if let Some((encoder, how)) = &embed {
        let segment = Segment::open(writer.storage(), &sealed.segment, Verify::Envelope)?;
        let at = Place { storage: writer.storage(), build, segment: &segment };
        let mut input = TokenInput::Encoder(*encoder);
        let part = at.write(&mut input, how, &mut centroids_of(index), progress)?;
        sealed.segment.parts.push(part);
    }
    if let Some((encoder, kept)) = &dense {
        let segment = Segment::open(writer.storage(), &sealed.segment, Verify::Envelope)?;
        let at = dense::Place { storage: writer.storage(), build, segment: &segment };
        let part = at.write(kept, &mut DenseInput::Encoder(*encoder), progress)?;
        sealed.segment.parts.push(part);
    }
    if let Some(versions) = adding.versions {
        let part = of_ids(writer.storage(), &sealed.segment, versions)?;
        sealed.segment.parts.push(part);
    }
    report.replaced = deletions.count();
    report.empty_vectors = sealed.totals.empty_vectors;
    let mut manifest = index.manifest().clone();
    deletions.write(writer.storage(), &mut manifest.segments)?;
    let terms = index.lexicon().map_or(0, lexicon::Lexicon::len);
    if met.has_vectors && (grown.len()? > terms || index.lexicon().is_none()) {
        let file = names::part(Uuid::new_v4(), lexicon::KIND);
        manifest.assets.retain(|asset| asset.kind != lexicon::KIND);
        manifest.assets.push(grown.write(writer.storage(), &file)?);
    }
    manifest.fields = fields_of(&options, &sealed.totals);
    manifest.features = index.features().clone();
    manifest.features.channels.get_or_insert(Channels {
        sparse: sealed.totals.has_vectors,
        bm25: sealed.totals.has_text,
    });
    manifest.segments.push(sealed.segment);
    report.generation = writer.commit(manifest)?;
    Ok(report)
}

/// Writes the versions of a new segment's documents.
fn of_ids(
    storage: &Storage,
    segment: &SegmentEntry,
    versions: &HashMap<String, u64>,
) -> Result<PartEntry, BuildError> {
    let lacks = |what: String| BuildError::from(IndexError::corrupt(storage.folder(), what));
    let table = segment.parts.iter().find(|part| part.kind == doctable::KIND);
    let table = table.ok_or_else(|| lacks("a segment without a document table".to_owned()))?;
    let documents = DocTable::open(&storage.path(&table.file), Verify::Envelope)?;
    let rows = u32::try_from(documents.len()).unwrap_or(u32::MAX);
    let of_row = |row| {
        let id = documents.id(DocId(row));
        versions.get(id).copied().ok_or_else(|| lacks(format!("`{id}` has no version")))
    };
    let of_rows = (0..rows).map(of_row).collect::<Result<Vec<u64>, _>>()?;
    versions_part(storage, segment, &of_rows)
}

/// Refuses lists that are named but differ from those of the index, whose segments would then be searched
/// by different methods.
fn check_lists(
    options: &SealOptions,
    features: &Features,
    folder: &Path,
) -> Result<(), BuildError> {
    let Lists::These { impact, seismic, clusters } = options.lists else { return Ok(()) };
    let given = Features {
        impact,
        words: options.words == WordLists::Always,
        seismic: seismic.then_some(options.seismic),
        clusters: clusters.then_some(options.clusters),
        ..Features::default()
    };
    let of = |of: &Features| (of.impact, of.words, of.seismic, of.clusters);
    if of(features) == of(&given) {
        return Ok(());
    }
    let kinds = |of: &Features| {
        let impact = of.impact.then(|| "impact".to_owned());
        let seismic = of.seismic.map(|params| format!("seismic {}", json!(params)));
        let clusters = of.clusters.map(|params| format!("clusters {}", json!(params)));
        let words = of.words.then(|| "words".to_owned());
        let kinds: Vec<String> = [impact, words, seismic, clusters].into_iter().flatten().collect();
        if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") }
    };
    let (built, given) = (kinds(features), kinds(&given));
    Err(BuildError::OtherLists { path: folder.to_path_buf(), built, given })
}

/// If no lists are named, uses those of the index with its parameters.
fn as_the_index_has_them(options: &mut SealOptions, features: &Features, rows: u64) {
    if options.lists == Lists::Auto {
        options.lists = Lists::of(features, rows);
        options.words = WordLists::of(features);
        options.seismic = features.seismic.unwrap_or(options.seismic);
        options.clusters = features.clusters.unwrap_or(options.clusters);
    }
}

/// Totals of the shards given.
#[derive(Debug, Default)]
struct Met {
    tokens: Vec<String>,
    numbers: Vec<u32>,
    dimension: u32,
    has_vectors: bool,
    rows: u64,
}

impl Met {
    fn of(build: &Path, shards: usize) -> Result<Self, BuildError> {
        let mut met = Self::default();
        for number in 0..shards {
            let meta = Shard::open(&shard_path(build, number))?.meta;
            met.dimension = met.dimension.max(meta.dimension);
            met.has_vectors |= meta.has_vectors;
            met.rows += meta.rows;
            met.tokens.extend(meta.new_tokens);
            met.numbers.extend(meta.new_numbers);
        }
        Ok(met)
    }

    /// The channels of the new segment: those of the index or, if it never had a document, those decided
    /// now. Fails if only the documents or only the index have vectors.
    fn channels(
        &self,
        index: &Index,
        encoder: Option<&EncoderSetup<'_>>,
    ) -> Result<Channels, BuildError> {
        let Some(channels) = index.features().channels else {
            return Ok(Channels { sparse: self.has_vectors, bm25: encoder.is_some() });
        };
        if channels.sparse == self.has_vectors {
            return Ok(channels);
        }
        let path = index.folder().to_path_buf();
        Err(BuildError::OtherKind { path, has_vectors: channels.sparse })
    }
}

/// Keeps only the last document of each id in the shards; returns how many were dropped. Shards that
/// change are rewritten.
fn drop_repeated(build: &Path, shards: usize) -> Result<u64, BuildError> {
    // For each id, the number of its last document; the rows of a document are adjacent.
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
            // Counts are those of the kept documents; the other totals stay as upper bounds.
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
