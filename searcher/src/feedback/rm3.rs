//! RM3, a relevance model mixed with the question (Lavrenko and Croft 2001; Abdul-Jaleel et al. 2004), for BM25;
//! as Anserini's `Rm3Reranker` has it.
//!
//! 1. each document's text is analysed again, as when it was indexed, and its words are counted
//! 2. words that more than a tenth of all documents have are left out; of the others the most frequent stay
//! 3. p(w | D) is a word's share of their counts; documents add p(w | D) times their score
//! 4. the heaviest words stay
//! 5. question and words are brought to one sum, mixed, and scaled back to the question's own length
//!
//! Cost: what reading and analysing the documents takes, and a dictionary lookup for each different word that is
//! looked at: a few milliseconds for ten documents of 200 words.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

use quarry_index::guarded;
use quarry_index::text::{TextIndex, words};
use quarry_vectors::join_title_and_text;

use super::expansion::{Expansion, heaviest};
use crate::error::SearchError;
use crate::methods::bm25::{documents, frequency};
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
        guarded(first.path(), || {
            let model = Model { searcher: self, frequencies: Frequencies::of(&texts), deadline };
            model.expanded(question, documents, expansion)
        })
    }
}

struct Model<'a> {
    searcher: &'a Searcher,
    frequencies: Frequencies<'a>,
    deadline: Option<Instant>,
}

impl Model<'_> {
    fn expanded(
        mut self,
        question: &str,
        documents: &[Hit],
        expansion: &Expansion,
    ) -> Result<Vec<WordWeight>, SearchError> {
        let mut query = Vec::new();
        for word in counted(question) {
            if self.frequencies.share(&word.word)? > 0.0 {
                query.push(word);
            }
        }
        let scored = documents.iter().all(|hit| hit.score > 0.0);
        let mut sums: HashMap<String, f64> = HashMap::new();
        for hit in documents {
            let counts = self.counts(hit, expansion)?;
            let all: f64 = counts.iter().map(|(_, count)| count).sum();
            let weight = if scored { hit.score } else { 1.0 };
            for (word, count) in counts {
                *sums.entry(word).or_default() += weight * count / all;
            }
        }
        let mut terms: Vec<(String, f64)> = sums.into_iter().collect();
        heaviest(expansion.terms, &mut terms);
        let own = query.iter().map(|word| word.weight).sum();
        let factors = expansion.factors(own, terms.iter().map(|(_, weight)| weight).sum());
        query.iter_mut().for_each(|word| word.weight *= factors.query);
        for (word, weight) in terms {
            let weight = factors.added * weight;
            match query.iter_mut().find(|own| own.word == word) {
                Some(own) => own.weight += weight,
                None => query.push(WordWeight { word, weight }),
            }
        }
        query.retain(|word| word.weight > 0.0);
        Ok(query)
    }

    /// The most frequent words of a document that are not common, with their counts.
    fn counts(
        &mut self,
        hit: &Hit,
        expansion: &Expansion,
    ) -> Result<Vec<(String, f64)>, SearchError> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(SearchError::Timeout);
        }
        let Some(stored) = self.searcher.stored(hit)? else { return Ok(Vec::new()) };
        let mut counts: HashMap<String, f64> = HashMap::new();
        for word in words(&join_title_and_text(&stored.title, &stored.text, " ")) {
            *counts.entry(word.term).or_default() += 1.0;
        }
        let mut counts: Vec<(String, f64)> = counts.into_iter().collect();
        counts.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let mut kept = Vec::new();
        for (word, count) in counts {
            if kept.len() == expansion.terms.get() {
                break;
            }
            if self.frequencies.share(&word)? <= COMMON {
                kept.push((word, count));
            }
        }
        Ok(kept)
    }
}

/// How many documents have a word, looked up once.
struct Frequencies<'a> {
    texts: &'a [&'a TextIndex],
    documents: f64,
    shares: HashMap<String, f64>,
}

impl<'a> Frequencies<'a> {
    fn of(texts: &'a [&'a TextIndex]) -> Self {
        Self { texts, documents: documents(texts).max(1.0), shares: HashMap::new() }
    }

    /// The share of the documents that have it.
    fn share(&mut self, word: &str) -> Result<f64, SearchError> {
        match self.shares.entry(word.to_owned()) {
            Entry::Occupied(found) => Ok(*found.get()),
            Entry::Vacant(place) => {
                Ok(*place.insert(frequency(self.texts, word)? / self.documents))
            }
        }
    }
}
