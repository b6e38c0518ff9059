//! Merges segments: their documents that are not deleted are sealed again as one segment.
//!
//! 1. choose segments  2. write their documents back into shards  3. seal, with the kinds of lists
//!    that the index has or that the size calls for  4. commit
//!
//! A merge reads the complete forward index and the stored documents, so the new segment is the one that a
//! build of these documents would make. Weights keep their storage form if all segments share one;
//! otherwise one is chosen as in a build. Every byte is verified when it is read, and a merge that would
//! lose anything is refused before anything is written.
//!
//! 2 and 3 can be done beside other writers ([`prepare_merge`]); what they deleted meanwhile is deleted when the merge
//! is committed ([`install_merge`]).

use std::fs;
use std::path::{Path, PathBuf};

use quarry_index::features::{Channels, Features};
use quarry_index::folder::BUILD;
use quarry_index::manifest::SegmentEntry;
use quarry_index::{Index, IndexError, Segment, Storage, Verify, dense, kinds, tokens};
use quarry_vectors::{DocId, counted};
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::{Checked, Deletions, IndexWriter};
use crate::BuildError;
use crate::job::Job;
use crate::options::{Event, LEAST_MEMORY, Levels, Lists, SealOptions, WordLists};
use crate::quantize::Stored;
use crate::seal::{Kept, SealJob, seal};
use crate::spool::shard_paths;
use crate::unseal::{Carried, carried_over, unseal};
use crate::workspace;

/// Most segments of an index before an addition merges the smallest of them.
pub const MOST_SEGMENTS: usize = 8;

/// Which segments are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// All of them.
    All,
    /// If there are more than [`MOST_SEGMENTS`], merge the smallest, so that half as many are left. A
    /// document is then rewritten about as often as the logarithm of the collection's growth.
    Policy,
}

/// Which segments are merged beside other writers, by their ids.
#[derive(Debug, Clone, Copy)]
pub enum MergeBeside<'a> {
    /// These.
    These(&'a [Uuid]),
    /// As [`Merge::Policy`] has it, among the others.
    PolicyWithout(&'a [Uuid]),
}

/// The result of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct MergeReport {
    /// The current generation afterwards.
    pub generation: u64,
    /// Number of segments that were merged into one.
    pub merged: usize,
    /// Number of segments afterwards.
    pub segments: usize,
    /// Deleted rows that were dropped.
    pub dropped: u64,
}

/// Merges segments of the index in `folder`; `None` if there is nothing to merge. Cost: that of building
/// the merged documents, without encoding.
///
/// # Errors
/// When there is no index, another process writes there, an unfinished build lies there, a file is
/// damaged, token embeddings or dense vectors would be lost, or the disk refuses; the old generation then stays.
pub fn merge(
    folder: &Path,
    which: Merge,
    memory: u64,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Option<MergeReport>, BuildError> {
    let writer = IndexWriter::take(folder, Checked::All, |_| false)?;
    let (index, build) = (writer.index(), writer.build());
    let segments = index.segments();
    let chosen = match which {
        Merge::All => (0..segments.len()).collect(),
        Merge::Policy => choose(segments, &[]),
    };
    let dropped: u64 = chosen.iter().map(|at| deleted(&segments[*at])).sum();
    if chosen.len() < 2 && dropped == 0 {
        return Ok(None);
    }
    // Segments whose documents are all deleted have nothing to carry over.
    let merged: Vec<&Segment> =
        chosen.iter().map(|at| &segments[*at]).filter(|s| live(s) > 0).collect();
    check_kinds(folder, &merged)?;
    check_tokens(folder, &merged)?;
    check_dense(folder, &merged)?;
    writer.begin(&Job::change())?;
    let place = Place { storage: writer.storage(), build };
    let sealed = sealed(index, &merged, &place, (memory, progress))?;
    let mut manifest = index.manifest().clone();
    manifest.features = index.features().clone();
    let ids: Vec<Uuid> = chosen.iter().map(|at| segments[*at].entry().id).collect();
    replace(&mut manifest.segments, &ids, sealed);
    let left = manifest.segments.len();
    let generation = writer.commit(manifest)?;
    Ok(Some(MergeReport { generation, merged: chosen.len(), segments: left, dropped }))
}

/// A merge whose segment is written, and that is not committed.
#[derive(Debug)]
pub struct PreparedMerge {
    work: PathBuf,
    /// The merged segments, with the rows that were deleted in them.
    merged: Vec<(Uuid, RoaringBitmap)>,
    sealed: Option<SegmentEntry>,
    dropped: u64,
}

/// Writes the segment of a merge into `work`, an empty folder on the disk of `folder`, while others write to the index;
/// `None` if there is nothing to merge. [`install_merge`] commits it.
///
/// # Errors
/// As [`merge`], without those of other writers.
pub fn prepare_merge(
    folder: &Path,
    which: MergeBeside<'_>,
    work: &Path,
    memory: u64,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Option<PreparedMerge>, BuildError> {
    let index = Index::open(folder, Verify::Full)?;
    let segments = index.segments();
    let chosen: Vec<&Segment> = match which {
        MergeBeside::These(ids) => {
            segments.iter().filter(|s| ids.contains(&s.entry().id)).collect()
        }
        MergeBeside::PolicyWithout(ids) => {
            choose(segments, ids).iter().map(|at| &segments[*at]).collect()
        }
    };
    let dropped: u64 = chosen.iter().map(|s| deleted(s)).sum();
    if chosen.len() < 2 && dropped == 0 {
        return Ok(None);
    }
    let live: Vec<&Segment> = chosen.iter().copied().filter(|s| live(s) > 0).collect();
    check_kinds(folder, &live)?;
    check_tokens(folder, &live)?;
    check_dense(folder, &live)?;
    let (storage, build) = (Storage::of(work), work.join(BUILD));
    workspace::begin(&build, &Job::change())?;
    let sealed =
        sealed(&index, &live, &Place { storage: &storage, build: &build }, (memory, progress))?;
    workspace::clear(&build)?;
    let rows = |s: &Segment| s.deleted().cloned().unwrap_or_default();
    let merged = chosen.iter().map(|s| (s.entry().id, rows(s))).collect();
    Ok(Some(PreparedMerge { work: work.to_path_buf(), merged, sealed, dropped }))
}

/// Commits a prepared merge; documents that were deleted or replaced since are deleted in its segment too. `None` if a
/// segment that it merges is no longer there: what was prepared is of no use then.
///
/// # Errors
/// As [`merge`].
pub fn install_merge(
    folder: &Path,
    prepared: PreparedMerge,
) -> Result<Option<MergeReport>, BuildError> {
    let PreparedMerge { work, merged, mut sealed, mut dropped } = prepared;
    let writer = IndexWriter::take(folder, Checked::Rewritten, |_| false)?;
    let index = writer.index();
    let mut gone: Vec<&str> = Vec::new();
    for (id, before) in &merged {
        let Some(segment) = index.segments().iter().find(|s| s.entry().id == *id) else {
            return Ok(None);
        };
        let since = segment.deleted().map(|now| now - before).unwrap_or_default();
        gone.extend(since.iter().map(|row| segment.documents().id(DocId(row))));
    }
    if let Some(entry) = &mut sealed {
        for part in &entry.parts {
            let (from, to) = (work.join(&part.file), writer.storage().path(&part.file));
            fs::rename(&from, &to).map_err(IndexError::io(&from))?;
        }
        let segment = [Segment::open(writer.storage(), entry, Verify::Envelope)?];
        let mut deletions = Deletions::new(&segment);
        for id in gone {
            deletions.delete(id);
        }
        deletions.write(writer.storage(), std::slice::from_mut(entry))?;
        dropped -= deletions.count().min(dropped);
    }
    let mut manifest = index.manifest().clone();
    manifest.features = index.features().clone();
    let ids: Vec<Uuid> = merged.iter().map(|(id, _)| *id).collect();
    replace(&mut manifest.segments, &ids, sealed);
    let left = manifest.segments.len();
    let generation = writer.commit(manifest)?;
    Ok(Some(MergeReport { generation, merged: ids.len(), segments: left, dropped }))
}

/// Where a segment is written.
struct Place<'a> {
    storage: &'a Storage,
    build: &'a Path,
}

/// Seals the documents of these segments as one; `None` if they have none.
fn sealed(
    index: &Index,
    merged: &[&Segment],
    place: &Place<'_>,
    (memory, progress): (u64, &(dyn Fn(Event) + Sync)),
) -> Result<Option<SegmentEntry>, BuildError> {
    if merged.is_empty() {
        return Ok(None);
    }
    let Place { storage, build } = *place;
    let mut shards = 0;
    for segment in merged {
        shards = unseal(segment, (build, shards), progress)?;
    }
    let options = options(memory, index, merged.iter().map(|s| live(s)).sum());
    let job = SealJob {
        storage,
        build,
        shards: &shard_paths(build, shards),
        options: &options,
        tokens: None,
        ids_are_unique: true,
        kept: Some(Kept {
            dimension: index.lexicon().map_or(0, quarry_index::lexicon::Lexicon::len),
            stored: shared_form(merged),
        }),
        channels: Channels { sparse: index.has_sparse(), bm25: index.has_text() },
    };
    let mut sealed = seal(job, progress)?.segment;
    sealed.parts.extend(carried_over(Carried::of(merged), storage, &sealed)?);
    Ok(Some(sealed))
}

/// Puts `by` in the place of the first of these segments, and takes the others out.
fn replace(segments: &mut Vec<SegmentEntry>, ids: &[Uuid], by: Option<SegmentEntry>) {
    let first = segments.iter().position(|s| ids.contains(&s.id)).unwrap_or(segments.len());
    segments.retain(|s| !ids.contains(&s.id));
    if let Some(by) = by {
        segments.insert(first.min(segments.len()), by);
    }
}

/// Fails if a segment has parts of unknown kinds, which the merge could not carry over.
fn check_kinds(folder: &Path, segments: &[&Segment]) -> Result<(), BuildError> {
    for entry in segments.iter().map(|s| s.entry()) {
        if let Some(part) = entry.parts.iter().find(|p| kinds::find(&p.kind).is_none()) {
            return Err(BuildError::UnknownKind {
                path: folder.to_path_buf(),
                segment: entry.id.to_string(),
                kind: part.kind.clone(),
            });
        }
    }
    Ok(())
}

/// The segments that `picks`, with their documents, for a message.
fn named(segments: &[&Segment], picks: impl Fn(&Segment) -> bool) -> Vec<String> {
    let some = segments.iter().filter(|s| picks(s));
    some.map(|s| format!("{} ({})", s.entry().id, counted(s.entry().documents, "document")))
        .collect()
}

/// Refuses to leave out dense vectors that some segments have.
fn check_dense(folder: &Path, segments: &[&Segment]) -> Result<(), BuildError> {
    let Some(first) = segments.iter().find_map(|s| s.dense()) else { return Ok(()) };
    let lacking = named(segments, |s| s.dense().is_none());
    let other = named(segments, |s| s.dense().is_some_and(|d| !dense::alike(&[first, d])));
    let (segments, none) = if lacking.is_empty() { (other, false) } else { (lacking, true) };
    match segments.is_empty() {
        true => Ok(()),
        false => Err(BuildError::DenseMissing { path: folder.to_path_buf(), segments, none }),
    }
}

/// Fails if only some segments have token embeddings, or if they are stored differently.
fn check_tokens(folder: &Path, segments: &[&Segment]) -> Result<(), BuildError> {
    let Some(first) = segments.iter().find_map(|s| s.tokens()) else { return Ok(()) };
    let lacking = named(segments, |s| s.tokens().is_none());
    let other = named(segments, |s| s.tokens().is_some_and(|t| !tokens::alike(&[first, t])));
    let (segments, none) = if lacking.is_empty() { (other, false) } else { (lacking, true) };
    match segments.is_empty() {
        true => Ok(()),
        false => Err(BuildError::TokensMissing { path: folder.to_path_buf(), segments, none }),
    }
}

fn deleted(segment: &Segment) -> u64 {
    segment.deleted().map_or(0, roaring::RoaringBitmap::len)
}

fn live(segment: &Segment) -> u64 {
    segment.entry().rows - deleted(segment)
}

/// The segments to merge, ascending. By policy only such as lose no token embeddings or dense vectors together.
fn choose(segments: &[Segment], without: &[Uuid]) -> Vec<usize> {
    let free = |at: &usize| !without.contains(&segments[*at].entry().id);
    let all: Vec<usize> = (0..segments.len()).filter(free).collect();
    let count = all.len();
    if count <= MOST_SEGMENTS {
        return Vec::new();
    }
    let mut kinds: Vec<Vec<usize>> = Vec::new();
    for at in all {
        let fits = |kind: &&mut Vec<usize>| {
            kind.first().is_some_and(|first| merge_well(&segments[*first], &segments[at]))
        };
        match kinds.iter_mut().find(fits) {
            Some(kind) => kind.push(at),
            None => kinds.push(vec![at]),
        }
    }
    let mut chosen = kinds.into_iter().max_by_key(Vec::len).unwrap_or_default();
    chosen.sort_by_key(|at| live(&segments[*at]));
    chosen.truncate(count - MOST_SEGMENTS / 2 + 1);
    chosen.sort_unstable();
    chosen
}

/// Whether two segments can be merged without losing token embeddings or dense vectors.
pub(super) fn merge_well(first: &Segment, second: &Segment) -> bool {
    let tokens = match (first.tokens(), second.tokens()) {
        (None, None) => true,
        (Some(a), Some(b)) => tokens::alike(&[a, b]),
        _ => false,
    };
    let dense = match (first.dense(), second.dense()) {
        (None, None) => true,
        (Some(a), Some(b)) => dense::alike(&[a, b]),
        _ => false,
    };
    tokens && dense
}

/// The storage form of weights, if all segments share one.
fn shared_form(segments: &[&Segment]) -> Option<Stored> {
    let of = |s: &&Segment| s.forward().map(|f| f.meta().quantization);
    let quantization = segments.first().and_then(of)?;
    let tolerance = segments.iter().filter_map(|s| s.forward()?.meta().tolerance);
    let tolerance = tolerance.min_by(f64::total_cmp);
    let shared = segments.iter().all(|s| of(s) == Some(quantization));
    shared.then_some(Stored { quantization, tolerance })
}

/// Options of a segment of so many rows of the index.
pub(super) fn options(memory: u64, index: &Index, rows: u64) -> SealOptions {
    let Features { seismic, clusters, .. } = index.features();
    SealOptions {
        memory: memory.max(LEAST_MEMORY),
        seed: index.manifest().seed,
        levels: Levels::Auto,
        lists: Lists::of(index.features(), rows),
        words: WordLists::of(index.features()),
        seismic: seismic.unwrap_or_else(crate::default_seismic),
        clusters: clusters.unwrap_or_else(crate::default_clusters),
        fields: index.manifest().fields.clone(),
    }
}
