//! MaxSim over each stored form, in three forms with equal results to the bit: AVX-512 (VNNI), AVX2,
//! and plain Rust, which is the oracle of the other two.
//!
//! What is computed is fixed:
//!
//! - int8, 4-bit and 1-bit rows: the dot product of bytes is a whole number; times the document row's
//!   scale, f32, rounded once; for 4 bits the centroid's product is added; the largest over the
//!   document's rows; times the query row's scale
//! - fp16 rows: each dot product is a chain of fused multiply-adds in f32, dimension by dimension; the
//!   largest over the document's rows
//! - row `i` of the query is added to lane `i % 16`, rows in order; lanes are added in halves
//!
//! A document without rows has the score 0.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dispatch;
mod prefetch;
mod scalar;

pub use dispatch::{Kernels, Scored};
pub(crate) use prefetch::lines;

use crate::query::{Aligned, LANES};

/// Rows of a document that a kernel works on together, at most.
const BLOCK: usize = 8;

/// Which rows are coded.
const INT8: u8 = 0;
const RESIDUAL: u8 = 1;
const SIGN: u8 = 2;

/// Coded rows of one document, whatever the form.
#[derive(Debug, Clone, Copy, Default)]
struct Coded<'a> {
    /// `bytes_a_row` bytes each.
    rows: &'a [u8],
    scales: &'a [f32],
    /// int8 with bounds.
    errors: &'a [f32],
    /// 4 bits: the centroid of each row, their products with the query, and the levels.
    centroid: &'a [u32],
    table: &'a [f32],
    levels: &'a [i8],
    /// int8: the rows of the document that will be scored next, which are prefetched meanwhile.
    next: &'a [u8],
}

/// Sums by lane.
#[derive(Debug, Clone, Copy)]
struct Sums {
    score: [f32; LANES],
    lower: [f32; LANES],
    upper: [f32; LANES],
}

impl Sums {
    const ZERO: Self = Self { score: [0.0; LANES], lower: [0.0; LANES], upper: [0.0; LANES] };
}

/// Lanes are added in halves: always the same order.
fn total(lanes: [f32; LANES]) -> f32 {
    let mut sums = lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

/// Room for rows that a kernel unpacks. One a thread.
#[derive(Debug, Default)]
pub struct Scratch {
    bytes: Aligned<u8>,
    pairs: Aligned<i16>,
    floats: Aligned<f32>,
}

impl Scratch {
    /// For rows of this many dimensions, padded.
    #[must_use]
    pub fn new(stride: usize) -> Self {
        Self {
            bytes: Aligned::new(BLOCK * stride),
            pairs: Aligned::new(BLOCK * stride),
            floats: Aligned::new(BLOCK * stride),
        }
    }

    /// Room for [`BLOCK`] rows, made larger where it is too small.
    #[cfg(target_arch = "x86_64")]
    fn bytes(&mut self, stride: usize) -> &mut [u8] {
        self.fit(stride).bytes.get_mut()
    }

    #[cfg(target_arch = "x86_64")]
    fn pairs(&mut self, stride: usize) -> &mut [i16] {
        self.fit(stride).pairs.get_mut()
    }

    #[cfg(target_arch = "x86_64")]
    fn floats(&mut self, stride: usize) -> &mut [f32] {
        self.fit(stride).floats.get_mut()
    }

    #[cfg(target_arch = "x86_64")]
    fn fit(&mut self, stride: usize) -> &mut Self {
        if self.bytes.get().len() < BLOCK * stride {
            *self = Self::new(stride);
        }
        self
    }
}
