//! The contract of the API: requests, responses and errors, each with its schema. `--json` on the command
//! line prints the same types.

mod aliases;
mod collection;
mod copying;
mod error;
mod fields;
mod following;
mod json;
mod json_words;
mod keys;
mod many;
mod patch;
mod request;
mod response;
mod slow;
mod snapshots;
mod tasks;

pub use aliases::{Alias, AliasInput, AliasesRequest, AliasesResponse};
pub use collection::{
    CollectionInput, DocumentsResponse, PatchedResponse, RemovedResponse, SnapshotName,
    WriteTimings, WrittenResponse,
};
pub use copying::CopyInput;
pub use error::{ApiError, ErrorBody, ErrorCode, ErrorDetail, RejectedDocument};
pub use fields::FieldResponse;
pub use following::{
    CollectionGeneration, GenerationFile, GenerationResponse, GenerationsResponse,
};
pub(crate) use json::json_object;
pub use keys::{KeyInput, KeyResponse, KeysResponse, NewKeyResponse, RemovedKeyResponse};
pub(crate) use many::Wanted;
pub use many::{DeleteRequest, DeleteResponse, DryRun, FoundDocument, GetRequest, GetResponse};
pub use patch::{PatchRequest, PatchResponse};
pub use request::{
    Channel, Condition, DenseMethod, ExpansionInput, FeedbackFrom, FeedbackInput, Fusion,
    FusionInput, MeanInput, Method, QueryInput, RerankInput, SearchRequest, SparseInput,
    TokenWeights, WeightsInput,
};
pub use response::{
    Capabilities, CollectionResponse, CollectionsResponse, DocumentResponse, ExpandedQuery,
    ExpandedTerm, Hit, IndexVersion, Limits, MatchedToken, Origin, Passage, Ranks, RerankReport,
    Scores, SearchResponse, Timings, Warning, WarningCode,
};
pub use slow::{SlowResponse, SlowSearch};
pub use snapshots::{RemovedSnapshotResponse, SnapshotInput, SnapshotResponse, SnapshotsResponse};
pub use tasks::{TaskKind, TaskResponse, TaskState, TasksResponse};

/// Most results of one search.
pub const MAX_K: u32 = 1000;
/// Most rows that a walk over the graph of near rows keeps.
pub const MAX_BEAM: u32 = 100_000;
/// Most bytes of a query's text.
pub const MAX_QUERY_BYTES: usize = 32 << 10;
/// Most terms of a query vector.
pub const MAX_QUERY_TERMS: usize = 4096;
/// Most numbers of a query's dense vector.
pub const MAX_DENSE_VALUES: usize = 4096;
/// Most token embeddings of a query.
pub const MAX_TOKENS: usize = 1024;
/// Most documents that a request keeps from feeding back.
pub const MAX_EXCLUDED: usize = 100;
/// Most stored fields in one request.
pub const MAX_FIELDS: usize = 64;
/// Most documents in one request, and most ids.
pub const MAX_DOCUMENTS: usize = 50_000;
/// Most documents that a request gets.
pub const MAX_GET: usize = 1000;
/// Most bytes of a request body, other than of documents.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// Time limit of a search that sets no `timeout_ms`, in milliseconds.
pub const DEFAULT_TIMEOUT_MS: u64 = 1000;
/// Largest `timeout_ms`, in milliseconds.
pub const MAX_TIMEOUT_MS: u64 = 60_000;
