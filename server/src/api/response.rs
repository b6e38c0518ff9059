//! What is answered. Fields may be added, never renamed or removed.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Channel, Method};

/// Which state of which index an answer is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IndexVersion {
    /// The index's own id (a UUID), kept over its generations.
    pub id: String,
    /// The generation searched.
    pub generation: u64,
}

/// The answer to a search.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SearchResponse {
    /// What was searched.
    pub index: IndexVersion,
    /// How it was searched: never `auto`.
    #[schema(inline)]
    pub method: Method,
    /// Whether some part of the index gave no answer. Always false for now.
    pub partial: bool,
    /// Where the time went.
    pub timings_us: Timings,
    /// With `feedback` and `explain`: what was searched the second time, by channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expanded: Option<Vec<ExpandedQuery>>,
    /// With `rerank`: what the second stage did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank: Option<RerankReport>,
    /// What the caller should know although there is an answer.
    pub warnings: Vec<Warning>,
    /// Hits, best first.
    pub hits: Vec<Hit>,
}

/// Microseconds a stage took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Timings {
    /// Query to vector; 0 for a query that is a vector.
    pub encode: u64,
    /// Search, without stored fields and explanations; with `feedback` the first one.
    pub search: u64,
    /// From what the first search found to new queries; 0 without `feedback`.
    pub feedback: u64,
    /// The search with these; 0 without `feedback`.
    pub second_search: u64,
    /// Several channels' rankings to one; 0 with one channel.
    pub fuse: u64,
    /// Query to token embeddings; 0 without `rerank`.
    pub tokens: u64,
    /// The second stage; 0 without `rerank`.
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

/// What a second stage did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RerankReport {
    /// What it ran on.
    pub device: String,
    /// Documents that the search handed on.
    pub candidates: u64,
    /// Left out by `alpha`.
    pub pruned: u64,
    /// Left out by `beta`.
    pub skipped: u64,
    /// Scored.
    pub scored: u64,
    /// Scored again over fp16 rows.
    pub rescored: u64,
    /// Left where the search put them, since they have no token embeddings.
    pub without_tokens: u64,
}

/// Something that made the answer poorer than it might have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Warning {
    /// For programs.
    pub code: WarningCode,
    /// For people.
    pub message: String,
    /// How many names it is about.
    pub count: usize,
    /// The first of them.
    pub names: Vec<String>,
}

/// What a warning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WarningCode {
    /// Tokens, term numbers or words of the query that the index does not know.
    UnknownTokens,
    /// Nothing of the query is known to the index, so there are no hits.
    EmptyQuery,
    /// Fields asked for that no hit has.
    UnknownFields,
    /// With `rerank`: candidates without token embeddings, which were not rescored.
    NoTokens,
}

/// A document found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Hit {
    /// Its place, from 1.
    pub rank: usize,
    /// The collection's own name of the document.
    pub id: String,
    /// What it is ranked by; larger is better.
    pub score: f64,
    /// Its score on each channel searched, as far as the channel found it.
    pub scores: Scores,
    /// With several channels: its place in each channel's ranking, from 1, as far as the channel found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks: Option<Ranks>,
    /// The passage that the hit is, where the document was split; `text` then is the passage's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passage: Option<Passage>,
    /// The stored fields asked for, as far as the document has them.
    #[schema(value_type = Object)]
    pub fields: serde_json::Map<String, serde_json::Value>,
    /// With `explain`: matched tokens, largest contribution first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<Vec<MatchedToken>>,
}

/// Where a passage lies in its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Passage {
    /// Its place among the document's passages, from 0.
    pub ordinal: u32,
    /// Its first byte in the document's text.
    pub start: u64,
    /// The byte behind its last.
    pub end: u64,
}

/// Places by channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ranks {
    /// By the vectors' dot product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparse: Option<usize>,
    /// By BM25.
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
    /// With `rerank`: the second stage's, which hits are ranked by.
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
    /// Its share of the score; all shares sum to the score.
    pub contribution: f64,
    /// The token of the document that gave it its weight there, where the index keeps that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// The token of a document that a matched token's weight comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TokenOrigin)]
pub struct Origin {
    /// Its position in the model's input, from 0; tokens that the tokenizer adds are counted.
    pub position: u32,
    /// `max`: it gave the whole weight; `sum`: the largest share.
    pub pooled_by: &'static str,
    /// `title` or `text`; absent, as what follows, for a token of the model's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
    /// Its first byte in the field; of a passage in the passage's own text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<usize>,
    /// The byte behind its last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<usize>,
    /// The word that it is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
}

/// A stored document.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DocumentResponse {
    /// Where it was read.
    pub index: IndexVersion,
    /// The collection's own name of the document.
    pub id: String,
    /// `title`, `text` and its other fields; empty ones are left out.
    #[schema(value_type = Object)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// Every collection served.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CollectionsResponse {
    /// One for now.
    pub collections: Vec<CollectionResponse>,
}

/// A collection and what can be asked of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CollectionResponse {
    /// Its name in routes.
    pub name: String,
    /// What is served.
    pub index: IndexVersion,
    /// Number of documents.
    pub documents: u64,
    /// The encoder's identity by channel, as the index recorded it.
    #[schema(value_type = Object)]
    pub encoders: serde_json::Map<String, serde_json::Value>,
    /// What can be asked.
    pub capabilities: Capabilities,
}

/// What can be asked of a collection.
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

/// Bounds of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Limits {
    /// Results.
    pub k: u32,
    /// Bytes of a query's text.
    pub query_bytes: usize,
    /// Terms of a query vector.
    pub query_terms: usize,
    /// Stored fields asked for.
    pub fields: usize,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Bytes of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_bytes: Option<usize>,
    /// Milliseconds of a search when the request does not say.
    pub default_timeout_ms: u64,
    /// Most milliseconds of a search.
    pub max_timeout_ms: u64,
}
