//! Words of texts that were looked at, with their stems and how many documents have them.
//!
//! Feedback by words analyses the texts of documents again. Most of the words of a text were in earlier ones, so what
//! a stem and a dictionary lookup gave is kept, for some number of words.

use std::collections::HashMap;

use quarry_index::text::{TextIndex, stem, unstemmed};

use crate::error::SearchError;
use crate::methods::bm25::frequency;

/// Most words, before stemming, that are kept; then all are forgotten. Together some megabytes.
const MOST: usize = 1 << 16;

/// Of one generation of an index.
#[derive(Debug, Default)]
pub(crate) struct KnownWords {
    /// By what a text has: the number of its stem.
    numbers: HashMap<Box<str>, u32>,
    by_stem: HashMap<Box<str>, u32>,
    words: Vec<KnownWord>,
}

#[derive(Debug)]
struct KnownWord {
    word: Box<str>,
    /// Documents that have it; `None` before it was looked up.
    frequency: Option<f64>,
}

impl KnownWords {
    /// Forgets all words if they are many. The numbers of before mean nothing after it.
    pub(super) fn tidy(&mut self) {
        if self.numbers.len() >= MOST {
            *self = Self::default();
        }
    }

    /// Appends the numbers of a text's words, in order.
    pub(super) fn analyse(&mut self, text: &str, numbers: &mut Vec<u32>) {
        unstemmed(text, |word| {
            let number = self.numbers.get(word).copied();
            numbers.push(number.unwrap_or_else(|| self.add(word)));
        });
    }

    fn add(&mut self, word: &str) -> u32 {
        let stem: Box<str> = stem(word).into();
        let next = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        let number = *self.by_stem.entry(stem.clone()).or_insert_with(|| {
            self.words.push(KnownWord { word: stem, frequency: None });
            next
        });
        self.numbers.insert(word.into(), number);
        number
    }

    /// The word of a number, as it is indexed.
    pub(super) fn word(&self, number: u32) -> &str {
        &self.words[number as usize].word
    }

    /// How many documents have the word of a number.
    pub(super) fn frequency(
        &mut self,
        number: u32,
        texts: &[&TextIndex],
    ) -> Result<f64, SearchError> {
        let known = &mut self.words[number as usize];
        if let Some(frequency) = known.frequency {
            return Ok(frequency);
        }
        let found = frequency(texts, &known.word)?;
        known.frequency = Some(found);
        Ok(found)
    }
}
