//! Dense vectors of a segment's rows, in the segment's order: one vector a row, or none.
//!
//! A vector is stored in one of three forms:
//!
//! - `int8`: `scale * value`, a scale a row. A value is off by at most half a scale, which is 1/254 of the row's
//!   largest magnitude
//! - `fp16`: half precision
//! - `fp32`: as it was given
//!
//! Rows are padded with zeros to a multiple of [`PAD`] dimensions. Which rows have a vector, a bitmap says; the
//! others are zero.

mod kept;
mod layout;
mod reorder;
mod store;
mod write;

pub use kept::DenseKept;
pub(crate) use layout::READABLE;
pub use layout::{DenseMeta, DenseStorage, KIND, MOST_DIMS, PAD, VERSION};
pub use reorder::{alike, reorder};
pub use store::{DenseRows, DenseStore};
pub use write::{DenseOptions, DenseRowError, DenseWriter};
