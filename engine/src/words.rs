//! Finds the words of a text that no document has.

use std::collections::HashSet;

use quarry_index::text::{self, TextIndex};
use quarry_index::{Index, Segment, guarded};
use quarry_searcher::SearchError;

use crate::EngineError;
use crate::search::SearchOptions;

/// Which words of a text the index knows.
pub(crate) struct Words {
    /// Words that no document has, each once.
    pub(crate) unknown: Vec<String>,
    /// Whether some word is in the index.
    pub(crate) any_known: bool,
}

/// Looks up the words of a text. Cost: one dictionary lookup per word and segment.
pub(crate) fn look_up(
    index: &Index,
    text: &str,
    options: &SearchOptions,
) -> Result<Words, EngineError> {
    let texts: Option<Vec<&TextIndex>> = index.segments().iter().map(Segment::text).collect();
    let texts = texts.ok_or(SearchError::NoText)?;
    match texts.first() {
        Some(first) => guarded(first.path(), || look(&texts, text, options)),
        None => look(&texts, text, options),
    }
}

fn look(texts: &[&TextIndex], text: &str, options: &SearchOptions) -> Result<Words, EngineError> {
    let mut fields = Vec::new();
    for text in texts {
        let contents = text.reader().inverted_index(text.fields().contents);
        fields.push(contents.map_err(|error| SearchError::Text(Box::new(error)))?);
    }
    let mut words = Words { unknown: Vec::new(), any_known: false };
    let mut seen: HashSet<String> = HashSet::new();
    for text::Word { term, bytes } in text::words(text) {
        let word = text.get(bytes).unwrap_or(&term);
        if !seen.insert(word.to_owned()) {
            continue;
        }
        options.expire()?;
        let mut found = false;
        for field in &fields {
            found |= field.terms().get(&term).map_err(SearchError::TextIo)?.is_some();
        }
        words.any_known |= found;
        if !found {
            words.unknown.push(word.to_owned());
        }
    }
    Ok(words)
}
