//! Which word of a hit gave a matched token its weight.
//!
//! 1. the index's origin of the component: position, and bytes of title or text  2. of the stored title
//!    or text, the words (UAX #29) that these bytes lie in

use std::ops::Range;

use quarry_index::Segment;
use quarry_index::text::StoredDocument;
use quarry_vectors::{DocId, Field, Origin, PooledBy};
use unicode_segmentation::UnicodeSegmentation;

use crate::error::SearchError;
use crate::outcome::{TokenOrigin, TokenPlace};

/// The origins of a document's components, and its texts.
pub(crate) struct Origins {
    origins: Vec<Origin>,
    pooled_by: PooledBy,
    stored: Option<StoredDocument>,
}

impl Origins {
    /// Of a document of a segment with `components` components; none where they were not kept.
    pub(crate) fn of(
        segment: &Segment,
        doc: DocId,
        components: usize,
    ) -> Result<Option<Self>, SearchError> {
        let Some(provenance) = segment.provenance() else { return Ok(None) };
        let Some(origins) = provenance.origins(doc, components)? else { return Ok(None) };
        let stored = segment.text().map(|text| text.stored(doc)).transpose()?;
        Ok(Some(Self { origins, pooled_by: provenance.meta().pooled_by, stored }))
    }

    /// Of the component at a place of the document's vector.
    pub(crate) fn get(&self, component: usize) -> Option<TokenOrigin> {
        let Origin { position, place } = self.origins.get(component)?;
        let place = place.as_ref().map(|(field, bytes)| {
            let bytes = bytes.start as usize..bytes.end as usize;
            let text = self.stored.as_ref().map(|stored| match field {
                Field::Title => stored.title.as_str(),
                Field::Text => stored.text.as_str(),
            });
            let word = text.and_then(|text| word(text, &bytes)).map(str::to_owned);
            TokenPlace { field: *field, bytes, word }
        });
        Some(TokenOrigin { position: *position, pooled_by: self.pooled_by, place })
    }
}

/// The words that a token lies in, or the token itself where that is no part of a word; `None` where
/// the text has no such bytes, or they are white space.
fn word<'a>(text: &'a str, token: &Range<usize>) -> Option<&'a str> {
    let floor = |byte: usize| (0..=byte).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    if token.start >= token.end || token.end > text.len() {
        return None;
    }
    let end = (token.end..=text.len()).find(|at| text.is_char_boundary(*at))?;
    // Words hold no white space: the stretch without any around the token is all to look at.
    let own = &text[floor(token.start)..end];
    let start = end - own.trim_start().len();
    let end = start + own.trim().len();
    let first = text[..start]
        .rfind(char::is_whitespace)
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let last = text[end..].find(char::is_whitespace).map_or(text.len(), |at| end + at);
    let (mut from, mut to) = (start, end);
    for (at, word) in text[first..last].unicode_word_indices() {
        let (begin, stop) = (first + at, first + at + word.len());
        if begin < end && stop > start {
            (from, to) = (from.min(begin), to.max(stop));
        }
    }
    Some(&text[from..to]).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_lie_in_words() {
        let text = "The photosynthesis, isn't 光合 – naïve\u{a0}state-of-art.";
        let of = |part: &str| {
            let at = text.find(part).unwrap_or(0);
            word(text, &(at..at + part.len()))
        };
        for (part, want) in [
            ("The", "The"),
            ("synth", "photosynthesis"),
            ("is, is", "photosynthesis, isn't"),
            ("'", "isn't"),
            (",", ","),
            (" isn", "isn't"),
            ("光", "光"),
            ("–", "–"),
            ("ï", "naïve"),
            ("of", "of"),
            ("art.", "art."),
        ] {
            assert_eq!(of(part), Some(want), "{part}");
        }
        // Inside of a character; white space; nothing; beyond the end.
        let inside = text.find('ï').unwrap_or(0) + 1;
        assert_eq!(word(text, &(inside..inside + 1)), Some("naïve"));
        assert_eq!((word(text, &(3..4)), word(text, &(4..4))), (None, None));
        assert_eq!(word(text, &(4..text.len() + 1)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_of_any_text(text in "(\\PC|[ \t\u{2003}ab']){0,30}", start in 0usize..70, length in 0usize..12) {
            if let Some(found) = word(&text, &(start..start + length)) {
                prop_assert!(text.contains(found));
            }
        }
    }
}
