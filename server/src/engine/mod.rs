//! An open index that answers requests: what HTTP and the command line's `--json` both call, so
//! that their answers are the same.
//!
//! 1. check the request by itself (`request`)
//! 2. turn its query into what the index can search (`query`)
//! 3. search
//! 4. rescore what was found, if that is asked for (`second`)
//! 5. fetch stored fields and explain hits (`hits`)
//!
//! Everything here is synchronous and may block on the disk or the encoder.

mod describe;
mod filters;
mod hits;
mod query;
mod request;
mod second;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use quarry_index::Index;
use quarry_searcher::{Bm25Params, Hit, SearchError, Searcher, SparseParams};
use quarry_vectors::EncodeQuery;

use crate::api::{
    ApiError, Channel, DocumentResponse, ErrorCode, IndexVersion, SearchRequest, SearchResponse,
    Timings, Warning, WarningCode,
};
use filters::Filters;
use hits::HitContext;
use query::{Query, Warnings};
use request::Checked;
pub(crate) use request::reserved_name;
use second::Rescored;
pub use second::SecondStage;

/// An open index with what turns questions into its vectors. Shared between threads in an `Arc`.
pub struct Engine {
    searcher: Searcher,
    encoder: Option<Arc<dyn EncodeQuery>>,
    second: Option<SecondStage>,
    version: IndexVersion,
    filters: Filters,
    /// Most bytes of an answer, if there is a limit.
    answer_bytes: Option<NonZeroUsize>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine over an open index. Without an encoder the sparse channel takes vectors only.
    #[must_use]
    pub fn new(index: Arc<Index>, encoder: Option<Arc<dyn EncodeQuery>>) -> Self {
        let manifest = index.manifest();
        let version =
            IndexVersion { id: manifest.uuid.to_string(), generation: manifest.generation };
        let (searcher, filters) = (Searcher::new(index).observing(), Filters::default());
        Self { searcher, encoder, second: None, version, filters, answer_bytes: None }
    }

    /// The same with a second stage over the same index, for requests that ask to rerank.
    #[must_use]
    pub fn with_second_stage(self, second: SecondStage) -> Self {
        Self { second: Some(second), ..self }
    }

    /// The same with a limit on the bytes of an answer, as JSON. What stored fields take is counted
    /// while they are fetched, so that memory has the limit too.
    #[must_use]
    pub fn with_answer_bytes(self, most: NonZeroUsize) -> Self {
        Self { answer_bytes: Some(most), ..self }
    }

    /// The searcher, for callers who want more than requests can say.
    #[must_use]
    pub fn searcher(&self) -> &Searcher {
        &self.searcher
    }

    /// The state of the index that is searched.
    #[must_use]
    pub fn version(&self) -> &IndexVersion {
        &self.version
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
        let mut warnings = Warnings::default();
        let started = Instant::now();
        let query = self.query(request, &checked, &mut warnings, deadline)?;
        let encode = match request.query.text {
            Some(_) if checked.channel == Channel::Sparse => micros(started),
            _ => 0,
        };
        expire(deadline)?;
        let second = match (&checked.second, &self.second) {
            (None, _) => None,
            (Some(asked), Some(stage)) => Some((asked, stage)),
            (Some(_), None) => return Err(SearchError::NoTokens.into()),
        };
        let k = second.map_or(checked.k, |(asked, _)| asked.depth);
        let started = Instant::now();
        let filter = request.filter.as_deref();
        let filter = filter.map(|f| self.filters.get(&self.searcher, f, deadline));
        let filter = filter.transpose()?;
        let filter = filter.as_deref();
        expire(deadline)?;
        let outcome = match &query {
            Query::Vector(vector) => {
                let mut params = SparseParams::new(k);
                params.method = request.method.into();
                params.overlap = request.overlap.unwrap_or(params.overlap);
                params.postings = checked.postings;
                params.candidates = checked.candidates;
                params.query_cut = checked.query_cut;
                params.heap_factor = request.heap_factor;
                params.deadline = deadline;
                self.searcher.sparse_filtered(vector, &params, filter)?
            }
            Query::Question(text) => {
                let params = Bm25Params { deadline, ..Bm25Params::new(k) };
                self.searcher.bm25_filtered(text, &params, filter)?
            }
        };
        let search = micros(started);
        let rescored = second
            .map(|(asked, stage)| stage.run(request, (asked, &outcome.hits), deadline))
            .transpose()?;
        if rescored.is_some() {
            self.warn_of_lacking_tokens(&outcome.hits, &mut warnings);
        }
        let context = HitContext {
            searcher: &self.searcher,
            request,
            query: &query,
            deadline,
            answer_bytes: self.answer_bytes,
            candidates: rescored.is_some().then_some(outcome.hits.as_slice()),
        };
        let found = rescored.as_ref().map_or(&outcome.hits, |r| &r.hits);
        let hits = context.hits(found, &mut warnings)?;
        let (tokens, rerank) = rescored.as_ref().map_or((0, 0), |r| (r.tokens_us, r.rerank_us));
        Ok(SearchResponse {
            index: self.version.clone(),
            method: outcome.method.into(),
            partial: false,
            timings_us: Timings { encode, search, tokens, rerank },
            rerank: rescored.map(|Rescored { report, .. }| report),
            warnings: warnings.into_vec(),
            hits,
        })
    }

    /// Candidates whose segment has no token embeddings are not rescored, and that is said.
    fn warn_of_lacking_tokens(&self, candidates: &[Hit], warnings: &mut Warnings) {
        let lacks = |hit: &&Hit| !self.searcher.has_tokens(hit);
        let ids: Vec<String> =
            candidates.iter().filter(lacks).map(|hit| self.searcher.id(hit).to_owned()).collect();
        let what =
            "candidates without token embeddings, which keep the place that the search gave them";
        warnings.names(WarningCode::NoTokens, what, &ids);
    }

    /// A stored document by the collection's own name of it.
    ///
    /// # Errors
    /// [`ErrorCode::DocumentNotFound`]; [`ErrorCode::NotSupported`] when the index stores no
    /// documents; or when its files cannot be read.
    pub fn document(&self, id: &str) -> Result<DocumentResponse, ApiError> {
        let hit = self.searcher.find(id).ok_or_else(|| {
            ApiError::new(ErrorCode::DocumentNotFound, format!("no document has the id `{id}`"))
                .param("id")
        })?;
        let stored = self.searcher.stored_whole(&hit)?.ok_or_else(|| {
            ApiError::new(ErrorCode::NotSupported, "this index stores no documents")
                .hint("build the index from documents with text")
        })?;
        let fields = hits::all_fields(stored);
        Ok(DocumentResponse { index: self.version.clone(), id: id.to_owned(), fields })
    }
}

/// An error once `deadline` has passed.
fn expire(deadline: Option<Instant>) -> Result<(), ApiError> {
    if deadline.is_some_and(|d| Instant::now() >= d) { Err(ApiError::timeout()) } else { Ok(()) }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
