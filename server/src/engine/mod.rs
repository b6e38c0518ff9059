//! Answers requests with searches of a collection. HTTP and `--json` on the command line both use it, so
//! that their answers are the same.
//!
//! 1. check the request (`request`)
//! 2. convert it to the engine's types (`ask`), and search
//! 3. convert the answer to the API's types (`respond`)
//!
//! Collections are made (`settings`) and changed (`documents`, of a body that `split` takes apart; `many`, by ids or a
//! filter) over HTTP only.
//!
//! Everything here is synchronous and may block on the disk or the encoder.

mod ask;
mod describe;
mod documents;
mod feedback;
mod generations;
mod many;
mod one;
mod outcome;
mod patching;
mod request;
mod respond;
mod settings;
mod snapshots;
mod split;
mod tasks;
mod version;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use quarry_engine::store::{Live, Progress};
use quarry_engine::{Collection, StoredDocument};

use crate::api::{ApiError, DocumentResponse, SearchRequest, SearchResponse};
pub(crate) use documents::{Sent, put};
pub(crate) use generations::{given, shown as shown_generation};
pub(crate) use many::{delete, would_delete};
pub(crate) use one::{OneSent, delete_one, put_one};
pub(crate) use outcome::Outcome;
pub(crate) use patching::{patch_many, patch_one};
pub(crate) use settings::{changed as changed_settings, settings};
pub(crate) use snapshots::shown as shown_snapshot;
pub(crate) use split::Form;
#[doc(hidden)]
pub use split::split_documents;
pub(crate) use tasks::shown as shown_task;
use version::version;

/// A collection that answers requests. Share it between threads in an `Arc`.
#[derive(Debug)]
pub struct Engine {
    collection: Arc<Collection>,
    /// The same, if requests can change it.
    live: Option<Arc<Live>>,
    /// Most bytes of an answer, if there is a limit.
    answer_bytes: Option<NonZeroUsize>,
}

impl Engine {
    /// Wraps an open collection. Requests must bring encoded queries if it has no model to encode them.
    #[must_use]
    pub fn new(collection: impl Into<Arc<Collection>>) -> Self {
        Self { collection: collection.into(), live: None, answer_bytes: None }
    }

    /// Searches can wait for changes of this collection, which is the one that was wrapped.
    #[must_use]
    pub(crate) fn of_live(self, live: Arc<Live>) -> Self {
        Self { live: Some(live), ..self }
    }

    /// Sets a limit on the bytes of an answer as JSON. Stored fields are counted while they are fetched, so
    /// the limit bounds memory too.
    #[must_use]
    pub fn with_answer_bytes(self, most: NonZeroUsize) -> Self {
        Self { answer_bytes: Some(most), ..self }
    }

    /// The collection, for callers that need more than requests offer.
    #[must_use]
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// Answers a search. It gives up at `deadline`; without one it runs to the end (`timeout_ms` is checked,
    /// but it is the caller who must turn it into a deadline).
    ///
    /// # Errors
    /// If the request is out of bounds, is not supported by this index, or takes too long; if the encoder or
    /// reading the index fails.
    pub fn search(
        &self,
        request: &SearchRequest,
        deadline: Option<Instant>,
    ) -> Result<SearchResponse, ApiError> {
        self.search_within(request, deadline, None)
    }

    /// [`Self::search`] among the documents that a filter allows, beside that of the request.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub fn search_within(
        &self,
        request: &SearchRequest,
        deadline: Option<Instant>,
        within: Option<&str>,
    ) -> Result<SearchResponse, ApiError> {
        let checked = request::check(request)?;
        self.wait(request.min_seq, deadline)?;
        let snapshot = self.collection.snapshot();
        let mut search = ask::search(request, &checked, &snapshot)?;
        search.options.within = within.map(str::to_owned);
        search.options.deadline = deadline;
        search.options.most_bytes = self.answer_bytes;
        let found = snapshot.search(&search).map_err(|error| {
            let error = ApiError::from(error);
            // Names of fields may be those of documents outside the filter.
            if within.is_some() { error.without_list() } else { error }
        });
        respond::response(found?, search.options.channels.len() > 1)
    }

    /// How far the changes of the collection have come, if requests can change it.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.live.as_ref().map(|live| live.progress())
    }

    /// Whether searches see the change of this number.
    pub(crate) fn sees(&self, sequence: Option<u64>) -> Result<bool, ApiError> {
        let Some(sequence) = sequence else { return Ok(true) };
        match self.progress() {
            Some(progress) => Ok(progress.visible >= sequence),
            None => {
                let message =
                    "this index is not written to over HTTP, so its changes have no numbers";
                Err(ApiError::not_supported("min_seq", message))
            }
        }
    }

    /// The error of a search whose time is up before it sees the change that it waits for.
    pub(crate) fn unseen(&self) -> ApiError {
        let visible = self.progress().map_or(0, |progress| progress.visible);
        let hint = format!("the last change is {visible}; `seq` of a write's answer is its number");
        ApiError::timeout().param("min_seq").hint(hint)
    }

    /// Waits until the change of this number can be found.
    fn wait(&self, sequence: Option<u64>, deadline: Option<Instant>) -> Result<(), ApiError> {
        if self.sees(sequence)? {
            return Ok(());
        }
        let (Some(sequence), Some(live)) = (sequence, &self.live) else { return Ok(()) };
        match live.wait_for(sequence, deadline.unwrap_or_else(Instant::now)) {
            true => Ok(()),
            false => Err(self.unseen()),
        }
    }

    /// The stored document with this id.
    ///
    /// # Errors
    /// [`crate::api::ErrorCode::DocumentNotFound`]; [`crate::api::ErrorCode::NotSupported`] if the index stores
    /// no documents; [`crate::api::ErrorCode::Internal`] if its files cannot be read.
    pub fn document(&self, id: &str) -> Result<DocumentResponse, ApiError> {
        let found = self.collection.document(id)?;
        Ok(stored(found))
    }

    /// [`Self::document`] among the documents that a filter allows; another one is as if it were not there.
    ///
    /// # Errors
    /// As [`Self::document`], and those of the filter.
    pub fn document_within(&self, id: &str, filter: &str) -> Result<DocumentResponse, ApiError> {
        let found = self.collection.snapshot().document_within(id, filter)?;
        Ok(stored(found))
    }
}

fn stored(found: StoredDocument) -> DocumentResponse {
    let StoredDocument { version: of, change, id, fields, .. } = found;
    DocumentResponse { index: version(of), id, version: change, fields }
}
