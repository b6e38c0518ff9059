//! Ids for documents that only have a position in a file: they are numbered after the index's highest
//! number, so that none replaces another. Deleted documents count as long as their rows exist.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use quarry_index::Index;
use quarry_vectors::{DocId, Document};

use crate::BuildError;

/// Assigns numbers.
pub(super) struct Numbers<'a> {
    index: &'a Index,
    first: OnceLock<u64>,
    given: AtomicU64,
}

impl<'a> Numbers<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        Self { index, first: OnceLock::new(), given: AtomicU64::new(0) }
    }

    /// The first number assigned, if there is one.
    pub(super) fn first(&self) -> Option<u64> {
        self.first.get().copied()
    }

    /// Gives a document without an id of its own the next number.
    pub(super) fn name(&self, document: &mut Document) -> Result<(), BuildError> {
        if !document.numbered {
            return Ok(());
        }
        let first = match self.first.get() {
            Some(first) => *first,
            None => {
                let first = after_highest(self.index)?;
                *self.first.get_or_init(|| first)
            }
        };
        let number = first.checked_add(self.given.fetch_add(1, Ordering::Relaxed));
        let number = number.ok_or_else(|| no_numbers(self.index, &first.to_string()))?;
        document.id = number.to_string();
        Ok(())
    }
}

/// The highest id plus one, in an index whose ids are numbers. Cost: one pass over the ids.
fn after_highest(index: &Index) -> Result<u64, BuildError> {
    let mut next = 0;
    for segment in index.segments() {
        let table = segment.documents();
        for row in 0..u32::try_from(table.len()).unwrap_or(u32::MAX) {
            let id = table.id(DocId(row));
            let number = id.parse::<u64>().ok().filter(|n| n.to_string() == id);
            let after = number.and_then(|n| n.checked_add(1));
            next = next.max(after.ok_or_else(|| no_numbers(index, id))?);
        }
    }
    Ok(next)
}

fn no_numbers(index: &Index, id: &str) -> BuildError {
    BuildError::NoIds { path: index.folder().to_path_buf(), id: id.to_owned() }
}
