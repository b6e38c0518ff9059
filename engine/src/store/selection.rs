//! Which documents a change is about: named by their ids, or by a filter.
//!
//! A filter is resolved once, to the ids of one generation. What is done and logged is about these ids: made again after
//! a crash, it is about the same documents.

use std::collections::HashSet;

use crate::EngineError;
use crate::snapshot::Snapshot;

/// Documents, as a request names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Those with these ids.
    Ids(Vec<String>),
    /// Those that match an expression; `*` is all.
    Filter(String),
}

/// The documents of one generation that were meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    /// Ids of documents that are there, each once: in the order given, or of a filter bytewise ascending.
    pub ids: Vec<String>,
    /// Ids given that no document has.
    pub unknown: Vec<String>,
}

impl Selection {
    /// Finds the documents in a generation. Cost of a filter: a look at each row, and memory for the ids that match.
    ///
    /// # Errors
    /// [`EngineError::Search`] if the filter is no expression, or names a field or a value that no document can have.
    pub fn resolve(&self, snapshot: &Snapshot) -> Result<Selected, EngineError> {
        match self {
            Self::Filter(filter) => {
                let mut ids = snapshot.matching(filter)?;
                ids.sort_unstable();
                Ok(Selected { ids, unknown: Vec::new() })
            }
            Self::Ids(given) => {
                let mut selected = Selected::default();
                let mut seen: HashSet<&str> = HashSet::new();
                for id in given.iter().filter(|id| seen.insert(id)) {
                    match snapshot.searcher().find(id) {
                        Some(_) => selected.ids.push(id.clone()),
                        None => selected.unknown.push(id.clone()),
                    }
                }
                Ok(selected)
            }
        }
    }
}
