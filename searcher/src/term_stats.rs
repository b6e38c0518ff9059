//! Statistics of words that are given, for scores that compare across indexes.

use std::collections::HashMap;

use crate::error::SearchError;

/// What BM25 weighs words and lengths by. Those of several indexes, added up, give each of them the scores that one
/// index of all their documents would give.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TermStats {
    /// Rows: documents, or passages of them; deleted ones count until segments are merged.
    pub documents: u64,
    /// Words of all their texts, each as often as it stands there.
    pub tokens: u64,
    /// Rows that have a word, by the word as it is indexed: lower case, stemmed.
    pub frequencies: HashMap<String, u64>,
}

impl TermStats {
    /// Adds those of another index, whose documents are others.
    pub fn add(&mut self, other: &Self) {
        self.documents = self.documents.saturating_add(other.documents);
        self.tokens = self.tokens.saturating_add(other.tokens);
        for (word, rows) in &other.frequencies {
            let all = self.frequencies.entry(word.clone()).or_default();
            *all = all.saturating_add(*rows);
        }
    }

    /// Refuses statistics with fewer rows or words than the index itself has.
    pub(crate) fn include(&self, documents: f64, tokens: u64) -> Result<(), SearchError> {
        #[expect(clippy::cast_precision_loss, reason = "compared with a number that was one")]
        if self.documents as f64 >= documents && self.tokens >= tokens {
            return Ok(());
        }
        Err(SearchError::Param {
            name: "term_stats",
            found: format!("{} documents, {} tokens", self.documents, self.tokens),
            expected: "at least those of the index that is searched",
        })
    }

    /// Rows that have a word, `found` of them in the index that is searched.
    pub(crate) fn frequency(&self, word: &str, found: f64) -> Result<f64, SearchError> {
        let given = self.frequencies.get(word).copied();
        #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
        let rows = given.map(|rows| rows as f64);
        match rows.zip(given) {
            Some((rows, given)) if rows >= found && given <= self.documents => Ok(rows),
            _ => Err(SearchError::Param {
                name: "term_stats",
                found: given.map_or_else(
                    || format!("none of the word `{word}`"),
                    |rows| format!("{rows} documents with the word `{word}`"),
                ),
                expected: "for each word of the query the documents that have it, of all indexes together",
            }),
        }
    }
}
