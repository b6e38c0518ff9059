//! Seismic's search (arXiv:2404.18812) over blocked lists with summaries.
//!
//! 1. take the `query_cut` heaviest query terms
//! 2. estimate every block of their lists from its summary
//! 3. visit blocks best first, over all lists together
//! 4. stop at the first block with `estimate < heap_factor * threshold`
//! 5. score each document of a visited block exactly, once
//!
//! The estimate is an upper bound on a block's documents only when summaries keep all their mass
//! and `heap_factor` is 1. The paper visits list by list; one order for all lists visits no more
//! documents and can stop instead of skipping.
//! Cost: O(entries of the query's terms in the summaries + components of the documents scored).

mod estimate;
mod visit;

use std::time::Instant;

use quarry_index::Segment;
use quarry_index::forward::Records;
use quarry_index::seismic::SeismicLists;
use quarry_vectors::DocId;

use crate::SearchError;
use crate::kernels::Kernels;
use crate::outcome::Stats;
use crate::query::{FixedQuery, Scorer};
use crate::rows::RowSet;

/// Reused from query to query.
#[derive(Debug, Default)]
pub(crate) struct SeismicScratch {
    estimates: estimate::Scratch,
    visits: visit::Scratch,
}

/// What a query is matched against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) records: Records<'a>,
    pub(crate) lists: &'a SeismicLists,
    /// The rows that may be found; all without.
    pub(crate) allowed: Option<&'a RowSet>,
    pub(crate) kernels: Kernels,
    pub(crate) scorer: Scorer<'a>,
    /// What a query weight of one times a level of one is worth in the lists.
    pub(crate) unit: f64,
    pub(crate) deadline: Option<Instant>,
}

impl Target<'_> {
    fn in_time(&self) -> Result<(), SearchError> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(SearchError::Timeout),
            _ => Ok(()),
        }
    }
}

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Setting {
    /// Query terms whose lists are visited, heaviest first.
    pub(crate) query_cut: usize,
    /// Stop at the first block with `estimate < heap_factor * threshold`.
    pub(crate) heap_factor: f32,
}

pub(crate) fn search(
    target: Target<'_>,
    query: &FixedQuery,
    (k, setting): (usize, Setting),
    scratch: &mut SeismicScratch,
    stats: &mut Stats,
) -> Result<Vec<(f32, DocId)>, SearchError> {
    let view = target.lists.view()?;
    let course = (target.kernels, || target.in_time());
    let mut order =
        estimate::estimate(course, &view, query, setting.query_cut, &mut scratch.estimates)?;
    stats.blocks_estimated += order.len() as u64;
    let reused = (&mut scratch.visits, stats);
    let found = visit::visit(&target, &view, (k, setting.heap_factor), &mut order, reused);
    scratch.estimates.order = order.into_vec();
    found
}
