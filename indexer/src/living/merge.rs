//! Segments are merged: what is not deleted is sealed again as one segment.
//!
//! 1. choose segments  2. write their documents back into shards  3. seal, with the kinds of lists
//!    that any of them had, or that the size asks for  4. commit
//!
//! Merging goes through the complete forward index and the stored documents, so the new segment is
//! the one that a build of these documents would make. Weights keep their stored form where all
//! segments share one; else one is chosen anew, as in a build.

use std::path::Path;

use quarry_index::{IndexError, Segment};
use serde_json::{Map, Value};

use super::Opened;
use crate::BuildError;
use crate::build::remove_build;
use crate::options::{BuildOptions, Event, LEAST_MEMORY, Levels, Lists};
use crate::seal::{Kept, SealJob, Stored, seal};
use crate::spool::shard_paths;
use crate::unseal::{SHARD_DOCUMENTS, tokens_in_order, unseal};

/// Segments that an index has at most before a change merges the smallest of them.
pub const MOST_SEGMENTS: usize = 8;

/// Which segments become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// All of them.
    All,
    /// Where there are more than [`MOST_SEGMENTS`], the smallest, so that half as many are left: a
    /// document is then rewritten about as often as the logarithm of the collection's growth.
    Policy,
}

/// What a merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct MergeReport {
    /// The generation that is current now.
    pub generation: u64,
    /// Segments that became one.
    pub merged: usize,
    /// Segments that there are now.
    pub segments: usize,
    /// Rows that deletions had left and that are gone.
    pub dropped: u64,
    /// Whether token embeddings were left out, because some of the segments have none or store them
    /// otherwise; they have to be added again.
    pub tokens_left_out: bool,
}

/// Merges segments of the index in `folder`; `None` when there is nothing to merge. Cost: that of
/// building the documents merged, without encoding.
///
/// # Errors
/// When there is no index, another process writes there, an unfinished build lies there, or the disk
/// refuses; the old generation then stays.
pub fn merge(
    folder: &Path,
    which: Merge,
    memory: u64,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Option<MergeReport>, BuildError> {
    let Opened { mut writer, index, build } = Opened::take(folder)?;
    let segments = index.segments();
    let chosen = choose(segments, which);
    let deleted: u64 = chosen.iter().map(|at| deleted(&segments[*at])).sum();
    if chosen.len() < 2 && deleted == 0 {
        return Ok(None);
    }
    std::fs::create_dir_all(&build).map_err(IndexError::io(&build))?;
    let mut shards = 0;
    for at in &chosen {
        shards = unseal(&segments[*at], (&build, shards), progress)?;
    }
    let merged: Vec<&Segment> = chosen.iter().map(|at| &segments[*at]).collect();
    let mut options = options(folder, (memory, index.manifest().seed), &merged);
    options.fields = index.manifest().fields.clone();
    let job = SealJob {
        folder,
        build: &build,
        shards: &shard_paths(&build, shards),
        options: &options,
        tokens: None,
        kept: Some(Kept {
            dimension: index.lexicon().map_or(0, quarry_index::lexicon::Lexicon::len),
            stored: shared_form(&merged),
            has_text: index.has_text(),
        }),
    };
    let mut sealed = seal(job, progress)?;
    let had_tokens = merged.iter().any(|s| s.tokens().is_some());
    let tokens = tokens_in_order(&merged, folder, &sealed.segment)?;
    let tokens_left_out = had_tokens && tokens.is_none();
    sealed.segment.parts.extend(tokens);
    let mut manifest = index.manifest().clone();
    let mut at = 0;
    manifest.segments.retain(|_| {
        at += 1;
        !chosen.contains(&(at - 1))
    });
    if sealed.totals.rows > 0 || manifest.segments.is_empty() {
        let first = chosen.first().copied().unwrap_or(0).min(manifest.segments.len());
        manifest.segments.insert(first, sealed.segment);
    }
    let left = manifest.segments.len();
    drop(index);
    let generation = writer.commit(manifest)?.generation;
    remove_build(&build)?;
    writer.collect()?;
    let merged = chosen.len();
    Ok(Some(MergeReport { generation, merged, segments: left, dropped: deleted, tokens_left_out }))
}

fn deleted(segment: &Segment) -> u64 {
    segment.deleted().map_or(0, roaring::RoaringBitmap::len)
}

fn live(segment: &Segment) -> u64 {
    segment.entry().rows - deleted(segment)
}

/// The segments to merge, ascending.
fn choose(segments: &[Segment], which: Merge) -> Vec<usize> {
    let mut all: Vec<usize> = (0..segments.len()).collect();
    if which == Merge::Policy {
        if segments.len() <= MOST_SEGMENTS {
            return Vec::new();
        }
        all.sort_by_key(|at| live(&segments[*at]));
        all.truncate(segments.len() - MOST_SEGMENTS / 2 + 1);
        all.sort_unstable();
    }
    all
}

/// The one form of weights that all segments have.
fn shared_form(segments: &[&Segment]) -> Option<Stored> {
    let of = |s: &&Segment| s.forward().map(|f| f.meta().quantization);
    let quantization = segments.first().and_then(of)?;
    let tolerance = segments.iter().filter_map(|s| s.forward()?.meta().tolerance);
    let tolerance = tolerance.min_by(f64::total_cmp);
    let shared = segments.iter().all(|s| of(s) == Some(quantization));
    shared.then_some(Stored { quantization, tolerance })
}

fn options(folder: &Path, (memory, seed): (u64, u64), segments: &[&Segment]) -> BuildOptions {
    let rows = segments.iter().map(|s| live(s)).sum();
    let seismic = segments.iter().find_map(|s| s.seismic()).map(|lists| lists.meta().params);
    let clusters = segments.iter().find_map(|s| s.clusters()).map(|c| c.meta().params);
    BuildOptions {
        out: folder.to_path_buf(),
        overwrite: false,
        resume: false,
        memory: memory.max(LEAST_MEMORY),
        seed,
        levels: Levels::Auto,
        lists: Lists::These {
            impact: Lists::Auto.impact(rows) || segments.iter().any(|s| s.impact().is_some()),
            seismic: Lists::Auto.seismic(rows) || seismic.is_some(),
            clusters: Lists::Auto.clusters(rows) || clusters.is_some(),
        },
        seismic: seismic.unwrap_or_else(crate::default_seismic),
        clusters: clusters.unwrap_or_else(crate::default_clusters),
        shard_documents: SHARD_DOCUMENTS,
        description: Map::new(),
        source: Value::Null,
        ids_are_unique: true,
        vocabulary: None,
        fields: quarry_index::fields::FieldRules::new(),
    }
}
