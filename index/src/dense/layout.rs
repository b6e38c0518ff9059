//! What the part holds, for its writer and its reader.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Name of the part kind.
pub const KIND: &str = "dense";
/// Version written.
pub const VERSION: u32 = 1;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;
/// On disk, the dimensions of a row are padded to a multiple of this.
pub const PAD: usize = 32;
/// Most dimensions: sums of products of a byte and 13 bits then fit 32 bits.
pub const MOST_DIMS: usize = 4096;

/// How vectors are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DenseStorage {
    /// One byte a dimension, and a scale a row.
    #[default]
    Int8,
    /// Half precision.
    Fp16,
    /// Single precision.
    Fp32,
}

impl DenseStorage {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Int8, Self::Fp16, Self::Fp32];

    /// Its name in commands and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Fp16 => "fp16",
            Self::Fp32 => "fp32",
        }
    }

    /// Bytes of a value.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Int8 => 1,
            Self::Fp16 => 2,
            Self::Fp32 => 4,
        }
    }

    /// Bytes that a row of `stride` dimensions takes, with its scale.
    #[must_use]
    pub fn bytes_a_row(self, stride: usize) -> usize {
        self.bytes() * stride + if self == Self::Int8 { 4 } else { 0 }
    }
}

/// What the part says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DenseMeta {
    /// Dimensions of a vector.
    pub dims: usize,
    /// Dimensions of a stored row: `dims`, padded.
    pub stride: usize,
    /// Rows that have a vector.
    pub vectors: u64,
    /// How they are stored.
    pub storage: DenseStorage,
    /// Where the vectors come from: the encoder's identity, or the imported file's name.
    pub source: serde_json::Value,
}
