#![doc = include_str!("../README.md")]

mod channel;
mod channel_list;
mod collection;
mod dense;
mod describe;
mod error;
pub mod evaluate;
mod feedback;
mod fields;
mod filters;
mod fusion;
mod hits;
mod kept_encoders;
mod listing;
mod model_source;
mod models;
mod query;
mod ranked;
mod remembered;
mod rerank;
mod rescoring;
mod search;
mod snapshot;
pub mod store;
mod warning;
mod words;
mod work;
pub mod write;

pub use channel::Channel;
pub use collection::{Collection, OpenOptions, QueryModel};
pub use dense::DenseModel;
pub use describe::Description;
pub use error::EngineError;
pub use feedback::{FeedbackCondition, FeedbackFrom, FeedbackOptions, MOST_FEEDBACK_DEPTH};
pub use fields::{DescribedField, DescribedFields};
pub use filters::check_filter;
pub use fusion::{
    BM25_WEIGHT, ChannelWeight, DEFAULT_RRF_K, DEFAULT_WINDOW, FoundOn, FusionMethod,
    FusionOptions, LEAST_WEIGHT, MOST_RRF_K, MOST_WEIGHT,
};
pub use listing::{Listing, Page, PageWanted};
pub use model_source::ModelSource;
pub use models::{MadeBy, MadeByDense, Models, OnFetch, identity, needs_network, token_options};
pub use query::{ChannelQuery, EncodedQuery, Query, SparseQuery};
pub use ranked::Ranked;
pub use rerank::{RerankOptions, SecondStage, TokenModel, TokensOptions};
pub use search::{
    Answer, ChannelScores, ExpandedQuery, ExpandedTerm, Hit, Placed, RerankReport, Search,
    SearchOptions, StoredDocument, Timings, Version,
};
pub use snapshot::{FirstStage, Retrieved, Snapshot};
pub use warning::{Warning, WarningKind};
pub use write::{WriteError, Writer};

// Types that appear in the API above.
pub use quarry_datasets::export::DocumentLine;
pub use quarry_datasets::{RefusedDocument, read_sent_document};
pub use quarry_encoders::{Device, DocumentOptions, Hub, HubEvent, Model};
pub use quarry_index::dense::DenseStorage;
pub use quarry_index::doctable::PassageSpan;
pub use quarry_index::fields::{FieldRule, FieldType};
pub use quarry_index::tokens::Form;
pub use quarry_index::{Index, IndexError, Verify};
pub use quarry_indexer::BuildError;
pub use quarry_reranker::Device as ScoreDevice;
pub use quarry_searcher::{
    Bm25Options, ChannelQuery as RowQuery, DEFAULT_ALPHA, DEFAULT_BETA, DEFAULT_DEPTH,
    DEFAULT_NEIGHBOURS, DEFAULT_OVERLAP, DEFAULT_WEIGHT, DenseMethod, DenseSearchOptions,
    Expansion, Filter, Hit as FoundRow, LEAST_MEASURED, MOST_FEEDBACK_TERMS, Matched,
    MaxsimOptions, Method, Options as RowOptions, Outcome, RerankParams, RerankQuery, RerankStats,
    Reranked, SearchError, Searcher, SparseOptions, Stats, TermStats, TokenOrigin, TokenPlace,
    WordWeight,
};
pub use quarry_vectors::{
    DenseVector, DenseVectorError, Document, EncodeDense, EncodeError, InputVector, SparseVector,
    TokenEmbeddings,
};
