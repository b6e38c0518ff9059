//! ```no_run
//! use std::{num::NonZeroUsize, path::Path, sync::Arc};
//! use quarry_index::{Index, Verify};
//! use quarry_searcher::{Searcher, SparseParams};
//! use quarry_vectors::SparseVector;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let index = Index::open(Path::new("my-index"), Verify::Envelope)?;
//!     let searcher = Searcher::new(Arc::new(index));
//!     // Weights by term of the index's lexicon.
//!     let query = SparseVector::from_pairs([(17, 1.5), (402, 0.3)])?;
//!     let found = searcher.sparse(&query, &SparseParams::new(NonZeroUsize::MIN))?;
//!     for hit in &found.hits {
//!         println!("{} {}", searcher.id(hit), hit.score);
//!     }
//!     Ok(())
//! }
//! ```
//!
#![doc = include_str!("../README.md")]

mod bm25;
mod calibrate;
mod choose;
mod collect;
mod costs;
mod error;
mod filter;
mod filter_query;
pub mod filter_syntax;
mod filter_values;
mod grid;
mod impact;
mod kernels;
mod made;
mod observed;
mod origins;
mod outcome;
mod overlap;
mod params;
mod passages;
mod plan;
mod query;
mod rerank;
mod rows;
mod scan;
mod searcher;
mod seismic;
#[cfg(test)]
mod testing;
mod topics;
mod wide;

pub use calibrate::{Asked, calibrate};
pub use error::SearchError;
pub use filter::Filter;
pub use kernels::Kernels;
pub use outcome::{Hit, Matched, Outcome, Stats, TokenOrigin, TokenPlace};
pub use overlap::mean_overlap;
pub use params::{Bm25Params, DEFAULT_OVERLAP, Method, SparseParams};
pub use plan::LEAST_MEASURED;
pub use rerank::{
    DEFAULT_ALPHA, DEFAULT_BETA, DEFAULT_DEPTH, DEFAULT_WEIGHT, Rerank, RerankParams, RerankQuery,
    RerankStats, Reranked,
};
pub use searcher::Searcher;
