//! What the part holds, for its writer and its reader.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::levels::{Quantization, TermWidth};

/// Name of the part kind.
pub const KIND: &str = "forward";
/// Version written.
pub const VERSION: u32 = 2;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;

/// Records begin at multiples of this many bytes of the section `records`.
pub(super) const UNIT: usize = 16;
/// Bits of a table entry that hold the number of components; the rest is the place in units.
pub(super) const COUNT_BITS: u32 = 24;
/// Bytes after the last record that kernels may read but never use.
pub const SLACK: usize = 64;

/// What the part says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForwardMeta {
    /// Terms of records and lists are below this: the lexicon's, then the scaled ones.
    pub dimension: u32,
    /// Width of a term.
    pub terms: TermWidth,
    /// How weights are stored.
    pub quantization: Quantization,
    /// Levels of all documents together: a component has one, or two.
    pub components: u64,
    /// Largest |weight - what is stored for it| over all components, in original units.
    pub max_error: f64,
    /// Mean of (weight - what is stored for it)^2, in original units squared.
    pub mean_square_error: f64,
    /// Scaled terms, the last numbers below `dimension`.
    #[serde(default)]
    pub(crate) scaled: u32,
    /// Weights up to this may be off by as much; in original units.
    #[serde(default)]
    pub tolerance: Option<f64>,
    /// Largest |weight - what is stored for it| / weight over the components heavier than `tolerance`.
    /// Version 1 did not note it.
    #[serde(default)]
    pub max_relative_error: f64,
}

/// What weights that are written again are off by already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorBefore {
    /// As [`ForwardMeta::max_error`].
    pub(crate) largest: f64,
    /// As [`ForwardMeta::max_relative_error`].
    pub(crate) relative: f64,
    /// Sum of the squares of all errors, in original units squared.
    pub squares: f64,
}

impl ErrorBefore {
    /// What a forward index says of itself.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a sum of errors")]
    pub fn of(meta: &ForwardMeta) -> Self {
        Self {
            largest: meta.max_error,
            relative: meta.max_relative_error,
            squares: meta.mean_square_error * meta.components as f64,
        }
    }

    /// Of both together.
    pub fn merge(&mut self, other: &Self) {
        self.largest = self.largest.max(other.largest);
        self.relative = self.relative.max(other.relative);
        self.squares += other.squares;
    }
}
