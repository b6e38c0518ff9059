//! Graphs of near rows become parts of a sealed index: a new generation.
//!
//! 1. take the folder for writing  2. segment by segment: what makes graphs is handed the segment; write the part
//! 3. commit, then collect what no generation in use names
//!
//! A crash before the commit leaves the old generation.

use std::path::Path;
use std::sync::Once;

use quarry_index::manifest::PartEntry;
use quarry_index::neighbours::{
    self, MeasuredBeam, NeighbourGraph, NeighbourParams, NeighboursMeta,
};
use quarry_index::{IndexError, Segment, names};

use super::{Checked, IndexWriter};
use crate::BuildError;
use crate::job::Job;
use crate::options::Event;

/// A graph that was made of a segment's dense vectors, and what was measured of it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewGraph {
    /// The graph.
    pub graph: NeighbourGraph,
    /// Measured beams, ascending by k and beam.
    pub measured: Vec<MeasuredBeam>,
}

/// How graphs are made.
#[derive(Clone, Copy)]
pub struct MakeGraphs<'a> {
    /// For the record; handed to `make`.
    pub params: NeighbourParams,
    /// Whether graphs that are there already are replaced.
    pub replace: bool,
    /// Makes the graph of a segment; `None` for one that is too small. It is handed parameters, seed, and what hears
    /// how many rows are done.
    pub make: &'a MakeGraph<'a>,
}

/// Makes a graph; see [`MakeGraphs::make`].
pub type MakeGraph<'a> =
    dyn Fn(&Segment, NeighbourParams, u64, &(dyn Fn(usize) + Sync)) -> Option<NewGraph> + Sync + 'a;

impl std::fmt::Debug for MakeGraphs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MakeGraphs({:?})", self.params)
    }
}

/// Adds a graph to every segment of the index in `folder` that has dense vectors and lacks one, or to all of them where
/// they are to be replaced. Documents that are added later and merged segments are to get the same. Returns the new
/// generation; `None` if nothing changed.
///
/// # Errors
/// When there is no index, it has no dense vectors, an unfinished build lies there, another process writes to it, or the
/// disk refuses. The old generation then stays.
pub fn add_neighbours(
    folder: &Path,
    how: MakeGraphs<'_>,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Option<u64>, BuildError> {
    how.params.check()?;
    let writer = IndexWriter::take(folder, Checked::All, |_| false)?;
    let index = writer.index();
    if index.dense().is_none() {
        return Err(IndexError::Missing {
            path: folder.to_path_buf(),
            part: "dense vectors".into(),
            hint: "`quarry dense add DIR` adds them; a graph is built over them".into(),
        }
        .into());
    }
    let mut manifest = index.manifest().clone();
    manifest.features = index.features().clone();
    manifest.features.neighbours = Some(how.params);
    let mut changed = manifest.features != *index.features();
    let seed = manifest.seed;
    for (entry, segment) in manifest.segments.iter_mut().zip(index.segments()) {
        let Some(dense) = entry.parts.iter().find(|part| part.kind == quarry_index::dense::KIND)
        else {
            continue;
        };
        if segment.neighbours().is_some() && !how.replace {
            continue;
        }
        let checksum = dense.checksum.clone();
        let total = segment.dense().map_or(entry.rows, |dense| dense.meta().vectors);
        let begun = Once::new();
        let done = |rows: usize| {
            begun.call_once(|| progress(Event::Stage { name: "graph of near rows", total }));
            progress(Event::Step { done: rows as u64 });
        };
        let Some(new) = (how.make)(segment, how.params, seed, &done) else { continue };
        writer.begin(&Job::change())?;
        let meta =
            NeighboursMeta { params: how.params, seed, dense: checksum, measured: new.measured };
        let file = names::next_part(entry.id, neighbours::KIND);
        let path = writer.storage().path(&file);
        let written = neighbours::write(&path, entry.rows, new.graph.view(), &meta)?;
        entry.parts.retain(|part| part.kind != neighbours::KIND);
        let (kind, version) = (neighbours::KIND, neighbours::VERSION);
        entry.parts.push(PartEntry::new(kind, version, &file, written, false));
        changed = true;
    }
    match changed {
        true => Ok(Some(writer.commit(manifest)?)),
        false => writer.leave().map(|()| None),
    }
}
