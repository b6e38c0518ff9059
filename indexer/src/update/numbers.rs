//! Ids for documents that have only their place in a file: they go on after the index's highest number, so
//! that none takes another's place. Deleted documents count, as long as their rows are there.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use quarry_index::Index;
use quarry_vectors::{DocId, Document};

use crate::BuildError;

/// Numbers as they are given.
pub(super) struct Numbers<'a> {
    index: &'a Index,
    first: OnceLock<u64>,
    given: AtomicU64,
}

impl<'a> Numbers<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        Self { index, first: OnceLock::new(), given: AtomicU64::new(0) }
    }

    /// The first number that was given, if any was.
    pub(super) fn first(&self) -> Option<u64> {
        self.first.get().copied()
    }

    /// Names a document that has no name of its own.
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

/// The number after the highest of an index whose ids are numbers. Cost: one pass over its ids.
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
