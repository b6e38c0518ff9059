//! Which documents a search may find: those that a filter allows, without those deleted.

use quarry_index::Segment;
use quarry_vectors::DocId;
use roaring::RoaringBitmap;

use crate::rows::RowSet;
use crate::{SearchError, Searcher};

/// The rows that may be found, segment by segment, of one open generation. Making one costs as much
/// as looking at each of its rows; searches share it.
#[derive(Debug, Clone)]
pub struct Filter {
    sets: Vec<RowSet>,
    /// Documents of the index that made it, to refuse another.
    rows: u64,
}

impl Filter {
    /// How many rows are allowed: documents, or passages where texts were split.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.sets.iter().map(RowSet::len).sum()
    }

    pub(crate) fn set(&self, segment: usize) -> Option<&RowSet> {
        self.sets.get(segment)
    }
}

impl Searcher {
    /// A filter that allows `allowed`, a bitmap of rows a segment; deleted rows are left out.
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
        Ok(Filter { sets: sets.collect(), rows: rows(segments) })
    }

    /// A filter that allows the documents with these ids. Unknown ids allow nothing.
    ///
    /// # Errors
    /// None; as [`Self::filter_of`].
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
        let segments = self.index().segments();
        match filter {
            Some(f) if f.sets.len() != segments.len() || f.rows != rows(segments) => {
                Err(SearchError::Param {
                    name: "filter",
                    found: format!("made for {} rows", f.rows),
                    expected: "a filter made by this searcher",
                })
            }
            _ => Ok(()),
        }
    }
}

fn rows(segments: &[Segment]) -> u64 {
    segments.iter().map(|s| s.documents().len() as u64).sum()
}

/// The rows that are not deleted; `None` where none is.
pub(crate) fn live(segment: &Segment) -> Option<RowSet> {
    let deleted = segment.deleted()?;
    let rows = segment.documents().len();
    let mut live = RoaringBitmap::new();
    live.insert_range(0..u32::try_from(rows).unwrap_or(u32::MAX));
    Some(RowSet::of(rows, &(live - deleted)))
}
