//! Filters made of rows or of ids, and their check.

use quarry_vectors::DocId;
use roaring::RoaringBitmap;

use crate::error::SearchError;
use crate::filter::rows::RowSet;
use crate::filter::{Filter, generation};
use crate::searcher::Searcher;

impl Searcher {
    /// A filter from one bitmap of allowed rows per segment; deleted rows are left out.
    ///
    /// # Errors
    /// When there is not one bitmap for each segment.
    pub fn filter_of(&self, allowed: &[RoaringBitmap]) -> Result<Filter, SearchError> {
        let segments = self.index().segments();
        if allowed.len() != segments.len() {
            return Err(SearchError::Param {
                name: "filter",
                found: format!("{} bitmaps", allowed.len()),
                expected: "one for each segment",
            });
        }
        let sets = segments.iter().zip(allowed).map(|(segment, allowed)| match segment.deleted() {
            Some(deleted) => RowSet::of(segment.documents().len(), &(allowed - deleted)),
            None => RowSet::of(segment.documents().len(), allowed),
        });
        Ok(Filter { sets: sets.collect(), of: generation(self.index()) })
    }

    /// A filter that allows the documents with these ids. Unknown ids allow nothing.
    ///
    /// # Errors
    /// As [`Self::filter_of`], though its bitmaps always fit.
    pub fn filter_of_ids<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a str>,
    ) -> Result<Filter, SearchError> {
        let segments = self.index().segments();
        let mut allowed = vec![RoaringBitmap::new(); segments.len()];
        for id in ids {
            for (segment, allowed) in segments.iter().zip(&mut allowed) {
                allowed.extend(segment.documents().find(id).map(|DocId(row)| row));
            }
        }
        self.filter_of(&allowed)
    }

    /// Refuses a filter of another index, or of another generation of this one.
    pub(crate) fn check_filter(&self, filter: Option<&Filter>) -> Result<(), SearchError> {
        match filter {
            Some(f) if f.of != generation(self.index()) => Err(SearchError::Param {
                name: "filter",
                found: f.of.to_string(),
                expected: "a filter made by this searcher, of the generation that it searches",
            }),
            _ => Ok(()),
        }
    }
}
