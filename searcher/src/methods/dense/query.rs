//! A dense query in the form of the stored rows, and its scores.
//!
//! Rows in int8: the dot product of whole numbers is exact and the same on any machine; times the row's scale and the
//! query's. What is lost, beside 64-bit arithmetic over the given numbers: each of the query's values is off by at
//! most 1/8190 of its largest magnitude, each of a row's by at most 1/254 of the row's. Rows in fp16 and fp32: f32 sums
//! in sixteen lanes, in an order that all kernels keep.

use std::hash::{DefaultHasher, Hash, Hasher};

use half::f16;
use quarry_index::dense::DenseRows;
use quarry_vectors::DenseVector;

use crate::kernels::{Kernels, prefetch};

/// Largest magnitude of a query's whole numbers: 4,096 products with a byte fit 32 bits.
const MOST_LEVEL: f64 = 4095.0;
/// Bytes of a cache line.
const LINE: usize = 64;

/// A query's vector in the forms that rows are compared with, padded with zeros.
#[derive(Debug, Default)]
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

/// Memory that scoring uses again.
#[derive(Debug, Default)]
pub(crate) struct ScoreBuffers {
    sums: Vec<i32>,
    dots: Vec<f32>,
}

/// The stored rows of a segment, and what scores them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DenseScorer<'a> {
    rows: DenseRows<'a>,
    /// Values of a row.
    stride: usize,
    kernels: Kernels,
}

impl<'a> DenseScorer<'a> {
    pub(crate) fn new(rows: DenseRows<'a>, stride: usize, kernels: Kernels) -> Self {
        Self { rows, stride, kernels }
    }

    /// Replaces `out` by the scores of `docs`, in their order. Those of a part whose bytes were not checked may not be
    /// numbers. Zero has one sign, so that equal scores have equal bits.
    ///
    /// # Panics
    /// When a row is not there.
    pub(crate) fn score(
        &self,
        query: &DenseQuery,
        docs: &[u32],
        buffers: &mut ScoreBuffers,
        out: &mut Vec<f64>,
    ) {
        let ScoreBuffers { sums, dots } = buffers;
        sums.clear();
        dots.clear();
        out.clear();
        match self.rows {
            DenseRows::Int8 { rows, scales } => {
                self.kernels.dots_i8(&query.levels, rows, docs, sums);
                out.extend(docs.iter().zip(&*sums).map(|(row, sum)| {
                    let scale = f64::from(scales[*row as usize]) * query.scale;
                    f64::from(*sum) * scale + 0.0
                }));
                return;
            }
            DenseRows::Fp16(rows) => self.kernels.dots_f16(&query.values, rows, docs, dots),
            DenseRows::Fp32(rows) => self.kernels.dots_f32(&query.values, rows, docs, dots),
        }
        out.extend(dots.iter().map(|dot| f64::from(*dot) + 0.0));
    }

    /// Makes `query` the vector of a stored row, as it is stored.
    ///
    /// # Panics
    /// When the row is not there.
    pub(crate) fn query_of(&self, row: u32, query: &mut DenseQuery) {
        let DenseQuery { values, levels, scale } = query;
        values.clear();
        levels.clear();
        *scale = 1.0;
        let (row, at) =
            (row as usize, row as usize * self.stride..(row as usize + 1) * self.stride);
        match self.rows {
            DenseRows::Int8 { rows, scales } => {
                levels.extend(rows[at].iter().map(|value| i16::from(*value)));
                *scale = f64::from(scales[row]);
            }
            DenseRows::Fp16(rows) => {
                values.extend(rows[at].iter().map(|bits| f16::from_bits(*bits).to_f32()));
            }
            DenseRows::Fp32(rows) => values.extend(&rows[at]),
        }
    }

    /// A hash of a row's vector: equal ones have equal hashes.
    ///
    /// # Panics
    /// When the row is not there.
    pub(crate) fn hash(&self, row: u32) -> u64 {
        let (row, at) =
            (row as usize, row as usize * self.stride..(row as usize + 1) * self.stride);
        let mut hasher = DefaultHasher::new();
        match self.rows {
            DenseRows::Int8 { rows, scales } => {
                scales[row].to_bits().hash(&mut hasher);
                rows[at].hash(&mut hasher);
            }
            DenseRows::Fp16(rows) => rows[at].hash(&mut hasher),
            DenseRows::Fp32(rows) => {
                rows[at].iter().for_each(|value| value.to_bits().hash(&mut hasher));
            }
        }
        hasher.finish()
    }

    /// Prefetches a row.
    #[inline]
    pub(crate) fn prefetch(&self, row: u32) {
        let at = row as usize * self.stride;
        match self.rows {
            DenseRows::Int8 { rows, scales } => {
                lines(rows, at, self.stride);
                prefetch(scales, row as usize);
            }
            DenseRows::Fp16(rows) => lines(rows, at, self.stride),
            DenseRows::Fp32(rows) => lines(rows, at, self.stride),
        }
    }
}

/// Prefetches the cache lines of some values.
#[inline]
fn lines<T>(values: &[T], start: usize, count: usize) {
    for at in (start..start + count).step_by(LINE / size_of::<T>()) {
        prefetch(values, at);
    }
}
