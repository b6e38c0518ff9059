//! Best-first walk over a graph of near rows.
//!
//! 1. score the seeds: the graph's entries, and rows that another search found  2. expand the best row not yet
//!    expanded: score those of its neighbours that were not scored before  3. stop when the best row left is worse than
//!    the worst of a full beam
//!
//! Rows that may not be found are walked through but do not enter the beam. Scores are those of the scan, to the bit.
//! Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical navigable small
//! world graphs", TPAMI 2020 (the search in one layer); seeds of another ranking: Kulkarni, MacAvaney, Goharian and
//! Frieder, "Lexically Accelerated Dense Retrieval", SIGIR 2023.
//!
//! Cost: some 20 scored rows for each place of the beam, fewer in a wide one; the share that a filter leaves divides
//! it.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use quarry_index::neighbours::NeighbourRows;

use crate::methods::dense::query::{DenseQuery, DenseScorer, ScoreBuffers};

/// A row and its score; the best is the largest, of equal ones that of the smallest number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Near {
    pub(crate) score: f64,
    pub(crate) row: u32,
}

impl Eq for Near {}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.row.cmp(&self.row))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Memory that walks use again.
#[derive(Debug, Default)]
pub(crate) struct WalkScratch {
    /// Bit `row % 64` of word `row / 64`: whether the row was scored. Clear between walks.
    seen: Vec<u64>,
    /// The rows whose bit is set.
    touched: Vec<u32>,
    frontier: BinaryHeap<Near>,
    beam: BinaryHeap<Reverse<Near>>,
    batch: Vec<u32>,
    scores: Vec<f64>,
    buffers: ScoreBuffers,
}

impl WalkScratch {
    fn begin(&mut self, rows: usize) {
        for row in self.touched.drain(..) {
            self.seen[row as usize / 64] = 0;
        }
        if self.seen.len() < rows.div_ceil(64) {
            self.seen.resize(rows.div_ceil(64), 0);
        }
        self.frontier.clear();
        self.beam.clear();
    }

    /// Puts a row into the next batch, unless it was in one.
    #[inline]
    fn visit(&mut self, row: u32) -> bool {
        let (word, bit) = (row as usize / 64, 1 << (row % 64));
        let fresh = self.seen[word] & bit == 0;
        if fresh {
            self.seen[word] |= bit;
            self.touched.push(row);
            self.batch.push(row);
        }
        fresh
    }

    /// What the last walk found, in no order.
    pub(crate) fn found(&self) -> impl Iterator<Item = Near> {
        self.beam.iter().map(|near| near.0)
    }
}

/// What walks of one segment have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk<'a> {
    pub(crate) graph: NeighbourRows<'a>,
    pub(crate) scorer: DenseScorer<'a>,
    /// Rows of the segment; larger numbers are passed over.
    pub(crate) rows: usize,
    /// Subtracted from each row's score; `None` for nothing.
    pub(crate) offsets: Option<&'a [f64]>,
    /// Rows that are kept, at least one.
    pub(crate) beam: usize,
}

/// Why a walk was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped;

impl Walk<'_> {
    /// Walks from the graph's entries and `seeds`, keeping the best rows that `admits` lets in; returns the number
    /// of rows scored. `stops` is asked before each expansion.
    pub(crate) fn run(
        &self,
        query: &DenseQuery,
        seeds: impl Iterator<Item = u32>,
        admits: impl Fn(u32) -> bool,
        stops: impl Fn() -> bool,
        scratch: &mut WalkScratch,
    ) -> Result<u64, Stopped> {
        scratch.begin(self.rows);
        let mut scored = 0;
        for row in self.graph.entries.iter().copied().chain(seeds) {
            if (row as usize) < self.rows {
                scratch.visit(row);
            }
        }
        loop {
            scored += self.take(query, &admits, scratch);
            let Some(next) = scratch.frontier.pop() else { return Ok(scored) };
            let full = scratch.beam.len() >= self.beam;
            if full && scratch.beam.peek().is_some_and(|worst| next.score < worst.0.score) {
                return Ok(scored);
            }
            if stops() {
                return Err(Stopped);
            }
            for row in self.graph.of(next.row) {
                // Missing neighbours have the largest number.
                if (*row as usize) < self.rows && scratch.visit(*row) {
                    self.scorer.prefetch(*row);
                }
            }
        }
    }

    /// Scores the batch; what the beam takes, or may lead to it, is expanded later.
    fn take(
        &self,
        query: &DenseQuery,
        admits: &impl Fn(u32) -> bool,
        scratch: &mut WalkScratch,
    ) -> u64 {
        let WalkScratch { frontier, beam, batch, scores, buffers, .. } = scratch;
        self.scorer.score(query, batch, buffers, scores);
        for (row, score) in batch.iter().zip(scores) {
            let offset = self.offsets.map_or(0.0, |offsets| offsets[*row as usize]);
            let near = Near { score: *score - offset, row: *row };
            let full = beam.len() >= self.beam;
            let enters = !full || beam.peek().is_some_and(|worst| near > worst.0);
            if !enters || !near.score.is_finite() {
                continue;
            }
            frontier.push(near);
            if !admits(*row) {
                continue;
            }
            if full {
                beam.pop();
            }
            beam.push(Reverse(near));
        }
        let scored = batch.len() as u64;
        batch.clear();
        scored
    }
}
