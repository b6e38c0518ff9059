//! Adds kinds of lists to a sealed index, as a new generation.
//!
//! 1. lock the folder for writing  2. for each segment: impact-ordered and blocked lists are built from
//!    the forward index and become further parts of the segment; clusters need another order of
//!    documents, so the segment is written back into shards and sealed again with all its lists
//! 3. commit  4. remove files that no generation in use names
//!
//! A crash before the commit leaves the old generation; the next writer removes what was written.

use std::fs;
use std::path::Path;

use quarry_index::clusters::ClusterParams;
use quarry_index::features::{Channels, Features};
use quarry_index::manifest::SegmentEntry;
use quarry_index::seismic::SeismicParams;
use quarry_index::{Index, IndexError, Segment, Storage};

use super::{Checked, IndexWriter};
use crate::BuildError;
use crate::job::Job;
use crate::options::{Event, LEAST_MEMORY, Lists, SealOptions, WordLists};
use crate::quantize::Stored;
use crate::seal::{Kept, SealJob, seal, write_lists, write_words};
use crate::spool::shard_paths;
use crate::unseal::{Carried, carried_over, unseal};
use crate::words::has_words;

/// The lists to add, and how to build them.
#[derive(Debug, Clone)]
pub struct AddOptions {
    /// Impact-ordered lists.
    pub impact: bool,
    /// Impact-ordered lists of words.
    pub words: bool,
    /// Seismic's blocked lists.
    pub seismic: Option<SeismicParams>,
    /// Clusters of similar documents.
    pub clusters: Option<ClusterParams>,
    /// Bytes that buffers and sorting may take together.
    pub memory: u64,
}

/// Adds lists to every segment of the index in `folder` that lacks them. Returns the new generation, or
/// `None` if nothing was missing.
///
/// # Errors
/// If there is no index or it has no vectors, it holds an unfinished build, another process writes to it,
/// a parameter is out of range, or writing fails; the old generation then stays.
pub fn add_lists(
    folder: &Path,
    add: &AddOptions,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Option<u64>, BuildError> {
    let writer = IndexWriter::take(folder, Checked::All, |_| false)?;
    let (index, build) = (writer.index(), writer.build());
    let over_vectors = add.impact || add.seismic.is_some() || add.clusters.is_some();
    for (lacks, part, hint) in [
        (over_vectors && !index.has_sparse(), "vectors", "these lists are built over vectors"),
        (add.words && !index.has_text(), "texts", "lists of words are built over texts"),
    ] {
        if lacks {
            let (path, part) = (folder.to_path_buf(), part.into());
            return Err(IndexError::Missing { path, part, hint: hint.into() }.into());
        }
    }
    let mut manifest = index.manifest().clone();
    let seed = manifest.seed;
    manifest.features = features(index, add);
    let mut changed = manifest.features != *index.features();
    for (entry, segment) in manifest.segments.iter_mut().zip(index.segments()) {
        let lacks = Lists::These {
            impact: add.impact && segment.impact().is_none(),
            seismic: add.seismic.is_some() && segment.seismic().is_none(),
            clusters: add.clusters.is_some() && segment.clusters().is_none(),
        };
        let words = match segment.text() {
            Some(text) if add.words && segment.words().is_none() => has_words(text)?,
            _ => false,
        };
        if lacks == Lists::NONE && !words {
            continue;
        }
        changed = true;
        let options = SealOptions {
            seed,
            fields: index.manifest().fields.clone(),
            words: if words || segment.words().is_some() {
                WordLists::Always
            } else {
                WordLists::Never
            },
            ..options(add, segment, lacks)
        };
        options.check()?;
        writer.begin(&Job::change())?;
        if lacks.clusters(entry.rows) {
            *entry = sealed_anew(segment, (writer.storage(), build), &options, progress)?;
        } else {
            let job = SealJob {
                storage: writer.storage(),
                build,
                shards: &[],
                options: &options,
                tokens: None,
                ids_are_unique: true,
                kept: None,
                channels: Channels { sparse: true, bm25: false },
            };
            if let Some(forward) = segment.forward() {
                entry.parts.extend(write_lists(&job, entry.id, (forward, None), progress)?);
            }
            if let Some(text) = segment.text().filter(|_| words) {
                entry.parts.extend(write_words(&job, entry.id, text)?);
            }
        }
    }
    // A segment whose documents are all deleted has no parts after it is sealed again.
    manifest.segments.retain(|segment| !segment.parts.is_empty());
    match changed {
        true => Ok(Some(writer.commit(manifest)?)),
        false => writer.leave().map(|()| None),
    }
}

/// The features of the index with these lists.
fn features(index: &Index, add: &AddOptions) -> Features {
    let had = index.features();
    Features {
        impact: had.impact || add.impact,
        words: had.words || add.words,
        seismic: had.seismic.or(add.seismic),
        clusters: had.clusters.or(add.clusters),
        ..had.clone()
    }
}

/// The options for sealing a segment with the lists it lacks. If it has to be sealed again, it also gets
/// the lists that it had, with their parameters.
fn options(add: &AddOptions, segment: &Segment, lacks: Lists) -> SealOptions {
    let had = segment.seismic().map(|lists| lists.meta().params);
    let lists = match lacks {
        Lists::These { impact, seismic, clusters: true } => Lists::These {
            impact: impact || segment.impact().is_some(),
            seismic: seismic || had.is_some(),
            clusters: true,
        },
        other => other,
    };
    SealOptions {
        memory: add.memory.max(LEAST_MEMORY),
        lists,
        seismic: had.or(add.seismic).unwrap_or_else(crate::default_seismic),
        clusters: add.clusters.unwrap_or_else(crate::default_clusters),
        ..SealOptions::default()
    }
}

/// Writes the same documents as a new segment.
fn sealed_anew(
    segment: &Segment,
    (storage, build): (&Storage, &Path),
    options: &SealOptions,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<SegmentEntry, BuildError> {
    let Some(forward) = segment.forward() else {
        return Ok(segment.entry().clone());
    };
    let shards = unseal(segment, (build, 0), progress)?;
    let kept = Kept { dimension: forward.lexicon_terms(), stored: Some(Stored::of(forward)) };
    let shards = shard_paths(build, shards);
    let job = SealJob {
        storage,
        build,
        shards: &shards,
        options,
        tokens: None,
        ids_are_unique: true,
        kept: Some(kept),
        channels: Channels { sparse: true, bm25: segment.text().is_some() },
    };
    let sealed = seal(job, progress)?;
    for path in &shards {
        fs::remove_file(path).map_err(IndexError::io(path))?;
    }
    let mut entry = sealed.segment;
    if entry.rows == 0 {
        return Ok(entry);
    }
    entry.parts.extend(carried_over(Carried::of(&[segment]), storage, &entry)?);
    Ok(entry)
}
