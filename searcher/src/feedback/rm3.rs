//! RM3, a relevance model mixed with the question (Lavrenko and Croft 2001; Abdul-Jaleel et al. 2004), for BM25;
//! as Anserini's `Rm3Reranker` has it.
//!
//! 1. each document's text is analysed again, as when it was indexed, and its words are counted
//! 2. words that more than a tenth of all documents have are left out; of the others the most frequent stay
//! 3. p(w | D) is a word's share of their counts; documents add p(w | D) times their score
//! 4. the heaviest words stay
//! 5. question and words are brought to one sum, mixed, and scaled back to the question's own length
//!
//! Cost: what reading and analysing the documents takes, and for each different word that was not seen in an earlier
//! query (`known_words.rs`) a stem and a dictionary lookup.

use std::collections::HashMap;
use std::time::Instant;

use quarry_index::guarded;
use quarry_index::text::TextIndex;

use super::expansion::{Expansion, heaviest};
use super::known_words::KnownWords;
use crate::error::SearchError;
use crate::methods::bm25::{documents as all_documents, frequency};
use crate::outcome::Hit;
use crate::searcher::Searcher;
use crate::words::{WordWeight, counted};

/// Words of a larger share of the documents say little of relevance.
const COMMON: f64 = 0.1;

impl Searcher {
    /// The words of a question with the heaviest words of documents, as a query for BM25. The question's words come
    /// first; those that no document has are left out. `documents` have the scores that they were found with; where
    /// one is not above 0, all count alike.
    ///
    /// # Errors
    /// [`SearchError::NoText`]; [`SearchError::Param`] for a number out of its range; [`SearchError::Timeout`]; or
    /// when a text cannot be read.
    pub fn rm3(
        &self,
        question: &str,
        documents: &[Hit],
        expansion: &Expansion,
        deadline: Option<Instant>,
    ) -> Result<Vec<WordWeight>, SearchError> {
        expansion.check()?;
        let texts = self.texts();
        let Some(first) = texts.first().filter(|_| self.index().has_text()) else {
            return Err(SearchError::NoText);
        };
        let mut known = self.take_words();
        known.tidy();
        guarded(first.path(), || {
            let all = all_documents(&texts).max(1.0);
            let mut model =
                Model { searcher: self, texts: &texts, documents: all, known, deadline };
            let expanded = model.expanded(question, documents, expansion);
            self.give_words_back(model.known);
            expanded
        })
    }
}

struct Model<'a> {
    searcher: &'a Searcher,
    texts: &'a [&'a TextIndex],
    /// Of all texts, deleted ones too.
    documents: f64,
    known: KnownWords,
    deadline: Option<Instant>,
}

impl Model<'_> {
    fn expanded(
        &mut self,
        question: &str,
        documents: &[Hit],
        expansion: &Expansion,
    ) -> Result<Vec<WordWeight>, SearchError> {
        let mut query = Vec::new();
        for word in counted(question) {
            if frequency(self.texts, &word.word)? > 0.0 {
                query.push(word);
            }
        }
        let scored = documents.iter().all(|hit| hit.score > 0.0);
        let mut sums: HashMap<u32, f64> = HashMap::new();
        for hit in documents {
            let counts = self.counts(hit, expansion)?;
            let all: f64 = counts.iter().map(|(_, count)| count).sum();
            let weight = if scored { hit.score } else { 1.0 };
            for (word, count) in counts {
                *sums.entry(word).or_default() += weight * count / all;
            }
        }
        let word = |number: u32| self.known.word(number);
        let mut terms: Vec<(&str, f64)> = sums.iter().map(|(w, sum)| (word(*w), *sum)).collect();
        heaviest(expansion.terms, &mut terms);
        let own = query.iter().map(|word| word.weight).sum();
        let factors = expansion.factors(own, terms.iter().map(|(_, weight)| weight).sum());
        query.iter_mut().for_each(|word| word.weight *= factors.query);
        for (word, weight) in terms {
            let weight = factors.added * weight;
            match query.iter_mut().find(|own| own.word == word) {
                Some(own) => own.weight += weight,
                None => query.push(WordWeight { word: word.to_owned(), weight }),
            }
        }
        query.retain(|word| word.weight > 0.0);
        Ok(query)
    }

    /// The most frequent words of a document that are not common, with their counts.
    fn counts(&mut self, hit: &Hit, expansion: &Expansion) -> Result<Vec<(u32, f64)>, SearchError> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(SearchError::Timeout);
        }
        let Some(stored) = self.searcher.stored(hit)? else { return Ok(Vec::new()) };
        let mut numbers = Vec::new();
        // No word reaches over a space.
        self.known.analyse(&stored.title, &mut numbers);
        self.known.analyse(&stored.text, &mut numbers);
        numbers.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "a count of words")]
        let mut counts: Vec<(u32, f64)> =
            numbers.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as f64)).collect();
        let word = |number: u32| self.known.word(number);
        counts.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| word(a.0).cmp(word(b.0))));
        let mut kept = Vec::new();
        for (number, count) in counts {
            if kept.len() == expansion.terms.get() {
                break;
            }
            if self.known.frequency(number, self.texts)? / self.documents <= COMMON {
                kept.push((number, count));
            }
        }
        Ok(kept)
    }
}
