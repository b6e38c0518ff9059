//! What the part holds, for its writer and its reader.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Name of the part kind.
pub const KIND: &str = "tokens";
/// Version written.
pub const VERSION: u32 = 1;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;
/// On disk, the dimensions of a row are padded to a multiple of this.
pub const PAD: usize = 32;
/// Most dimensions: sums of products of bytes then fit 32 bits with room.
pub(crate) const MOST_DIMS: usize = 4096;
/// Most rows of a document.
pub(crate) const MOST_ROWS: usize = 1 << 20;

/// How rows are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Form {
    /// One byte a dimension, a scale and an error bound a row.
    #[serde(rename = "int8")]
    Int8,
    /// Half precision.
    #[serde(rename = "fp16")]
    Fp16,
    /// A centroid and half a byte a dimension, and a scale a row.
    #[serde(rename = "4bit")]
    Residual,
    /// One bit a dimension, and a scale a row.
    #[serde(rename = "1bit")]
    Sign,
}

impl Form {
    /// All of them, as they stand in a file.
    pub const ALL: [Self; 4] = [Self::Int8, Self::Fp16, Self::Residual, Self::Sign];

    /// Its name in commands and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Fp16 => "fp16",
            Self::Residual => "4bit",
            Self::Sign => "1bit",
        }
    }

    /// Bytes that one row of `stride` dimensions takes, with what stands beside it.
    #[must_use]
    pub fn bytes_a_row(self, stride: usize) -> usize {
        match self {
            Self::Int8 => stride + 8,
            Self::Fp16 => 2 * stride,
            Self::Residual => stride / 2 + 8,
            Self::Sign => stride / 8 + 4,
        }
    }
}

/// What the part says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokensMeta {
    /// Dimensions of a row.
    pub dims: usize,
    /// Dimensions of a stored row: `dims`, padded.
    pub stride: usize,
    /// Rows of all documents.
    pub tokens: u64,
    /// Rows of the longest document.
    pub longest: u64,
    /// The forms that are stored.
    pub forms: Vec<Form>,
    /// At least the length of any row as any of int8 and fp16 has it.
    pub max_norm: f32,
    /// Mean bound of the distance between a row and its int8 form; 0 without one.
    pub(crate) mean_error: f64,
    /// How many rows one pooled row stands for, at most; 1 without pooling.
    pub pool: usize,
    /// Centroids of the form `4bit`.
    pub(crate) centroids: usize,
    /// Where the embeddings come from: the encoder's identity, or the imported file's name.
    pub source: serde_json::Value,
}
