//! Token embeddings of a segment's documents, in the segment's order: what MaxSim compares.
//!
//! A document is a run of rows; `starts` says which. Rows are rounded to half precision; every form
//! that is stored has all of them:
//!
//! - `fp16`: the rows themselves
//! - `int8`: `scale * value`, with an upper bound of the distance to the fp16 row
//! - `4bit`: a centroid plus `scale * level`, sixteen levels for all rows
//! - `1bit`: `scale * sign`
//!
//! Rows are padded with zeros (of `4bit`: with whatever, queries are zero there; of `1bit`: with
//! minus) to a multiple of [`PAD`] dimensions.

mod kept;
mod layout;
mod reorder;
mod residual;
mod rows;
mod store;
mod write;

pub use kept::TokensKept;
pub(crate) use layout::READABLE;
pub use layout::{Form, KIND, PAD, TokensMeta, VERSION};
pub use reorder::{OldRow, alike, reorder};
pub use residual::nearest;
pub use rows::{Int8Rows, ResidualRows, SignRows};
pub use store::TokenStore;
pub use write::{Centroids, RowError, TokensOptions, TokensWriter};
