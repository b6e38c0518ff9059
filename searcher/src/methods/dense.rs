//! Dense vectors: every row is scored by its dot product with the query's vector. The exact search, and so far the
//! only one.
//!
//! 1. bring the query to the form of the rows (int8: whole numbers of 13 bits with one scale)  2. score every row that
//!    has a vector, or every such row that may be found  3. keep the k best
//!
//! Rows in int8: the dot product of whole numbers is exact and the same on any machine; times the row's scale and the
//! query's. What is lost, beside 64-bit arithmetic over the given numbers: each of the query's values is off by at
//! most 1/8190 of its largest magnitude, each of a row's by at most 1/254 of the row's. Rows in fp16 and fp32: f32 sums
//! in sixteen lanes, in an order that all kernels keep.
//!
//! Cost: reads every row once for each query.

use std::time::Instant;

use quarry_index::Segment;
use quarry_index::dense::{DenseRows, DenseStore};
use quarry_vectors::{DenseVector, DocId};

use crate::error::SearchError;
use crate::filter::rows::RowSet;
use crate::kernels::Kernels;
use crate::methods::collect::{Scored, SegmentHits, best, kth};
use crate::options::Options;
use crate::outcome::Stats;

/// Rows between two looks at the clock.
const STRIDE: usize = 4096;
/// Largest magnitude of a query's whole numbers: 4,096 products with a byte fit 32 bits.
const MOST_LEVEL: f64 = 4095.0;

/// A query's vector in the forms that rows are compared with, padded with zeros.
#[derive(Debug)]
pub(crate) struct DenseQuery {
    values: Vec<f32>,
    levels: Vec<i16>,
    /// What one of the levels is worth.
    scale: f64,
}

impl DenseQuery {
    /// For rows of `stride` values, at least as many as the vector has.
    #[expect(clippy::cast_possible_truncation, reason = "rounded to at most 4095 in magnitude")]
    pub(crate) fn new(vector: &DenseVector, stride: usize) -> Self {
        let mut values = vector.values().to_vec();
        let largest = values.iter().fold(0f32, |most, value| most.max(value.abs()));
        // A vector is not zero.
        let scale = f64::from(largest) / MOST_LEVEL;
        let level = |value: &f32| (f64::from(*value) / scale).round() as i16;
        let mut levels: Vec<i16> = values.iter().map(level).collect();
        values.resize(stride, 0.0);
        levels.resize(stride, 0);
        Self { values, levels, scale }
    }
}

pub(crate) fn search(
    (segment, allowed): (&Segment, Option<&RowSet>),
    store: &DenseStore,
    query: &DenseQuery,
    params: &Options<'_>,
    kernels: Kernels,
    stats: &mut Stats,
) -> Result<SegmentHits, SearchError> {
    let count = u32::try_from(store.documents()).unwrap_or(u32::MAX);
    let all: Box<dyn Iterator<Item = u32>> = match allowed {
        Some(allowed) => Box::new(allowed.iter()),
        None => Box::new(0..count),
    };
    let mut rows = all.filter(|row| store.has(DocId(*row)));
    let k = params.k.get();
    let (mut some, mut scored) = (Vec::with_capacity(STRIDE), Vec::new());
    let (mut sums, mut dots) = (Vec::with_capacity(STRIDE), Vec::with_capacity(STRIDE));
    loop {
        some.clear();
        some.extend(rows.by_ref().take(STRIDE));
        if some.is_empty() {
            return Ok(best(k, &mut scored, segment.documents()));
        }
        if params.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(SearchError::Timeout);
        }
        sums.clear();
        dots.clear();
        match store.rows() {
            DenseRows::Int8 { rows, scales } => {
                kernels.dots_i8(&query.levels, rows, &some, &mut sums);
                let score = |(row, sum): (&u32, &i32)| {
                    let scale = f64::from(scales[*row as usize]) * query.scale;
                    (*row, f64::from(*sum) * scale)
                };
                offer(some.iter().zip(&sums).map(score), &mut scored);
            }
            DenseRows::Fp16(rows) => {
                kernels.dots_f16(&query.values, rows, &some, &mut dots);
                let score = |(row, dot): (&u32, &f32)| (*row, f64::from(*dot));
                offer(some.iter().zip(&dots).map(score), &mut scored);
            }
            DenseRows::Fp32(rows) => {
                kernels.dots_f32(&query.values, rows, &some, &mut dots);
                let score = |(row, dot): (&u32, &f32)| (*row, f64::from(*dot));
                offer(some.iter().zip(&dots).map(score), &mut scored);
            }
        }
        stats.documents_scored += some.len() as u64;
        // What cannot be among the best is let go.
        if scored.len() > k.max(STRIDE).saturating_mul(2)
            && let Some(least) = kth(k, &mut scored)
        {
            scored.retain(|found| found.score >= least);
        }
    }
}

/// Keeps scores that are numbers: those of a part whose bytes were not checked may be none. Zero has one sign, so that
/// equal scores have equal bits.
fn offer(found: impl Iterator<Item = (u32, f64)>, scored: &mut Vec<Scored>) {
    let numbers = found.filter(|(_, score)| score.is_finite());
    scored.extend(numbers.map(|(row, score)| Scored { score: score + 0.0, doc: DocId(row) }));
}
