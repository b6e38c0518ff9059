//! The graph over an index's dense vectors: made where segments lack it.

use std::path::Path;

use quarry_index::folder::read_current;
use quarry_index::neighbours::NeighbourParams;
use quarry_index::{Index, Segment, Verify};
use quarry_indexer::{Event, MakeGraphs, NewGraph, add_neighbours};
use quarry_searcher::{DEFAULT_NEIGHBOURS, LEAST_GRAPH, MadeGraph, make_graph};

use crate::EngineError;

/// How the graph is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GraphOptions {
    /// Neighbours of a row, and rows kept while they are searched; if not given as the index has them, else the
    /// defaults.
    pub params: Option<NeighbourParams>,
    /// Whether a graph that is there already is made again.
    pub replace: bool,
}

/// Adds the graph to every segment that lacks it; `None` if none did.
pub(super) fn add(
    folder: &Path,
    options: GraphOptions,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Option<u64>, EngineError> {
    let has = read_current(folder)?.0.features.neighbours;
    let params = options.params.or(has).unwrap_or(DEFAULT_NEIGHBOURS);
    let replace = options.replace || has.is_some_and(|has| has != params);
    let how = MakeGraphs { params, replace, make: &make };
    Ok(add_neighbours(folder, how, progress)?)
}

/// The same after a change of an index that has a graph; `None` as well if it has none.
pub(super) fn fill(
    folder: &Path,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Option<u64>, EngineError> {
    let lacks = |segment: &Segment| {
        segment.dense().is_some_and(|dense| dense.meta().vectors >= LEAST_GRAPH)
            && segment.neighbours().is_none()
    };
    if read_current(folder)?.0.features.neighbours.is_none() {
        return Ok(None);
    }
    // Looked at first: to take the index for writing is to read all of it.
    let index = Index::open(folder, Verify::Envelope)?;
    let any = index.segments().iter().any(lacks);
    drop(index);
    match any {
        true => add(folder, GraphOptions::default(), progress),
        false => Ok(None),
    }
}

fn make(
    segment: &Segment,
    params: NeighbourParams,
    seed: u64,
    progress: &(dyn Fn(usize) + Sync),
) -> Option<NewGraph> {
    let MadeGraph { graph, measured } = make_graph(segment, params, seed, progress)?;
    Some(NewGraph { graph, measured })
}
