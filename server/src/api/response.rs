//! Responses. Fields may be added, never renamed or removed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Channel, FieldResponse, Method};

/// The index and generation that a response is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IndexVersion {
    /// The index's id (a UUID), the same for all its generations.
    pub id: String,
    /// The generation searched.
    pub generation: u64,
}

/// The response to a search.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SearchResponse {
    /// What was searched.
    pub index: IndexVersion,
    /// The method that was used; never `auto`.
    #[schema(inline)]
    pub method: Method,
    /// Whether some part of the index gave no answer. Always false at present.
    pub partial: bool,
    /// Time of each stage.
    pub timings_us: Timings,
    /// With `feedback` and `explain`: what was searched the second time, by channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expanded: Option<Vec<ExpandedQuery>>,
    /// With `rerank`: statistics of reranking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank: Option<RerankReport>,
    /// Problems with the request that did not prevent an answer.
    pub warnings: Vec<Warning>,
    /// Hits, best first.
    pub hits: Vec<Hit>,
}

/// Microseconds per stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Timings {
    /// Encoding the query; 0 for a query that is a vector.
    pub encode: u64,
    /// Search, without stored fields and explanations; with `feedback` the first one.
    pub search: u64,
    /// From what the first search found to new queries; 0 without `feedback`.
    pub feedback: u64,
    /// The search with these; 0 without `feedback`.
    pub second_search: u64,
    /// Fusing the rankings of several channels; 0 with one channel.
    pub fuse: u64,
    /// Encoding the query's token embeddings; 0 without `rerank`.
    pub tokens: u64,
    /// Reranking; 0 without `rerank`.
    pub rerank: u64,
}

/// A query with what documents added to it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExpandedQuery {
    /// The channel that it was searched on.
    pub channel: Channel,
    /// Ids of the documents that added to it, best first.
    pub documents: Vec<String>,
    /// Its terms, heaviest first. The weights have the same sum as those of the query that was asked.
    pub terms: Vec<ExpandedTerm>,
}

/// A term of an expanded query.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExpandedTerm {
    /// The token; on `bm25` the word as it is indexed.
    pub token: String,
    /// Its weight.
    pub weight: f64,
    /// Whether the documents brought it: the query that was asked did not have it.
    pub added: bool,
}

/// Statistics of reranking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RerankReport {
    /// The device that scored.
    pub device: String,
    /// Candidates found by the first stage.
    pub candidates: u64,
    /// Candidates pruned by `alpha`.
    pub pruned: u64,
    /// Candidates skipped by `beta`.
    pub skipped: u64,
    /// Candidates scored.
    pub scored: u64,
    /// Candidates scored again with fp16 embeddings.
    pub rescored: u64,
    /// Candidates without token embeddings, which keep their place.
    pub without_tokens: u64,
}

/// A problem that may have made the answer worse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Warning {
    /// The kind, for programs.
    pub code: WarningCode,
    /// A message for people.
    pub message: String,
    /// Number of names concerned.
    pub count: usize,
    /// The first of these names.
    pub names: Vec<String>,
}

/// Kinds of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WarningCode {
    /// Tokens, term numbers or words of the query that are not in the index.
    UnknownTokens,
    /// Nothing in the query is known to the index, so there are no hits.
    EmptyQuery,
    /// Requested fields that no hit has.
    UnknownFields,
    /// With `rerank`: candidates without token embeddings, which were not rescored.
    NoTokens,
    /// `k1` and `b` are not those of the index's lists of words, so that the search took longer.
    EveryPosting,
}

/// A document that was found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Hit {
    /// Its rank, from 1.
    pub rank: usize,
    /// The document's id in the collection.
    pub id: String,
    /// The score that it is ranked by; larger is better.
    pub score: f64,
    /// Its score on each channel that found it.
    pub scores: Scores,
    /// With several channels: its rank on each channel that found it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks: Option<Ranks>,
    /// If the document was split: the passage that was found; `text` is then that of the passage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passage: Option<Passage>,
    /// The requested stored fields that the document has.
    #[schema(value_type = Object)]
    pub fields: serde_json::Map<String, serde_json::Value>,
    /// With `explain`: matched tokens, largest contribution first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<Vec<MatchedToken>>,
}

/// Position of a passage in its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Passage {
    /// Its number among the document's passages, from 0.
    pub ordinal: u32,
    /// Offset of its first byte in the document's text.
    pub start: u64,
    /// Offset after its last byte.
    pub end: u64,
}

/// Ranks by channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ranks {
    /// On the sparse channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparse: Option<usize>,
    /// On the channel `bm25`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bm25: Option<usize>,
    /// By the dense vectors' dot product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dense: Option<usize>,
}

/// Scores by channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
pub struct Scores {
    /// Dot product of the vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparse: Option<f64>,
    /// BM25.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bm25: Option<f64>,
    /// Dot product of the dense vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dense: Option<f64>,
    /// With `rerank`: the final score, which hits are ranked by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank: Option<f64>,
}

/// A token that query and document share.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MatchedToken {
    /// The token.
    pub token: String,
    /// Its weight in the query.
    pub query_weight: f32,
    /// Its weight in the document, as stored.
    pub document_weight: f32,
    /// Its part of the score; the contributions of all tokens sum to the score.
    pub contribution: f64,
    /// The document's token that gave this weight, if the index stores provenance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// The token of a document that a matched token's weight comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TokenOrigin)]
pub struct Origin {
    /// Its position in the model's input, from 0, counting special tokens.
    pub position: u32,
    /// `max`: it gave the whole weight; `sum`: the largest part of it.
    pub pooled_by: &'static str,
    /// `title` or `text`; absent, like the fields below, for a special token of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
    /// Offset of its first byte in the field; for a passage, in the passage's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<usize>,
    /// Offset after its last byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<usize>,
    /// The word that contains it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
}

/// A stored document.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DocumentResponse {
    /// The index and generation that it was read from.
    pub index: IndexVersion,
    /// The document's id in the collection.
    pub id: String,
    /// Its version, also in the header `ETag`: the number of the change that wrote it, or one of its segment's. Two contents
    /// never have the same.
    pub version: u64,
    /// `title`, `text` and the document's other fields; empty ones are omitted.
    #[schema(value_type = Object)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// All collections served.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CollectionsResponse {
    /// The collections, by name.
    pub collections: Vec<CollectionResponse>,
}

/// A collection and its capabilities.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CollectionResponse {
    /// Its name in routes.
    pub name: String,
    /// Other names that it has there.
    pub aliases: Vec<String>,
    /// The index and generation being served.
    pub index: IndexVersion,
    /// Number of documents.
    pub documents: u64,
    /// Identity of the encoder of each channel, as recorded in the index.
    #[schema(value_type = Object)]
    pub encoders: serde_json::Map<String, serde_json::Value>,
    /// What searches can use.
    pub capabilities: Capabilities,
    /// Fields of the documents, by name, at most 256; only where one collection is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<FieldResponse>>,
    /// Whether there are more fields.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_fields: bool,
}

/// What searches of a collection can use.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Capabilities {
    /// Channels that can be searched.
    pub channels: Vec<Channel>,
    /// Channels that take `query.text`.
    pub text_queries: Vec<Channel>,
    /// Methods of the sparse channel.
    pub methods: Vec<Method>,
    /// Channels that can explain hits.
    pub explain: Vec<Channel>,
    /// Whether `rerank` works.
    pub rerank: bool,
    /// Whether documents' fields are stored.
    pub stored_fields: bool,
    /// Bounds of a request.
    pub limits: Limits,
}

/// Limits of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Limits {
    /// Largest `k`.
    pub k: u32,
    /// Most bytes of a query's text.
    pub query_bytes: usize,
    /// Most terms of a query vector.
    pub query_terms: usize,
    /// Most stored fields in one request.
    pub fields: usize,
    /// Most bytes of a request body.
    pub body_bytes: usize,
    /// Most bytes of a response; absent if not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_bytes: Option<usize>,
    /// Time limit of a search that sets no `timeout_ms`, in milliseconds.
    pub default_timeout_ms: u64,
    /// Largest `timeout_ms`, in milliseconds.
    pub max_timeout_ms: u64,
}
