//! From text to the words that are indexed.

use std::ops::Range;
use std::sync::LazyLock;

use tantivy::tokenizer::{
    LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter, TextAnalyzer,
    TokenizerManager,
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

/// English analysis: words, lower case, stop words out, Porter2 stems.
fn analyzer() -> TextAnalyzer {
    let words = TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(LONGEST_WORD))
        .filter(LowerCaser)
        .filter_dynamic(StopWordFilter::remove(STOP_WORDS.iter().map(|w| (*w).to_owned())));
    words.filter_dynamic(Stemmer::new(tantivy::tokenizer::Language::English)).build()
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
