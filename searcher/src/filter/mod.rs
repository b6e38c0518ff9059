//! Which documents a search may find: those that a filter allows, without those deleted.

mod listed;
mod make;
mod query;
pub(crate) mod rows;
pub mod syntax;
mod values;

pub use listed::ListedField;

use std::fmt;

use quarry_index::Index;
use uuid::Uuid;

use crate::error::SearchError;
use crate::filter::rows::RowSet;
use crate::outcome::Hit;

/// The rows that a search may find, for one generation of one index. Making a filter visits each of its rows
/// once; searches share it. Searching another index or generation with it is an error, since its row numbers
/// would mean other documents.
#[derive(Debug, Clone)]
pub struct Filter {
    sets: Vec<RowSet>,
    /// The generation that it was made for.
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
    /// Number of rows allowed: documents, or passages where texts were split.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.sets.iter().map(RowSet::len).sum()
    }

    /// The rows that both allow: one pass over a bit per row.
    ///
    /// # Errors
    /// When they were made for different indexes or generations.
    pub fn and(&self, other: &Self) -> Result<Self, SearchError> {
        if self.of != other.of {
            return Err(SearchError::Param {
                name: "filter",
                found: other.of.to_string(),
                expected: "a filter of the same generation as the other",
            });
        }
        let sets = self.sets.iter().zip(&other.sets).map(|(one, other)| one.and(other)).collect();
        Ok(Self { sets, of: self.of })
    }

    /// Whether it allows a row.
    #[must_use]
    pub fn allows(&self, hit: &Hit) -> bool {
        self.sets.get(hit.segment).is_some_and(|set| set.contains(hit.doc))
    }

    pub(crate) fn set(&self, segment: usize) -> Option<&RowSet> {
        self.sets.get(segment)
    }
}

fn generation(index: &Index) -> Generation {
    let manifest = index.manifest();
    let rows = index.segments().iter().map(|s| s.documents().len() as u64).sum();
    Generation { index: manifest.uuid, number: manifest.generation, rows }
}
