//! The searches that took longest.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Channel, ErrorCode, Timings};

/// Searches that took longer than the server's limit.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SlowResponse {
    /// The limit in milliseconds (`--slow-ms`); `null` if slow searches are not noted.
    pub slow_ms: Option<u64>,
    /// The last 100, newest first.
    pub searches: Vec<SlowSearch>,
}

/// A search that took long.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SlowSearch {
    /// When it was answered.
    pub at: String,
    /// The request's id.
    pub request_id: String,
    /// The id of the key that asked, where it is one of the file.
    pub key: Option<String>,
    /// The collection.
    pub collection: String,
    /// All of its time in milliseconds, with waiting and writing the answer.
    pub total_ms: u64,
    /// Time of the stages; `null` if it failed.
    pub timings_us: Option<Timings>,
    /// How it failed; `null` if it did not.
    pub error: Option<ErrorCode>,
    /// The query's text, at most its first 1,024 bytes; `null` if it was a vector.
    pub text: Option<String>,
    /// Results wanted.
    pub k: u32,
    /// The channels searched.
    pub channels: Vec<Channel>,
    /// The filter, at most its first 1,024 bytes.
    pub filter: Option<String>,
    /// Whether it was reranked.
    pub rerank: bool,
}
