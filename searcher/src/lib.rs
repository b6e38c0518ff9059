#![doc = include_str!("../README.md")]

mod bm25;
mod collect;
mod error;
mod exact;
mod overlap;
mod query;
mod searcher;
mod seismic;

pub use error::SearchError;
pub use overlap::mean_overlap;
pub use searcher::{Bm25Params, Hit, Matched, Method, Outcome, Searcher, SparseParams, Stats};
