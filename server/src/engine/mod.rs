//! Requests as searches of a collection, and answers as responses: what HTTP and the command line's `--json`
//! both call, so that their answers are the same.
//!
//! 1. check the request by itself (`request`)
//! 2. say it as the engine takes it (`ask`), and search
//! 3. say the answer as the contract has it (`respond`)
//!
//! Everything here is synchronous and may block on the disk or the encoder.

mod ask;
mod describe;
mod feedback;
mod request;
mod respond;
mod version;

use std::num::NonZeroUsize;
use std::time::Instant;

use quarry_engine::Collection;

use crate::api::{ApiError, DocumentResponse, SearchRequest, SearchResponse};
use version::version;

/// A collection that answers requests. Shared between threads in an `Arc`.
#[derive(Debug)]
pub struct Engine {
    collection: Collection,
    /// Most bytes of an answer, if there is a limit.
    answer_bytes: Option<NonZeroUsize>,
}

impl Engine {
    /// An engine over an open collection. What its models cannot encode, requests must bring.
    #[must_use]
    pub fn new(collection: Collection) -> Self {
        Self { collection, answer_bytes: None }
    }

    /// The same with a limit on the bytes of an answer, as JSON. What stored fields take is counted
    /// while they are fetched, so that memory has the limit too.
    #[must_use]
    pub fn with_answer_bytes(self, most: NonZeroUsize) -> Self {
        Self { answer_bytes: Some(most), ..self }
    }

    /// The collection, for callers who want more than requests can say.
    #[must_use]
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// Answers a search. `deadline` is when to give up; without one the search runs to its end
    /// (`timeout_ms` is checked, but counted by whoever sets the deadline).
    ///
    /// # Errors
    /// When the request is out of bounds, asks what this index cannot do, or takes too long; when
    /// the encoder or the index's files fail.
    pub fn search(
        &self,
        request: &SearchRequest,
        deadline: Option<Instant>,
    ) -> Result<SearchResponse, ApiError> {
        let checked = request::check(request)?;
        let snapshot = self.collection.snapshot();
        let mut search = ask::search(request, &checked, &snapshot)?;
        search.options.deadline = deadline;
        search.options.most_bytes = self.answer_bytes;
        respond::response(snapshot.search(&search)?, search.options.channels.len() > 1)
    }

    /// A stored document by the collection's own name of it.
    ///
    /// # Errors
    /// [`crate::api::ErrorCode::DocumentNotFound`]; [`crate::api::ErrorCode::NotSupported`] when the index stores
    /// no documents; or when its files cannot be read.
    pub fn document(&self, id: &str) -> Result<DocumentResponse, ApiError> {
        let found = self.collection.document(id)?;
        Ok(DocumentResponse { index: version(found.version), id: found.id, fields: found.fields })
    }
}
