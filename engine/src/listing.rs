//! The documents of a generation that filters allow, without a query: all of them, or page by page in the order of their
//! ids, so that pages of different generations neither repeat nor leave out a document that is there all the time.

use std::collections::BinaryHeap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use quarry_searcher::Filter;

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
