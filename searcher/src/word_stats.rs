//! An index's own statistics of words.

use std::collections::HashMap;

use quarry_index::{Segment, guarded};

use crate::error::SearchError;
use crate::methods::bm25::{documents, fit, frequency, tokens};
use crate::options::Bm25Options;
use crate::search::ChannelQuery;
use crate::searcher::Searcher;
use crate::term_stats::TermStats;
use crate::words::{WordWeight, counted};

impl Searcher {
    /// This index's statistics of the words of a query; without words for one of another channel. Cost: a dictionary
    /// lookup a word and segment.
    ///
    /// # Errors
    /// [`SearchError::NoText`]; or when the text part cannot be read.
    pub fn term_stats(&self, query: &ChannelQuery<'_>) -> Result<TermStats, SearchError> {
        match query {
            ChannelQuery::Words(text) => self.stats_of(&counted(text)),
            ChannelQuery::Weighted(words) => self.stats_of(words),
            _ => self.stats_of(&[]),
        }
    }

    /// Whether lists of words can be used with these parameters, in every segment that has any. Where they cannot,
    /// every posting is scored.
    #[must_use]
    pub fn lists_fit(&self, params: &Bm25Options) -> bool {
        self.index().segments().iter().filter_map(Segment::words).all(|lists| fit(lists, params))
    }

    fn stats_of(&self, words: &[WordWeight]) -> Result<TermStats, SearchError> {
        let texts = self.texts();
        let Some(first) = texts.first().filter(|_| self.index().has_text()) else {
            return Err(SearchError::NoText);
        };
        guarded(first.path(), || {
            let mut frequencies = HashMap::new();
            for word in words {
                frequencies.insert(word.word.clone(), whole(frequency(&texts, &word.word)?));
            }
            let (documents, tokens) = (whole(documents(&texts)), tokens(&texts)?);
            Ok(TermStats { documents, tokens, frequencies })
        })
    }
}

/// A number of rows, which f64 holds as it is.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole")]
fn whole(rows: f64) -> u64 {
    rows as u64
}
