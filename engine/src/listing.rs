//! The documents of a generation that filters allow, without a query: all of them, or page by page in the order of their
//! ids, so that pages of different generations neither repeat nor leave out a document that is there all the time.

use std::collections::BinaryHeap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use quarry_index::Segment;
use quarry_searcher::{Filter, Hit};
use quarry_vectors::{Document, InputVector, SparseVector, TermId};

use crate::EngineError;
use crate::snapshot::Snapshot;

/// Allows all documents, also in an index that stores none of their fields.
const ALL: &str = "*";

/// Which page of the documents is wanted.
#[derive(Debug, Clone, Copy)]
pub struct PageWanted<'a> {
    /// What documents must match, each of them.
    pub filters: &'a [&'a str],
    /// Ids after this one, bytewise; from the first one if `None`.
    pub after: Option<&'a str>,
    /// Most ids.
    pub limit: NonZeroUsize,
}

/// Documents that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Their ids, ascending bytewise.
    pub ids: Vec<String>,
    /// Number of all that match, on whatever page.
    pub matched: u64,
    /// Whether more follow.
    pub more: bool,
}

impl Snapshot {
    /// The rows that all of these expressions allow; `None` if all rows are.
    ///
    /// # Errors
    /// As [`quarry_searcher::Searcher::filter_until`].
    pub fn allowed<'a>(
        &self,
        expressions: impl IntoIterator<Item = &'a str>,
        deadline: Option<Instant>,
    ) -> Result<Option<Arc<Filter>>, EngineError> {
        let some = expressions.into_iter().filter(|expression| expression.trim() != ALL);
        Ok(self.filters().all(self.searcher(), some, deadline)?)
    }

    /// The ids of the documents that match an expression (`*`: all), in no order. Cost: a look at each row.
    ///
    /// # Errors
    /// As [`Self::allowed`].
    pub fn matching(&self, filter: &str) -> Result<Vec<String>, EngineError> {
        let allowed = self.allowed([filter], None)?;
        let found = self.searcher().documents_of(allowed.as_deref());
        Ok(found.map(|hit| self.searcher().id(&hit).to_owned()).collect())
    }

    /// A page of the documents that match. Cost: a look at each row, and memory for one page.
    ///
    /// # Errors
    /// As [`Self::allowed`].
    pub fn page(
        &self,
        wanted: &PageWanted<'_>,
        deadline: Option<Instant>,
    ) -> Result<Page, EngineError> {
        let allowed = self.allowed(wanted.filters.iter().copied(), deadline)?;
        let (mut matched, mut behind) = (0u64, 0usize);
        let mut least: BinaryHeap<&str> = BinaryHeap::new();
        for hit in self.searcher().documents_of(allowed.as_deref()) {
            matched += 1;
            let id = self.searcher().id(&hit);
            if wanted.after.is_some_and(|after| id <= after) {
                continue;
            }
            behind += 1;
            if least.len() < wanted.limit.get() {
                least.push(id);
            } else if least.peek().is_some_and(|last| id < *last) {
                least.pop();
                least.push(id);
            }
        }
        let more = behind > least.len();
        let ids = least.into_sorted_vec().into_iter().map(str::to_owned).collect();
        Ok(Page { ids, matched, more })
    }
}

/// All documents of one generation that filters allow, as they can be added again.
#[derive(Debug)]
pub struct Listing {
    snapshot: Arc<Snapshot>,
    allowed: Option<Arc<Filter>>,
    vectors: bool,
}

impl Listing {
    /// Prepares to list. With `vectors` documents have theirs, by token, or by number where the index names no tokens.
    ///
    /// # Errors
    /// As [`Snapshot::allowed`]; [`EngineError::NoVectors`] if the index has no sparse vectors, or one for each passage.
    pub fn open<'a>(
        snapshot: Arc<Snapshot>,
        filters: impl IntoIterator<Item = &'a str>,
        vectors: bool,
        deadline: Option<Instant>,
    ) -> Result<Self, EngineError> {
        let segments = snapshot.index().segments();
        if vectors && segments.iter().any(|s| s.documents().has_passages()) {
            let what = "texts are split into passages, and each passage has its own";
            return Err(EngineError::NoVectors { what });
        }
        if vectors && segments.iter().any(|s| s.forward().is_none()) {
            return Err(EngineError::NoVectors { what: "the index has none" });
        }
        let allowed = snapshot.allowed(filters, deadline)?;
        Ok(Self { snapshot, allowed, vectors })
    }

    /// The documents, in the order of segments and rows. Each is read when it is asked for, so that one is held at a
    /// time; the generation's files stay as long as this.
    pub fn documents(&self) -> impl Iterator<Item = Result<Document, EngineError>> + '_ {
        let found = self.snapshot.searcher().documents_of(self.allowed.as_deref());
        found.zip(1..).map(|(hit, line)| self.document(&hit, line))
    }

    fn document(&self, hit: &Hit, line: u64) -> Result<Document, EngineError> {
        let searcher = self.snapshot.searcher();
        let id = searcher.id(hit).to_owned();
        let stored = searcher.stored_whole(hit)?.unwrap_or_default();
        let forward = searcher.index().segments().get(hit.segment).and_then(Segment::forward);
        let vector = match forward.filter(|_| self.vectors) {
            Some(forward) => Some(self.by_name(&forward.vector(hit.doc)?)?),
            None => None,
        };
        let (title, text, fields) = (stored.title, stored.text, stored.fields);
        Ok(Document { id, title, text, fields, vector, numbered: false, line })
    }

    fn by_name(&self, vector: &SparseVector) -> Result<InputVector, EngineError> {
        let lexicon = self.snapshot.index().lexicon();
        let lexicon = lexicon.ok_or(EngineError::NoVectors { what: "the index has none" })?;
        Ok(match lexicon.is_named() {
            true => InputVector::Tokens(
                vector.iter().map(|(term, w)| (lexicon.token(TermId(term)), w)).collect(),
            ),
            false => InputVector::Terms(
                SparseVector::from_pairs(
                    vector.iter().map(|(term, w)| (lexicon.number(TermId(term)), w)),
                )
                .map_err(|source| EngineError::Weights { source })?,
            ),
        })
    }
}
