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
//! Cost: O(summary components of the lists + components of the documents scored).

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Instant;

use quarry_index::Segment;
use quarry_index::forward::Records;
use quarry_index::seismic::{Lists, SeismicLists, SummaryTerms};
use quarry_vectors::{DocId, TermId};

use crate::SearchError;
use crate::collect::Collector;
use crate::kernels::Kernels;
use crate::query::{FixedQuery, QueryTable, to_score};
use crate::searcher::Stats;

/// Estimates pass through four roundings to f32 (scale, level, sum, product) and thresholds through
/// one, each of at most 2^-24: with this factor none of them costs a document at the threshold.
const ROUNDING: f64 = 1.0 + 1.0 / (1u64 << 21) as f64;
/// Blocks between two looks at the clock.
const STRIDE: u64 = 64;

/// Reused from query to query.
#[derive(Debug, Default)]
pub(crate) struct SeismicScratch {
    blocks: Vec<Estimate>,
    visited: Vec<u64>,
    touched: Vec<u32>,
}

/// A block and the score that its summary promises, in integer units.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    score: f32,
    block: u32,
}

impl PartialEq for Estimate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Estimate {}

impl PartialOrd for Estimate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Estimate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.block.cmp(&self.block))
    }
}

/// What a query is matched against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) records: Records<'a>,
    pub(crate) lists: &'a SeismicLists,
    pub(crate) kernels: Kernels,
    /// What one unit of an integer score is worth.
    pub(crate) unit: f64,
    pub(crate) deadline: Option<Instant>,
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
    (query, table): (&FixedQuery, &QueryTable),
    (k, setting): (usize, Setting),
    scratch: &mut SeismicScratch,
    stats: &mut Stats,
) -> Result<Vec<(f32, DocId)>, SearchError> {
    let Target { segment, records, unit, .. } = target;
    let expired = || target.deadline.is_some_and(|d| Instant::now() >= d);
    let view = target.lists.view()?;
    let mut estimates = std::mem::take(&mut scratch.blocks);
    estimates.clear();
    for (term, _) in query.terms().iter().take(setting.query_cut) {
        if expired() {
            return Err(SearchError::Timeout);
        }
        for block in view.blocks(TermId(*term)) {
            let score = summary_score(&view, block, table);
            estimates.push(Estimate { score, block: u32::try_from(block).unwrap_or(u32::MAX) });
        }
    }
    stats.blocks_estimated += estimates.len() as u64;
    scratch.visited.resize(records.len().div_ceil(64), 0);
    let mut collector = Collector::new(k, segment.documents());
    let mut heap = BinaryHeap::from(estimates);
    let mut visited_blocks = 0u64;
    let outcome = loop {
        let Some(best) = heap.pop() else { break Ok(()) };
        let promised = f64::from(best.score) * unit * ROUNDING;
        let floor = collector.threshold().map(|t| f64::from(t) * f64::from(setting.heap_factor));
        if floor.is_some_and(|floor| promised < floor) {
            break Ok(());
        }
        visited_blocks += 1;
        if visited_blocks.is_multiple_of(STRIDE) && expired() {
            break Err(SearchError::Timeout);
        }
        for &doc in view.docs(best.block as usize) {
            let (word, bit) = (doc as usize / 64, 1u64 << (doc % 64));
            if scratch.visited[word] & bit != 0 {
                continue;
            }
            scratch.visited[word] |= bit;
            scratch.touched.push(doc);
            let sum = target.kernels.score(table, &records, DocId(doc));
            if sum > 0 {
                collector.offer(to_score(sum, unit), DocId(doc));
            }
        }
    };
    stats.blocks_visited += visited_blocks;
    stats.documents_scored += scratch.touched.len() as u64;
    for doc in scratch.touched.drain(..) {
        scratch.visited[doc as usize / 64] = 0;
    }
    scratch.blocks = heap.into_vec();
    outcome.map(|()| collector.into_sorted())
}

/// A block's estimate in integer units: its summary's dot product with the query.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn summary_score(view: &Lists<'_>, block: usize, table: &QueryTable) -> f32 {
    let range = view.summary(block);
    let levels = &view.levels()[range.clone()];
    let sum: i64 = match view.terms() {
        SummaryTerms::U16(terms) => {
            let weights = table.narrow();
            terms[range]
                .iter()
                .zip(levels)
                .map(|(t, l)| i64::from(weights[usize::from(*t)]) * i64::from(*l))
                .sum()
        }
        SummaryTerms::U32(terms) => terms[range]
            .iter()
            .zip(levels)
            .map(|(t, l)| i64::from(table.weight(*t)) * i64::from(*l))
            .sum(),
    };
    sum as f32 * view.scale(block)
}
