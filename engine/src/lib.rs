#![doc = include_str!("../README.md")]

mod collection;
mod describe;
mod error;
mod filters;
mod hits;
mod models;
mod query;
mod rerank;
mod search;
mod snapshot;
mod warning;
mod words;

pub use collection::{Collection, OpenOptions, QueryModel};
pub use describe::Description;
pub use error::EngineError;
pub use models::{MadeBy, ModelSource, Models, identity, needs_network, token_options};
pub use query::{ChannelQuery, EncodedQuery, Query, SparseQuery};
pub use rerank::{SecondStage, TokenModel, TokensOptions};
pub use search::{
    Answer, Bm25Options, Channel, ChannelScores, Document, Hit, Placed, RerankOptions,
    RerankReport, Search, SearchOptions, SparseOptions, Timings, Version,
};
pub use snapshot::{Retrieved, Snapshot};
pub use warning::{Warning, WarningKind};

// What stands in the types above.
pub use quarry_encoders::{Device, Hub, HubEvent};
pub use quarry_index::doctable::PassageSpan;
pub use quarry_index::tokens::Form;
pub use quarry_index::{Index, IndexError, Verify};
pub use quarry_reranker::Device as ScoreDevice;
pub use quarry_searcher::{
    DEFAULT_ALPHA, DEFAULT_BETA, DEFAULT_DEPTH, DEFAULT_OVERLAP, DEFAULT_WEIGHT, Matched, Method,
    Outcome, RerankParams, RerankStats, SearchError, SparseParams, Stats, TokenOrigin, TokenPlace,
};
