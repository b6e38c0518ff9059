//! Seals finished shards into a segment.
//!
//! 1. read the shards' totals: dimension, statistics of weights, which parts there will be
//! 2. in parallel: stored documents into tantivy; vectors into the forward index, ids into the
//!    document table, origins beside them, then lists built from the forward index
//! 3. return the entries for the manifest

use std::fs;
use std::path::{Path, PathBuf};

use quarry_index::doctable::{self, DocTableBuilder};
use quarry_index::features::Channels;
use quarry_index::fields::FieldRules;
use quarry_index::forward::{self, ForwardIndex, ForwardMeta, ForwardWriter};
use quarry_index::lexicon;
use quarry_index::manifest::{PartEntry, SegmentEntry};
use quarry_index::provenance::{self, ProvenanceWriter};
use quarry_index::text::{self, TextIndex, TextWriter};
use quarry_index::{IndexError, Storage, Verify, names, words};
use quarry_vectors::PooledBy;
use uuid::Uuid;

use crate::BuildError;
use crate::clusters;
use crate::impact;
use crate::options::{Event, SealOptions};
use crate::order::{Order, Rows, stored_in_order};
use crate::quantize::{self, Stored};
use crate::seismic::{self, ListsJob};
use crate::spool::{Row, ShardMeta};
use crate::terms::{Grown, Known};
use crate::weights::WeightStats;
use crate::workspace::TEXT;

/// Documents between two progress reports.
const STEP: usize = 1 << 16;

/// Totals over all shards.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) documents: u64,
    pub(crate) rows: u64,
    pub(crate) components: u64,
    pub(crate) empty_vectors: u64,
    pub(crate) has_text: bool,
    pub(crate) has_vectors: bool,
    dimension: u32,
    weights: WeightStats,
    /// Types of other fields met in the shards.
    pub(crate) fields: FieldRules,
    new_tokens: Vec<String>,
    new_numbers: Vec<u32>,
    traced: Option<PooledBy>,
}

impl Totals {
    fn add(&mut self, meta: ShardMeta) {
        self.documents += meta.documents;
        self.rows += meta.rows;
        self.components += meta.components;
        self.empty_vectors += meta.empty_vectors;
        self.has_text |= meta.has_text;
        self.has_vectors |= meta.has_vectors;
        self.dimension = self.dimension.max(meta.dimension);
        self.weights.merge(&meta.weights);
        self.fields.extend(meta.fields);
        self.new_tokens.extend(meta.new_tokens);
        self.new_numbers.extend(meta.new_numbers);
        self.traced = self.traced.or(meta.traced);
    }
}

/// A sealed segment and the lexicon of the whole index. Without documents the segment has no parts, and
/// no manifest lists it.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) segment: SegmentEntry,
    pub(crate) lexicon: Option<PartEntry>,
    pub(crate) totals: Totals,
    /// The metadata of the forward index.
    pub(crate) weights: Option<ForwardMeta>,
    /// The order of its rows, if it differs from that of the shards.
    pub(crate) order: Option<Order>,
}

/// The input of sealing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SealJob<'a> {
    pub(crate) storage: &'a Storage,
    pub(crate) build: &'a Path,
    /// Paths of the shards, in order.
    pub(crate) shards: &'a [PathBuf],
    pub(crate) options: &'a SealOptions,
    /// Names of terms by term id: the encoder's vocabulary, or the one given.
    pub(crate) tokens: Option<&'a Vec<String>>,
    /// Whether ids are known to be unique.
    pub(crate) ids_are_unique: bool,
    /// For documents that are added to an existing index.
    pub(crate) kept: Option<Kept>,
    /// Channels that the segment has even if none of its documents brings them.
    pub(crate) channels: Channels,
}

/// What added documents take over from the existing index, whose lexicon they share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) dimension: u32,
    /// How weights are stored; `None` chooses anew.
    pub(crate) stored: Option<Stored>,
}

/// Seals all shards into one segment.
pub(crate) fn seal(
    job: SealJob<'_>,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Sealed, BuildError> {
    let mut rows = Rows::open(job.shards)?;
    let mut totals = Totals::default();
    rows.take_metas().for_each(|meta| totals.add(meta));
    totals.has_vectors |= job.channels.sparse;
    totals.has_text |= job.channels.bm25;
    let id = Uuid::new_v4();
    let list = job.tokens.map(Vec::as_slice);
    let met = (totals.new_tokens.as_slice(), totals.new_numbers.as_slice(), totals.dimension);
    let terms = Grown::of(&Known::Nothing, list, met);
    let dimension = job.kept.map_or_else(|| terms.len(), |kept| Ok(kept.dimension))?;
    if totals.dimension > dimension {
        let (found, limit) =
            (u64::from(totals.dimension - 1), u64::from(dimension.saturating_sub(1)));
        return Err(IndexError::Limit {
            what: "term id of the encoder's vocabulary".into(),
            found,
            limit,
        }
        .into());
    }
    let lexicon = if totals.has_vectors && job.kept.is_none() {
        Some(terms.write(job.storage, &names::part(id, lexicon::KIND))?)
    } else {
        None
    };
    if totals.rows == 0 {
        let segment = SegmentEntry { id, rows: 0, documents: 0, parts: Vec::new() };
        return Ok(Sealed { segment, lexicon, totals, weights: None, order: None });
    }
    let order = if job.options.lists.clusters(totals.rows) && totals.has_vectors {
        rows.locate()?;
        let how = (job.options.clusters.size, job.options.seed);
        Some(clusters::order(&rows, how, job.build, progress)?)
    } else {
        None
    };
    let input = Input { rows: &rows, order: order.as_ref() };
    let (texts, others) = rayon::join(
        || match totals.has_text {
            true => write_text(&job, id, (input, totals.rows)),
            false => Ok(Vec::new()),
        },
        || write_vectors(&job, id, (input, dimension), &totals, progress),
    );
    let (mut parts, weights) = others?;
    parts.extend(texts?);
    let segment = SegmentEntry { id, rows: totals.rows, documents: totals.documents, parts };
    Ok(Sealed { segment, lexicon, totals, weights, order })
}

/// The documents, and the order they get in the segment; without one, the order of the shards.
#[derive(Debug, Clone, Copy)]
struct Input<'a> {
    rows: &'a Rows,
    order: Option<&'a Order>,
}

impl Input<'_> {
    fn each(
        &self,
        mut each: impl FnMut(Row<'_>) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        match self.order {
            Some(order) => self.rows.in_order(order.rows(), each),
            None => (0..self.rows.shards()).try_for_each(|shard| {
                self.rows.shard(shard)?.iter().try_for_each(&mut each)?;
                self.rows.release([shard]);
                Ok(())
            }),
        }
    }
}

/// Bytes of shards up to which their text is written in memory.
const LITTLE_TEXT: u64 = 8 << 20;

/// Writes the text part, and lists over its words where they are wanted for `rows` rows.
fn write_text(
    job: &SealJob<'_>,
    id: Uuid,
    (input, rows): (Input<'_>, u64),
) -> Result<Vec<PartEntry>, BuildError> {
    let memory = job.options.memory / 4;
    let builder = TextWriter::create(&job.build.join(TEXT), memory, &job.options.fields)?;
    let bytes = |path: &PathBuf| fs::metadata(path).map_or(u64::MAX, |found| found.len());
    let little = job.shards.iter().map(bytes).fold(0, u64::saturating_add) <= LITTLE_TEXT;
    let mut builder = if little { builder.in_memory() } else { builder };
    match input.order {
        Some(order) => {
            stored_in_order(input.rows, order, memory, |stored| Ok(builder.add(stored)?))?
        }
        None => {
            for shard in 0..input.rows.shards() {
                for stored in input.rows.stored(shard)?.1 {
                    builder.add(&stored)?;
                }
            }
        }
    }
    let (name, path) = part_path(job.storage, id, text::KIND);
    let written = builder.finish(&path)?;
    let mut parts = vec![PartEntry::new(text::KIND, text::VERSION, &name, written, true)];
    if job.options.words.wanted(rows) {
        let text = TextIndex::open(&path, Verify::Envelope)?;
        parts.extend(write_words(job, id, &text)?);
    }
    Ok(parts)
}

/// Writes lists over the words of a text part.
pub(crate) fn write_words(
    job: &SealJob<'_>,
    id: Uuid,
    text: &TextIndex,
) -> Result<Option<PartEntry>, BuildError> {
    let (name, path) = part_path(job.storage, id, words::KIND);
    let written = crate::words::build(text, &path, job.options.memory / 4)?;
    Ok(written.map(|w| PartEntry::new(words::KIND, words::VERSION, &name, w, false)))
}

fn write_vectors(
    job: &SealJob<'_>,
    id: Uuid,
    (input, dimension): (Input<'_>, u32),
    totals: &Totals,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<(Vec<PartEntry>, Option<ForwardMeta>), BuildError> {
    let mut ids = DocTableBuilder::default();
    let (forward_name, forward_path) = part_path(job.storage, id, forward::KIND);
    let mut writer = if totals.has_vectors {
        let stored = job.kept.and_then(|kept| kept.stored);
        let stored =
            stored.unwrap_or_else(|| quantize::choose(&totals.weights, job.options.levels));
        let precision = quantize::precision(&totals.weights, stored, dimension);
        let writer = ForwardWriter::create(&forward_path, dimension, stored.quantization)?;
        Some(writer.keeping(precision).after(totals.weights.before))
    } else {
        None
    };
    let (origins_name, origins_path) = part_path(job.storage, id, provenance::KIND);
    let origins = totals.traced.map(|by| ProvenanceWriter::create(&origins_path, by));
    let mut origins = origins.transpose()?;
    progress(Event::Stage { name: "forward index", total: totals.rows });
    input.each(|row| {
        ids.push(row.id, row.passage.as_ref())?;
        if let Some(writer) = &mut writer {
            writer.push(row.terms, row.weights)?;
        }
        if let Some(origins) = &mut origins {
            origins.push(row.origins)?;
        }
        if ids.len().is_multiple_of(STEP) {
            progress(Event::Step { done: ids.len() as u64 });
        }
        Ok(())
    })?;
    if !job.ids_are_unique
        && let Some((first, again)) = ids.repeated_id()
    {
        return Err(duplicate(input, first, again)?);
    }
    let (name, path) = part_path(job.storage, id, doctable::KIND);
    let written = ids.write(&path)?;
    drop(ids);
    let origins = origins.map(ProvenanceWriter::finish).transpose()?;
    let mut parts = vec![PartEntry::new(doctable::KIND, doctable::VERSION, &name, written, true)];
    let mut weights = None;
    if let Some(writer) = writer {
        let (written, meta) = writer.finish()?;
        weights = Some(meta);
        parts.push(PartEntry::new(forward::KIND, forward::VERSION, &forward_name, written, true));
        if let Some((written, _)) = origins {
            let (kind, version) = (provenance::KIND, provenance::VERSION);
            parts.push(PartEntry::new(kind, version, &origins_name, written, false));
        }
        let forward = ForwardIndex::open(&forward_path, Verify::Envelope)?;
        parts.extend(write_lists(job, id, (&forward, input.order), progress)?);
    }
    Ok((parts, weights))
}

/// Writes lists over the vectors. They only speed searches up; a reader that does not know a kind of
/// list can ignore it.
pub(crate) fn write_lists(
    job: &SealJob<'_>,
    id: Uuid,
    (forward, order): (&ForwardIndex, Option<&Order>),
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Vec<PartEntry>, BuildError> {
    let options = job.options;
    let memory = options.memory / 2;
    let rows = forward.len() as u64;
    let mut parts = Vec::new();
    if options.lists.impact(rows) {
        let kind = quarry_index::impact::KIND;
        let (name, path) = part_path(job.storage, id, kind);
        let (written, _) = impact::build(forward, &path, memory, progress)?;
        let version = quarry_index::impact::VERSION;
        parts.push(PartEntry::new(kind, version, &name, written, false));
    }
    if options.lists.seismic(rows) {
        let kind = quarry_index::seismic::KIND;
        let (name, path) = part_path(job.storage, id, kind);
        let lists = ListsJob { forward, params: options.seismic, seed: options.seed, memory };
        let (written, _) = seismic::build(lists, &path, progress)?;
        let version = quarry_index::seismic::VERSION;
        parts.push(PartEntry::new(kind, version, &name, written, false));
    }
    if let Some(order) = order {
        let kind = quarry_index::clusters::KIND;
        let (name, path) = part_path(job.storage, id, kind);
        let how = (options.clusters, options.seed);
        let at = (path.as_path(), job.build);
        let written = clusters::build(forward, how, order.ends(), at, memory, progress)?;
        let version = quarry_index::clusters::VERSION;
        parts.push(PartEntry::new(kind, version, &name, written, false));
    }
    Ok(parts)
}

fn part_path(storage: &Storage, id: Uuid, kind: &str) -> (String, PathBuf) {
    let name = names::part(id, kind);
    let path = storage.path(&name);
    (name, path)
}

/// The error for a repeated id, with both lines.
fn duplicate(input: Input<'_>, first: usize, again: usize) -> Result<BuildError, BuildError> {
    let mut found = Vec::new();
    let mut at = 0;
    input.each(|row| {
        if at == first || at == again {
            found.push((row.line, row.id.to_owned()));
        }
        at += 1;
        Ok(())
    })?;
    found.sort_unstable();
    let line = |at: usize| found.get(at).map_or(0, |f| f.0);
    let id = found.first().map_or_else(String::new, |f| f.1.clone());
    Ok(BuildError::DuplicateId { id, first: line(0), line: line(1) })
}
