//! Documents that are left out of a query's ranking, because they are the query itself.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::error::DatasetError;
use crate::input::Input;
use crate::lines::Lines;

/// Which documents do not count for which query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignored {
    identical_ids: bool,
    pairs: HashMap<String, HashSet<String>>,
}

impl Ignored {
    /// With `identical_ids`, the document that has the query's own id.
    #[must_use]
    pub fn new(identical_ids: bool) -> Self {
        Self { identical_ids, pairs: HashMap::new() }
    }

    /// Adds the pairs of a file, `query TAB document` a line, plain or compressed.
    ///
    /// # Errors
    /// When the file cannot be read, a line has another shape or an id is empty.
    pub fn read_pairs(&mut self, path: &Path) -> Result<(), DatasetError> {
        Lines::new(Input::open_text(path)?).each_filled(|line| {
            let pair = match line.text.split('\t').collect::<Vec<_>>().as_slice() {
                &[query, document] => Some((query, document)),
                _ => None,
            };
            let Some((query, document)) = pair else {
                return Err(line.malformed("a query's id, a tab and a document's id", line.text));
            };
            if query.is_empty() || document.is_empty() {
                return Err(DatasetError::EmptyId { path: path.to_owned(), at: line.at() });
            }
            self.pairs.entry(query.to_owned()).or_default().insert(document.to_owned());
            Ok(())
        })
    }

    /// Whether a document is left out of a query's ranking.
    #[must_use]
    pub fn contains(&self, query: &str, document: &str) -> bool {
        (self.identical_ids && query == document)
            || self.pairs.get(query).is_some_and(|documents| documents.contains(document))
    }

    /// The documents that are left out of a query's ranking, whether or not they exist.
    pub fn of<'a>(&'a self, query: &'a str) -> impl Iterator<Item = &'a str> {
        let own = self.identical_ids.then_some(query);
        own.into_iter().chain(self.pairs.get(query).into_iter().flatten().map(String::as_str))
    }

    /// How many documents a query can lose at most: a search has to look for that many more.
    #[must_use]
    pub fn most(&self) -> usize {
        let pairs = self.pairs.values().map(HashSet::len).max().unwrap_or(0);
        pairs + usize::from(self.identical_ids)
    }

    /// The queries that have pairs.
    pub fn queries(&self) -> impl Iterator<Item = &str> {
        self.pairs.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_own_ids() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs");
        std::fs::write(&path, "p1_method\tp1\r\np1_method\tp 2\n\n").unwrap();
        let mut ignored = Ignored::new(true);
        ignored.read_pairs(&path).unwrap();
        assert_eq!(ignored.most(), 3);
        for (query, document, want) in [
            ("p1_method", "p1", true),
            ("p1_method", "p 2", true),
            ("p1_method", "p1_method", true),
            ("p1_method", "p3", false),
            ("p1", "p1_method", false),
        ] {
            assert_eq!(ignored.contains(query, document), want, "{query} {document}");
        }
        for (text, want) in [("a b\n", "line 1: expected a query's id"), ("a\t\n", "id is empty")] {
            std::fs::write(&path, text).unwrap();
            let error = Ignored::default().read_pairs(&path).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
