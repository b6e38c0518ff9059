//! What a batch finds, as rows of the index: for programs that want ids and scores alone, and many of them.

use quarry_searcher::Hit as Found;

use crate::search::SearchOptions;
use crate::snapshot::Snapshot;
use crate::work::{Results, Work};
use crate::{EngineError, Query};

/// The ranking of a query.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Ranked {
    /// Hits by their place in the index, best first. [`quarry_searcher::Searcher::ranking`] gives their ids and scores.
    pub hits: Vec<Found>,
    /// Tokens or term numbers of the query that the index does not know, in the query's order.
    pub unknown: Vec<String>,
}

impl Snapshot {
    /// Answers many queries as [`Self::search_batch`] does, but for the last stage: no ids, stored fields or matched
    /// tokens are fetched. Over all cores, in the order given, each query with its own error. Set from elsewhere,
    /// [`SearchOptions::cancel`] ends it within the time of one query a core, without a second stage.
    ///
    /// # Errors
    /// As [`Self::search_batch`].
    pub fn rank_batch(
        &self,
        queries: &[Query],
        options: &SearchOptions,
    ) -> Result<Results<Ranked>, EngineError> {
        let ranked = |work: Work<'_>| {
            let unknown = work.lists.into_iter().flat_map(|list| list.encoded.unknown).collect();
            let hits = work.rescored.map_or(work.found, |rescored| rescored.hits);
            Ranked { hits, unknown }
        };
        let works = self.works(queries, options)?;
        Ok(works.into_iter().map(|work| work.map(ranked)).collect())
    }

    /// The number of a hit's row: rows are counted through the segments of this generation, from 0.
    ///
    /// # Panics
    /// When the hit is not of this index.
    #[must_use]
    pub fn row(&self, hit: &Found) -> u64 {
        let before = self.index().segments()[..hit.segment].iter();
        before.map(|segment| segment.documents().len() as u64).sum::<u64>() + u64::from(hit.doc.0)
    }
}
