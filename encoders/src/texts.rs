//! A text becomes the tokens that a graph is given, and the positions that are pooled.
//!
//! Once: prompt and text are tokenised as one and cut at the longest input. Twice (`Echo`): prompt,
//! text and what stands between the copies are tokenised by themselves and joined as ids between the
//! tokens that the tokenizer adds; the text is cut so that both copies fit, and the second is pooled.
//!
//! Of a long text only as much is tokenised as it takes (`head.rs`).
//!
//! Where tokens stand in title and text (`places`) is found by the tokenizer's offsets, carried back
//! over prompt, lower case and stripped white space.

use std::borrow::Cow;
use std::ops::Range;

use quarry_vectors::{Field, Passage, join_title_and_text};
use tokenizers::{Encoding, Tokenizer};

use crate::graph::InputRow;
use crate::head::head;
use crate::sessions::AsRow;
use crate::vocabulary::encode;
use crate::{DocumentParameters, EncoderError, Vocabulary};

/// A text's tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tokens {
    /// All of them; none when the text has no token of its own.
    pub(crate) ids: Vec<u32>,
    /// The positions that are pooled.
    pub(crate) pooled: std::ops::Range<usize>,
    /// Whether the text was cut.
    pub(crate) cut: bool,
}

impl AsRow for Tokens {
    fn row(&self) -> InputRow<'_> {
        InputRow {
            ids: &self.ids,
            attended: self.ids.len(),
            pooled_from: self.pooled.start,
            pooled_to: self.pooled.end,
        }
    }
}

/// A text's tokens with the places of those that are pooled.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlacedTokens {
    pub(crate) tokens: Tokens,
    /// Of each pooled position the bytes that it stands for; none for what is in neither field.
    pub(crate) places: Vec<Option<(Field, Range<u32>)>>,
}

impl AsRow for PlacedTokens {
    fn row(&self) -> InputRow<'_> {
        self.tokens.row()
    }
}

/// Turns texts into tokens.
#[derive(Debug)]
pub(crate) struct Texts {
    tokenizer: Tokenizer,
    /// Tokens that the tokenizer adds to every text.
    added: usize,
    parameters: DocumentParameters,
    echo: Option<EchoParts>,
}

/// What stands around the copies of a text that stands twice.
#[derive(Debug)]
struct EchoParts {
    head: Vec<u32>,
    between: Vec<u32>,
    tail: Vec<u32>,
    /// Tokens of a copy, at most.
    room: usize,
}

impl Texts {
    /// For inputs of at most `parameters.max_tokens` tokens, itself at most `max_positions`.
    pub(crate) fn new(
        vocabulary: &Vocabulary,
        parameters: DocumentParameters,
        max_positions: u32,
    ) -> Result<Self, EncoderError> {
        let added = vocabulary.added_tokens();
        let echo = match &parameters.echo {
            None => None,
            Some(echo) => {
                let (mut head, tail) = added_around(vocabulary.tokenizer())?;
                head.extend(ids(vocabulary.tokenizer(), &parameters.prompt)?);
                let between = ids(vocabulary.tokenizer(), &echo.between)?;
                let around = head.len() + between.len() + tail.len();
                let room = (parameters.max_tokens as usize).saturating_sub(around) / 2;
                Some(EchoParts { head, between, tail, room })
            }
        };
        let least =
            echo.as_ref().map_or(added + 1, |e| e.head.len() + e.between.len() + e.tail.len() + 2);
        if (parameters.max_tokens as usize) < least || parameters.max_tokens > max_positions {
            return Err(EncoderError::Parameter {
                parameter: "max_tokens",
                expected: format!("{least} to {max_positions}"),
                found: parameters.max_tokens,
            });
        }
        let tokenizer = match &echo {
            Some(_) => vocabulary.tokenizer().clone(),
            None => vocabulary.truncating(parameters.max_tokens as usize)?,
        };
        Ok(Self { tokenizer, added, parameters, echo })
    }

    /// The parameters in force.
    pub(crate) fn parameters(&self) -> &DocumentParameters {
        &self.parameters
    }

    /// Tokens of a text's own that are read, at most.
    pub(crate) fn room(&self) -> Result<usize, EncoderError> {
        match &self.echo {
            Some(echo) => Ok(echo.room),
            None => {
                let prompt = ids(&self.tokenizer, &self.parameters.prompt)?.len();
                Ok((self.parameters.max_tokens as usize).saturating_sub(self.added + prompt))
            }
        }
    }

    /// The tokens of a passage.
    pub(crate) fn passage(&self, passage: &Passage<'_>) -> Result<Tokens, EncoderError> {
        self.text(&join_title_and_text(passage.title, passage.text, &self.parameters.separator))
    }

    /// The tokens of a passage, and where in its title and text they stand. Cost: more than
    /// [`Self::passage`], as the tokenizer keeps count.
    pub(crate) fn placed(&self, passage: &Passage<'_>) -> Result<PlacedTokens, EncoderError> {
        let separator = &self.parameters.separator;
        let whole = join_title_and_text(passage.title, passage.text, separator);
        let (tokens, offsets, read) = self.read(&whole, true)?;
        let back = Back::new(&whole[..read], &self.parameters);
        let title = 0..passage.title.len();
        let text = whole.len() - passage.text.len()..whole.len();
        let place = |(start, end): (usize, usize)| {
            let bytes = back.range(start..end)?;
            within(Field::Title, &title, &bytes).or_else(|| within(Field::Text, &text, &bytes))
        };
        Ok(PlacedTokens { tokens, places: offsets.into_iter().map(place).collect() })
    }

    /// The tokens of a text.
    pub(crate) fn text(&self, text: &str) -> Result<Tokens, EncoderError> {
        Ok(self.read(text, false)?.0)
    }

    /// Tokens, and, `with` them, the tokenizer's offsets of those that are pooled; and how many bytes of the
    /// text they are of.
    fn read(&self, text: &str, with: bool) -> Result<(Tokens, Offsets, usize), EncoderError> {
        // White space alone says nothing, also to tokenizers that make tokens of it.
        if text.trim().is_empty() {
            return Ok(Default::default());
        }
        let room = self.echo.as_ref().map_or(self.parameters.max_tokens as usize, |e| e.room);
        let ((mut tokens, offsets), bytes) = head(text, room, |piece| {
            let piece = prepared(piece, &self.parameters);
            let (tokens, offsets, all) = match &self.echo {
                Some(echo) => self.twice(&piece, echo, with)?,
                None => self.once(&piece, with)?,
            };
            Ok(((tokens, offsets), all))
        })?;
        tokens.cut |= !tokens.ids.is_empty() && !text[bytes..].trim().is_empty();
        Ok((tokens, offsets, bytes))
    }

    /// Tokens and offsets, and how many tokens there were before the cut.
    fn once(&self, text: &str, with: bool) -> Result<(Tokens, Offsets, usize), EncoderError> {
        let prompt = &self.parameters.prompt;
        let encoding = if prompt.is_empty() {
            encode(&self.tokenizer, text, true, with)?
        } else {
            encode(&self.tokenizer, &format!("{prompt}{text}"), true, with)?
        };
        if encoding.len() <= self.added {
            return Ok(Default::default());
        }
        let ids = encoding.get_ids().to_vec();
        let all = all_tokens(&encoding);
        let cut = all > ids.len();
        Ok((Tokens { pooled: 0..ids.len(), ids, cut }, encoding.get_offsets().to_vec(), all))
    }

    fn twice(
        &self,
        text: &str,
        echo: &EchoParts,
        with: bool,
    ) -> Result<(Tokens, Offsets, usize), EncoderError> {
        let encoding = encode(&self.tokenizer, text, false, with)?;
        let (mut copy, mut offsets) =
            (encoding.get_ids().to_vec(), encoding.get_offsets().to_vec());
        if copy.is_empty() {
            return Ok(Default::default());
        }
        let all = copy.len();
        copy.truncate(echo.room);
        offsets.truncate(echo.room);
        let from = echo.head.len() + copy.len() + echo.between.len();
        let pooled = from..from + copy.len();
        let ids = [&echo.head, &copy, &echo.between, &copy, &echo.tail];
        let ids = ids.into_iter().flatten().copied().collect();
        Ok((Tokens { ids, pooled, cut: all > echo.room }, offsets, all))
    }
}

/// The tokenizer's offsets: bytes of what it was given.
type Offsets = Vec<(usize, usize)>;

/// Tokens of a text that a truncating tokenizer read: those that it kept, and those that it cut off.
pub(crate) fn all_tokens(encoding: &Encoding) -> usize {
    encoding.len() + encoding.get_overflowing().iter().map(Encoding::len).sum::<usize>()
}

/// What the tokenizer is given of a text, less the prompt.
fn prepared<'s>(text: &'s str, parameters: &DocumentParameters) -> Cow<'s, str> {
    let text = if parameters.strip { text.trim() } else { text };
    if parameters.lowercase { text.to_lowercase().into() } else { text.into() }
}

/// The part of `bytes` that lies in a field, counted from the field's begin.
fn within(field: Field, place: &Range<usize>, bytes: &Range<usize>) -> Option<(Field, Range<u32>)> {
    let (start, end) = (bytes.start.max(place.start), bytes.end.min(place.end));
    let at = |byte: usize| u32::try_from(byte - place.start).ok();
    if start < end { Some((field, at(start)?..at(end)?)) } else { None }
}

/// The way back from what a tokenizer was given to the text that it was made of.
struct Back {
    /// Bytes of the prompt (of a text that stands twice it is not part of the copy).
    prompt: usize,
    /// Bytes of white space that were stripped from the begin.
    stripped: usize,
    /// For text in lower case: of each of its bytes the first and the end of the character that it was
    /// made of.
    lower: Option<Vec<(usize, usize)>>,
}

impl Back {
    fn new(text: &str, parameters: &DocumentParameters) -> Self {
        let stripped = if parameters.strip { text.len() - text.trim_start().len() } else { 0 };
        let prompt = if parameters.echo.is_some() { 0 } else { parameters.prompt.len() };
        let lower = parameters.lowercase.then(|| {
            let kept = if parameters.strip { text.trim() } else { text };
            let of = |(at, c): (usize, char)| {
                let bytes: usize = c.to_lowercase().map(char::len_utf8).sum();
                std::iter::repeat_n((at, at + c.len_utf8()), bytes)
            };
            kept.char_indices().flat_map(of).collect()
        });
        Self { prompt, stripped, lower }
    }

    /// The bytes of the text; none where no byte of it is left.
    fn range(&self, bytes: Range<usize>) -> Option<Range<usize>> {
        let (start, end) =
            (bytes.start.saturating_sub(self.prompt), bytes.end.saturating_sub(self.prompt));
        if start >= end {
            return None;
        }
        let (start, end) = match &self.lower {
            None => (start, end),
            Some(lower) => (lower.get(start)?.0, lower.get(end - 1)?.1),
        };
        Some(start + self.stripped..end + self.stripped)
    }
}

/// What the tokenizer puts before and behind a text.
fn added_around(tokenizer: &Tokenizer) -> Result<(Vec<u32>, Vec<u32>), EncoderError> {
    let encoding = encode(tokenizer, "a", true, false)?;
    let special = encoding.get_special_tokens_mask();
    let of = |range: &[u32]| range.to_vec();
    let head = special.iter().take_while(|s| **s == 1).count();
    let tail = special.iter().rev().take_while(|s| **s == 1).count();
    let all = encoding.get_ids();
    Ok((of(&all[..head]), of(&all[all.len() - tail.min(all.len() - head)..])))
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, EncoderError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    Ok(encode(tokenizer, text, false, false)?.get_ids().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A tokenizer of words and one of bytes.
    fn vocabularies() -> [Vocabulary; 2] {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        ["../models/quarry-mini", "tests/multivector/colbert-roberta"].map(|folder| {
            let json = std::fs::read(root.join(folder).join("tokenizer.json")).unwrap();
            Vocabulary::from_bytes(&json).unwrap()
        })
    }

    /// What a text comes to when all of it is tokenised.
    fn whole(vocabulary: &Vocabulary, text: &str, parameters: &DocumentParameters) -> Vec<u32> {
        let tokenizer = vocabulary.truncating(parameters.max_tokens as usize).unwrap();
        encode(&tokenizer, &prepared(text, parameters), true, false).unwrap().get_ids().to_vec()
    }

    fn expect_as_whole(text: &str) {
        for vocabulary in vocabularies() {
            for (max_tokens, strip, lowercase) in
                [(8, false, false), (128, true, false), (64, false, true), (512, true, true)]
            {
                let parameters = DocumentParameters {
                    max_tokens,
                    strip,
                    lowercase,
                    ..DocumentParameters::default()
                };
                let texts = Texts::new(&vocabulary, parameters.clone(), 512).unwrap();
                let tokens = texts.text(text).unwrap();
                let all = vocabulary.tokenizer().encode_fast(&*prepared(text, &parameters), true);
                assert_eq!(tokens.ids, whole(&vocabulary, text, &parameters));
                assert_eq!(tokens.cut, all.unwrap().len() > max_tokens as usize);
                let passage = Passage { title: "", text };
                let placed = texts.placed(&passage).unwrap();
                assert_eq!(placed.tokens.ids, tokens.ids);
            }
        }
    }

    #[test]
    fn the_head_of_a_long_text_has_the_tokens_of_the_whole() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let sample = std::fs::read_to_string(root.join("../datasets/sample/corpus.jsonl")).unwrap();
        expect_as_whole(&sample.chars().take(200_000).collect::<String>());
        for text in [
            "Stra\u{df}e, na\u{ef}ve caf\u{e9}s; \u{130}stanbul \u{3a3}\u{391}\u{3a3}  ",
            "\u{77f3}\u{5207}\u{5834}\u{3067}\u{77f3}\u{3092}\u{5207}\u{308b}\u{3002}",
            "fn main() {\n\t\tlet x = vec![1, 2, 3];\r\n}\n\n\n",
            "e\u{301}\u{302} \u{1f469}\u{200d}\u{1f4bb} 3.1415926 ",
        ] {
            expect_as_whole(&text.repeat(2_000));
        }
    }

    #[test]
    fn a_text_of_megabytes_is_not_read_to_its_end() {
        // It would take minutes.
        let text = "na\u{ef}ve stone ".repeat(1 << 21);
        for vocabulary in vocabularies() {
            let parameters = DocumentParameters { max_tokens: 32, ..DocumentParameters::default() };
            let texts = Texts::new(&vocabulary, parameters, 512).unwrap();
            let (tokens, _, read) = texts.read(&text, true).unwrap();
            assert!(tokens.ids.len() == 32 && tokens.cut && read < 1 << 17, "{read}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn heads_of_any_words_have_the_tokens_of_the_whole(
            words in prop::collection::vec("\\PC{1,12}", 200..2000),
        ) {
            expect_as_whole(&words.join(" "));
        }
    }

    /// Every byte of what the tokenizer is given leads back to the character that it was made of.
    #[test]
    fn the_way_back() {
        let text = " \u{2003}\u{130}stanbul \u{1e9e} \u{3a3}\u{391}\u{3a3} ";
        for (strip, lowercase, prompt) in
            [(true, true, "query: "), (false, true, ""), (true, false, "p"), (false, false, "")]
        {
            let parameters = DocumentParameters {
                strip,
                lowercase,
                prompt: prompt.into(),
                ..DocumentParameters::default()
            };
            let back = Back::new(text, &parameters);
            let given = format!("{prompt}{}", prepared(text, &parameters));
            assert_eq!(back.range(0..prompt.len()), None);
            let mut last = 0;
            for (at, c) in given.char_indices().skip(prompt.chars().count()) {
                let bytes = back.range(at..at + c.len_utf8()).unwrap_or(0..0);
                let was = &text[bytes.clone()];
                assert!(
                    was.to_lowercase().contains(c) || was.contains(c) || c == '\u{3c2}',
                    "{was} {c}"
                );
                assert!(bytes.start >= last);
                last = bytes.start;
            }
        }
    }
}
