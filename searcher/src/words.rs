//! Words of a query, with what they count.

use std::collections::HashMap;

use quarry_index::text::words;

/// A word of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct WordWeight {
    /// As it is indexed: lower case, stemmed.
    pub word: String,
    /// What it counts; of a text's words how often it stands there. Finite, at least 0.
    pub weight: f64,
}

/// The words of a text, each once, in the order of the text.
pub(crate) fn counted(text: &str) -> Vec<WordWeight> {
    let mut counts: Vec<WordWeight> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for word in words(text) {
        match places.get(&word.term).and_then(|at| counts.get_mut(*at)) {
            Some(count) => count.weight += 1.0,
            None => {
                places.insert(word.term.clone(), counts.len());
                counts.push(WordWeight { word: word.term, weight: 1.0 });
            }
        }
    }
    counts
}
