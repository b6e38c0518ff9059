//! ```no_run
//! use std::{num::NonZeroUsize, path::Path, sync::Arc};
//! use quarry_index::{Index, Verify};
//! use quarry_searcher::{ChannelQuery, Options, Searcher};
//! use quarry_vectors::SparseVector;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let index = Index::open(Path::new("my-index"), Verify::Envelope)?;
//!     let searcher = Searcher::new(Arc::new(index));
//!     // Weights by term of the index's lexicon.
//!     let query = SparseVector::from_pairs([(17, 1.5), (402, 0.3)])?;
//!     let found = searcher.search(&ChannelQuery::Sparse(&query), &Options::new(NonZeroUsize::MIN))?;
//!     for hit in &found.hits {
//!         println!("{} {}", searcher.id(hit), hit.score);
//!     }
//!     Ok(())
//! }
//! ```
//!
#![doc = include_str!("../README.md")]

mod error;
mod explain;
mod feedback;
mod filter;
mod kernels;
mod listing;
mod method;
mod methods;
mod neighbours;
mod options;
mod outcome;
mod overlap;
mod passages;
mod planner;
mod random;
mod rerank;
mod row_scores;
mod search;
mod searcher;
mod sparse;
mod term_stats;
#[cfg(test)]
mod testing;
mod word_stats;
mod words;

pub use error::SearchError;
pub use feedback::{Expansion, MOST_FEEDBACK_TERMS};
pub use filter::{Filter, ListedField, syntax as filter_syntax};
pub use kernels::Kernels;
pub use method::Method;
pub use neighbours::{DEFAULT_NEIGHBOURS, LEAST_GRAPH, MadeGraph, make_graph};
pub use options::{
    Bm25Options, DEFAULT_OVERLAP, DenseMethod, DenseSearchOptions, MaxsimOptions, Options,
    SparseOptions,
};
pub use outcome::{Hit, Matched, Outcome, Stats, TokenOrigin, TokenPlace};
pub use overlap::mean_overlap;
pub use planner::calibrate::{CalibrationProgress, CalibrationQueries, calibrate};
pub use planner::plan::LEAST_MEASURED;
pub use rerank::{
    DEFAULT_ALPHA, DEFAULT_BETA, DEFAULT_DEPTH, DEFAULT_WEIGHT, Rerank, RerankParams, RerankQuery,
    RerankStats, Reranked,
};
pub use search::ChannelQuery;
pub use searcher::Searcher;
pub use term_stats::TermStats;
pub use words::WordWeight;
