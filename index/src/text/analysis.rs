//! From text to the words that are indexed.

use std::ops::Range;
use std::sync::LazyLock;

use tantivy::tokenizer::{
    LowerCaser, RawTokenizer, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter,
    TextAnalyzer, TextAnalyzerBuilder, TokenizerManager,
};

/// Name under which the analyser is registered and written into the schema.
pub(super) const ANALYZER: &str = "quarry_english";
/// Longer words are not indexed; tantivy refuses terms beyond 65,530 bytes.
const LONGEST_WORD: usize = 255;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// As it is indexed: lower case, stemmed.
    pub term: String,
    /// Its bytes in the text.
    pub bytes: Range<usize>,
}

/// The words of a text, in order, as they are indexed and searched: without stop words and those longer
/// than 255 bytes.
#[must_use]
pub fn words(text: &str) -> Vec<Word> {
    static ANALYZERS: LazyLock<TextAnalyzer> = LazyLock::new(analyzer);
    let mut analyzer = ANALYZERS.clone();
    let mut tokens = analyzer.token_stream(text);
    let mut words = Vec::new();
    while let Some(token) = tokens.next() {
        words.push(Word { term: token.text.clone(), bytes: token.offset_from..token.offset_to });
    }
    words
}

/// Calls `each` with the words of a text, in order, as [`words`] has them but for the stems: [`stem`] gives these.
/// Words repeat more than stems cost, so whoever looks at many texts remembers the stem of each word.
pub fn unstemmed(text: &str, mut each: impl FnMut(&str)) {
    static ANALYZERS: LazyLock<TextAnalyzer> = LazyLock::new(|| without_stems().build());
    let mut analyzer = ANALYZERS.clone();
    let mut tokens = analyzer.token_stream(text);
    while let Some(token) = tokens.next() {
        each(&token.text);
    }
}

/// The stem of a word of [`unstemmed`], as it is indexed.
#[must_use]
pub fn stem(word: &str) -> String {
    static ANALYZERS: LazyLock<TextAnalyzer> =
        LazyLock::new(|| TextAnalyzer::builder(RawTokenizer::default()).filter(stemmer()).build());
    let mut analyzer = ANALYZERS.clone();
    let mut tokens = analyzer.token_stream(word);
    tokens.next().map_or_else(String::new, |token| token.text.clone())
}

/// English analysis: words, lower case, stop words out, Porter2 stems.
fn analyzer() -> TextAnalyzer {
    without_stems().filter_dynamic(stemmer()).build()
}

fn without_stems() -> TextAnalyzerBuilder {
    let words = TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(LONGEST_WORD))
        .filter(LowerCaser);
    let stop_words = STOP_WORDS.iter().map(|word| (*word).to_owned());
    words.filter_dynamic(StopWordFilter::remove(stop_words))
}

fn stemmer() -> Stemmer {
    Stemmer::new(tantivy::tokenizer::Language::English)
}

/// Lucene's default English stop words, so that figures compare with those of the field's tools.
const STOP_WORDS: [&str; 33] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it",
    "no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these",
    "they", "this", "to", "was", "will", "with",
];

/// tantivy's analysers and ours.
pub(super) fn tokenizers() -> TokenizerManager {
    let manager = TokenizerManager::default();
    manager.register(ANALYZER, analyzer());
    manager
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_are_stems_of_unstemmed_words(
            text in "([a-zA-Z']{1,12}|[\\PC]{0,6}|running|Ponies|conditional| |-){0,12}",
        ) {
            let mut apart = Vec::new();
            unstemmed(&text, |word| apart.push(stem(word)));
            let whole: Vec<String> = words(&text).into_iter().map(|word| word.term).collect();
            prop_assert_eq!(apart, whole);
        }
    }
}
