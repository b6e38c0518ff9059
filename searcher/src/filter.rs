//! Which documents a search may find: those that a filter allows, without those deleted.

use std::fmt;

use quarry_index::{Index, Segment};
use quarry_vectors::DocId;
use roaring::RoaringBitmap;
use uuid::Uuid;

use crate::rows::RowSet;
use crate::{SearchError, Searcher};

/// The rows that may be found, segment by segment, of one open generation. Making one costs as much
/// as looking at each of its rows; searches share it. A search of another index or generation refuses
/// it: its rows would be other documents.
#[derive(Debug, Clone)]
pub struct Filter {
    sets: Vec<RowSet>,
    /// What it was made for.
    of: Generation,
}

/// A state of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Generation {
    index: Uuid,
    number: u64,
    rows: u64,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, number, rows } = self;
        write!(f, "made for generation {number} of the index {index}, of {rows} rows")
    }
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
        Ok(Filter { sets: sets.collect(), of: generation(self.index()) })
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

fn generation(index: &Index) -> Generation {
    let manifest = index.manifest();
    let rows = index.segments().iter().map(|s| s.documents().len() as u64).sum();
    Generation { index: manifest.uuid, number: manifest.generation, rows }
}

/// The rows that are not deleted; `None` where none is.
pub(crate) fn live(segment: &Segment) -> Option<RowSet> {
    let deleted = segment.deleted()?;
    let rows = segment.documents().len();
    let mut live = RoaringBitmap::new();
    live.insert_range(0..u32::try_from(rows).unwrap_or(u32::MAX));
    Some(RowSet::of(rows, &(live - deleted)))
}
