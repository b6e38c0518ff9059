//! Errors of the API: a code for programs, a message for people, the parameter at fault.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quarry_engine::store::StoreError;
use quarry_engine::write::WriteError;
use quarry_engine::{BuildError, EngineError, IndexError, SearchError};
use serde::Serialize;
use utoipa::ToSchema;

/// The kind of an error, for programs. Codes are never renamed; new ones may be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// 400: the body is not valid JSON.
    InvalidJson,
    /// 400: an unknown field or parameter; `param` names it.
    UnknownField,
    /// 400: a value is missing or out of range; `param` names it.
    InvalidValue,
    /// 401: the key is missing or wrong.
    Unauthorized,
    /// 403: the key may not do that, whether or not what was asked for is there.
    Forbidden,
    /// 404: no such route.
    RouteNotFound,
    /// 404: no such collection.
    CollectionNotFound,
    /// 404: no such document.
    DocumentNotFound,
    /// 404: no key has this id.
    KeyNotFound,
    /// 404: no such alias.
    AliasNotFound,
    /// 404: no task has this id, or it ended so long ago that it is forgotten.
    TaskNotFound,
    /// 404: the collection has no snapshot of this name.
    SnapshotNotFound,
    /// 404: no generation has this file.
    FileNotFound,
    /// 405: the route does not support this method, or the server only reads.
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    BodyTimeout,
    /// 409: there is a collection of this name, made otherwise; `param` names the difference.
    CollectionExists,
    /// 409: an alias has this name, and what was asked for concerns a collection itself.
    IsAlias,
    /// 409: an alias names the collection, so it is not removed; switch or remove the alias first.
    CollectionAliased,
    /// 409: the collection has a snapshot of this name.
    SnapshotExists,
    /// 409: there is a folder of this name that no server made; it is not touched.
    NotMadeHere,
    /// 409: the model that would encode the documents is not the one that the collection was made with.
    ModelMismatch,
    /// 409, of a document: the mode is `insert`, and a document of its id is there.
    DocumentExists,
    /// 409: another request was sent with this `Idempotency-Key`.
    IdempotencyMismatch,
    /// 412, also of a document: it has another version, `current`; 0 if it is not there.
    VersionConflict,
    /// 413: the body is too large.
    BodyTooLarge,
    /// 413, of a document: it is too large.
    DocumentTooLarge,
    /// 415: the body is not declared as JSON.
    UnsupportedMediaType,
    /// 422: a valid request, but this index does not support it.
    NotSupported,
    /// 422, of a document: it is not JSON, lacks something, or does not fit the collection.
    InvalidDocument,
    /// 422: an archive is not that of a snapshot, or is incomplete or damaged.
    InvalidArchive,
    /// 422: documents were rejected, `rejected`, and all were to be taken or none.
    DocumentRejected,
    /// 422: the answer would exceed the server's limit in bytes; `param` names what to lower.
    AnswerTooLarge,
    /// 429: too many searches are waiting; try again after `Retry-After` seconds.
    Overloaded,
    /// 429: too many writes are waiting; try again after `Retry-After` seconds.
    IngestOverloaded,
    /// 429: too many tasks are waiting; try again when one has ended.
    TooManyTasks,
    /// 429: the key has asked more often than it may; try again after `Retry-After` seconds.
    RateLimited,
    /// 500: a fault of the server or of the index files.
    Internal,
    /// 500, of a document: no vector can be made of its text; the others are taken.
    EncodingFailed,
    /// 503: still loading, or shutting down.
    NotReady,
    /// 503: less disk or memory is free than the server keeps: no documents are taken; searches and deletions go on.
    ReadOnly,
    /// 507: the disk is full; nothing was changed, or a change is made and not sealed, as the message says.
    DiskFull,
    /// 503: the collection is there, and cannot be opened; the log has the cause.
    CollectionUnavailable,
    /// 504: the search did not end within `timeout_ms`, waiting included.
    Timeout,
}

impl ErrorCode {
    /// The HTTP status of this code.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidJson | Self::UnknownField | Self::InvalidValue => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::RouteNotFound
            | Self::CollectionNotFound
            | Self::DocumentNotFound
            | Self::KeyNotFound
            | Self::AliasNotFound
            | Self::TaskNotFound
            | Self::SnapshotNotFound
            | Self::FileNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::BodyTimeout => 408,
            Self::CollectionExists
            | Self::SnapshotExists
            | Self::IsAlias
            | Self::CollectionAliased
            | Self::NotMadeHere
            | Self::ModelMismatch
            | Self::DocumentExists
            | Self::IdempotencyMismatch => 409,
            Self::VersionConflict => 412,
            Self::BodyTooLarge | Self::DocumentTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::NotSupported
            | Self::InvalidDocument
            | Self::InvalidArchive
            | Self::DocumentRejected
            | Self::AnswerTooLarge => 422,
            Self::Overloaded | Self::IngestOverloaded | Self::TooManyTasks | Self::RateLimited => {
                429
            }
            Self::Internal | Self::EncodingFailed => 500,
            Self::NotReady | Self::CollectionUnavailable | Self::ReadOnly => 503,
            Self::DiskFull => 507,
            Self::Timeout => 504,
        }
    }
}

/// The JSON body of every error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
    /// The request's id, as in the header `X-Request-Id` and in the log.
    pub request_id: String,
}

/// The details of an error.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// The kind, for programs.
    pub code: ErrorCode,
    /// A message for people.
    pub message: String,
    /// The parameter at fault, as a path: `query.sparse.weights[2]`.
    pub param: Option<String>,
    /// How to fix the request.
    pub hint: Option<String>,
    /// Of [`ErrorCode::VersionConflict`]: the document's version, 0 if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// Of [`ErrorCode::DocumentRejected`]: the documents that were rejected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub rejected: Vec<RejectedDocument>,
}

impl ErrorDetail {
    /// With a message alone.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let (message, rejected) = (message.into(), Vec::new());
        Self { code, message, param: None, hint: None, current: None, rejected }
    }
}

/// A document that was not taken.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RejectedDocument {
    /// Its line in the body, or its place in the list, from 1.
    pub line: u64,
    /// Its id, if that could be read.
    pub id: Option<String>,
    /// Why.
    pub error: ErrorDetail,
}

/// The cause of an [`ErrorCode::Internal`].
type Failure = Arc<dyn Error + Send + Sync>;

/// Why a request failed. The source, if there is one, goes to the log and is never sent.
#[derive(Clone)]
pub struct ApiError {
    detail: Box<ErrorDetail>,
    source: Option<Failure>,
    /// Seconds after which to try again, where the error knows that better than the server as a whole.
    retry_after: Option<u64>,
}

impl ApiError {
    /// An error with a message.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let detail = Box::new(ErrorDetail::new(code, message));
        Self { detail, source: None, retry_after: None }
    }

    /// A value that is missing or out of range.
    #[must_use]
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidValue, message).param(param)
    }

    /// A valid request that this index does not support.
    #[must_use]
    pub fn not_supported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotSupported, message).param(param)
    }

    /// Without the names that there are instead, which a message about an unknown one ends with.
    #[must_use]
    pub(crate) fn without_list(mut self) -> Self {
        if let Some(at) = self.detail.message.find("; there are ") {
            self.detail.message.truncate(at);
        }
        self
    }

    /// A fault of the server.
    #[must_use]
    pub fn internal(source: impl Error + Send + Sync + 'static) -> Self {
        let mut error = Self::new(ErrorCode::Internal, "the search failed");
        error.source = Some(Arc::new(source));
        error.hint("the server's log has the cause under this request's id")
    }

    /// A fault of the server while it changed something.
    #[must_use]
    pub fn change_failed(source: impl Error + Send + Sync + 'static) -> Self {
        let mut error = Self::new(ErrorCode::Internal, "the change failed");
        error.source = Some(Arc::new(source));
        error.hint("the server's log has the cause under this request's id")
    }

    /// The answer would be longer than `most` bytes.
    #[must_use]
    pub fn answer_too_large(most: usize) -> Self {
        let message = format!("the answer would have more than {most} bytes");
        Self::new(ErrorCode::AnswerTooLarge, message).param("fields").hint(
            "lower `k`, or request fewer `fields`; the server's --answer-bytes sets the limit",
        )
    }

    /// The time limit has passed.
    #[must_use]
    pub fn timeout() -> Self {
        Self::new(ErrorCode::Timeout, "the search did not finish within its time limit")
            .param("timeout_ms")
            .hint("raise timeout_ms or search with a smaller k")
    }

    /// Sets the parameter at fault.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.detail.param = Some(param.into());
        self
    }

    /// Sets the hint on how to fix the request.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.detail.hint = Some(hint.into());
        self
    }

    /// Sets when to try again, in whole seconds, 1 at least.
    #[must_use]
    pub(crate) fn again_after(mut self, time: Duration) -> Self {
        let seconds = u64::try_from(time.as_millis().div_ceil(1000)).unwrap_or(1);
        self.retry_after = Some(seconds.max(1));
        self
    }

    /// Seconds after which to try again, if the error says so.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// The error's code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.detail.code
    }

    /// Everything that is sent to the caller.
    #[must_use]
    pub fn detail(&self) -> &ErrorDetail {
        &self.detail
    }
}

impl From<ErrorDetail> for ApiError {
    fn from(detail: ErrorDetail) -> Self {
        Self { detail: Box::new(detail), source: None, retry_after: None }
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("detail", &self.detail)
            .field("source", &self.source)
            .finish()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(param) = &self.detail.param {
            write!(f, "{param}: ")?;
        }
        f.write_str(&self.detail.message)
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Search(error) => error.into(),
            EngineError::Weights { source } => Self::invalid("query.sparse", source.to_string()),
            EngineError::Index(IndexError::NamedTerms { .. }) => Self::not_supported(
                "query.sparse.term_ids",
                "this index's terms are names, numbered in the order in which its documents \
                 brought them: term numbers mean nothing here",
            )
            .hint("give `query.sparse.tokens`"),
            EngineError::NoQueryEncoder | EngineError::NeedsModel { .. } => {
                Self::not_supported("query.text", "no encoder is loaded for this index's vectors")
                    .hint("give `query.sparse`, search the channel `bm25`, or serve with a model")
            }
            EngineError::NoTokenEncoder => {
                Self::not_supported("rerank", "no encoder of token embeddings is loaded")
                    .hint("give the query's token embeddings as `rerank.vectors`")
            }
            EngineError::NoQuery { channel: "bm25" } => Self::invalid(
                "query.text",
                "the channel `bm25` searches words: give `query.text` as well as the vector",
            ),
            EngineError::NoQuery { channel: "dense" } => Self::invalid(
                "query.dense",
                "the channel `dense` searches a dense vector: give it, or a text, beside the sparse one",
            ),
            EngineError::NoQuery { channel: "sparse" } => Self::invalid(
                "query.sparse",
                "the channel `sparse` searches a sparse vector: give it, or a text, beside the dense one",
            ),
            EngineError::NoDenseEncoder { .. } => Self::not_supported("query.text", message)
                .hint("give `query.dense`, or search other channels"),
            // A request without any query was refused before, so it is token embeddings that are missing.
            EngineError::NoQuery { .. } => {
                Self::invalid("rerank.vectors", "give `rerank.vectors`, or a query as `query.text`")
            }
            EngineError::NotSupported { .. } => Self::not_supported("channels", message),
            EngineError::RepeatedChannel { .. } => Self::invalid("channels", message),
            EngineError::NoWeight
            | EngineError::RepeatedWeight { .. }
            | EngineError::WeightWithoutChannel { .. } => Self::invalid("fusion.weights", message),
            EngineError::Feedback { option, .. } => {
                Self::invalid(format!("feedback.{option}"), message)
            }
            EngineError::RrfK { .. } => Self::invalid("fusion.k", message),
            EngineError::NotAboveZero { .. } => Self::not_supported("fusion.method", message),
            EngineError::UnknownDocument { .. } => {
                Self::new(ErrorCode::DocumentNotFound, message).param("id")
            }
            EngineError::NothingStored => {
                Self::new(ErrorCode::NotSupported, "this index stores no documents")
                    .hint("build the index from documents with text")
            }
            EngineError::AnswerTooLarge { most } => Self::answer_too_large(most.get()),
            EngineError::NoVectors { .. } => Self::not_supported("vectors", message),
            EngineError::Cancelled => Self::timeout(),
            error => Self::internal(error),
        }
    }
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        let message = error.to_string();
        match error {
            SearchError::Query(_) => Self::invalid("query", message),
            SearchError::Param { name, .. } => Self::invalid(name, message),
            SearchError::Filter { .. } => Self::invalid("filter", message),
            SearchError::NoSparse => Self::not_supported("channels", message)
                .hint("search the channel bm25, or build the index with an encoder or vectors"),
            SearchError::NoText => Self::not_supported("channels", message)
                .hint("search the channel sparse, or build the index from documents with text"),
            SearchError::NoLists { method } => {
                Self::not_supported("method", format!("this index has no {method} lists"))
                    .hint("search with method exact or auto")
            }
            SearchError::NoTokens => Self::not_supported("rerank", message)
                .hint("add token embeddings with `quarry tokens add`, or leave `rerank` out"),
            SearchError::NoDense => Self::not_supported("channels", message)
                .hint("add dense vectors with `quarry dense add`, or search other channels"),
            SearchError::NoGraph => Self::not_supported("dense_method", message)
                .hint("build the graph with `quarry dense graph`, or leave `dense_method` out"),
            SearchError::DenseDims { .. } => Self::invalid("query.dense", message),
            SearchError::NoTokenForm { .. } => Self::not_supported("rerank", message)
                .hint("leave `rerank.exact` out, or store the form"),
            SearchError::TokenDims { .. } | SearchError::ZeroRow { .. } => {
                Self::invalid("query", message)
            }
            SearchError::Timeout => Self::timeout(),
            SearchError::Device { .. }
            | SearchError::NoReranker
            | SearchError::NoAnswer
            | SearchError::Index(_)
            | SearchError::Encode(_)
            | SearchError::Text(_)
            | SearchError::TextIo(_) => Self::internal(error),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NotFound { .. } | StoreError::Removed => {
                Self::new(ErrorCode::CollectionNotFound, message)
                    .hint("GET /v1/collections lists them")
            }
            StoreError::Exists { differs, .. } => {
                Self::new(ErrorCode::CollectionExists, message).param(differs)
            }
            StoreError::Shadows { .. } => {
                Self::new(ErrorCode::CollectionExists, message).param("alias")
            }
            StoreError::NoAlias { .. } => Self::new(ErrorCode::AliasNotFound, message)
                .param("remove")
                .hint("GET /v1/aliases lists them"),
            StoreError::IsAlias { .. } => Self::new(ErrorCode::IsAlias, message),
            StoreError::Aliased { .. } => Self::new(ErrorCode::CollectionAliased, message)
                .hint("POST /v1/aliases switches or removes an alias"),
            StoreError::TooManyAliases { .. } => Self::not_supported("actions", message),
            StoreError::NotOurs { .. } => Self::new(ErrorCode::NotMadeHere, message),
            StoreError::Setting { param, what } => Self::not_supported(param, what),
            StoreError::NoSnapshot { .. } => Self::new(ErrorCode::SnapshotNotFound, message)
                .hint("GET /v1/collections/{collection}/snapshots lists them"),
            StoreError::SnapshotExists { .. } => Self::new(ErrorCode::SnapshotExists, message),
            StoreError::Archive { .. } => Self::new(ErrorCode::InvalidArchive, message)
                .hint("nothing of it was kept; send an archive as GET .../snapshots/{id} gives it"),
            StoreError::TooManyTasks { .. } => {
                Self::new(ErrorCode::TooManyTasks, message).hint("GET /v1/tasks lists them")
            }
            StoreError::OtherRequest { .. } => Self::new(ErrorCode::IdempotencyMismatch, message)
                .param("Idempotency-Key")
                .hint("a key names one request for a day; send another one with another key"),
            StoreError::NoIds => Self::invalid("ids", message),
            error if error.is_full() => {
                tracing::error!(%error, "the disk is full");
                let message = match &error {
                    StoreError::NotSealed { .. } => {
                        "the change is made and in the log, but not sealed: the disk is full"
                    }
                    _ => "the disk is full: nothing was changed",
                };
                let mut made = Self::new(ErrorCode::DiskFull, message);
                made.source = Some(Arc::new(error));
                made.hint("make room on the server's disk, and send it again; deletions may need less")
            }
            StoreError::Low(low) => Self::new(ErrorCode::ReadOnly, message).hint(format!(
                "the server's --min-free-{} sets the floor; it ends by itself when there is room",
                low.resource.name()
            )),
            StoreError::Unmade { .. } => Self::new(ErrorCode::ReadOnly, message)
                .hint("make room on the server's disk; it ends by itself"),
            StoreError::EncodeQueueFull { again, .. } => {
                Self::new(ErrorCode::IngestOverloaded, message)
                    .hint("try again after the seconds in Retry-After; the server's --encode-bytes sets the limit")
                    .again_after(again)
            }
            StoreError::NotSealed { .. } => {
                tracing::error!(%error, "a change is not sealed");
                let message = "the change is made and in the log; it could not be sealed";
                Self::new(ErrorCode::Internal, message).hint("the server's log has the cause")
            }
            StoreError::LateLog { .. } => Self::new(ErrorCode::CollectionUnavailable, message)
                .hint("the server's log has the file"),
            StoreError::Engine(error) => match *error {
                EngineError::Build(BuildError::OtherEncoder { built_with, given, .. }) => {
                    let message = format!("made with the encoder {built_with}; there is {given}");
                    Self::new(ErrorCode::ModelMismatch, message)
                }
                EngineError::Write(
                    WriteError::NewDense { source } | WriteError::NewTokens { source },
                ) => Self::not_supported("documents", source.to_string())
                    .hint("`quarry add` takes them without, while no server keeps the collection"),
                error @ EngineError::Search(_) => error.into(),
                error => Self::change_failed(error),
            },
            error => Self::change_failed(error),
        }
    }
}
