//! The head of a long text that is tokenised in place of the whole, where no more than a number of tokens
//! is read of it.
//!
//! 1. cut the text where a word ends, at some bytes for each token that is wanted  2. tokenise; with more
//!    tokens than are wanted, and some to spare, the first ones are those of the whole text: tokenizers look
//!    no further than a word, or a few tokens, ahead  3. else cut later, up to a bound: a text of bytes
//!    without end that make no tokens is not read to its end
//!
//! So the cost of a text is bounded by the tokens that are read of it.

use crate::EncoderError;

/// Bytes for each token at first; ordinary text has 3 to 6.
const FIRST: usize = 16;
/// By how much a head grows that has too few tokens, and up to how many bytes a token.
const GROWTH: usize = 4;
const MOST: usize = 1024;
/// Tokens to spare: what is cut can change as many of the last ones.
const SPARE: usize = 32;
/// Bytes before a cut that are looked through for the end of a word.
const WORD: usize = 256;

/// Has `read` tokenise as much of `text` as it takes to know its first `wanted` tokens; `read` says how
/// many tokens there were. Gives the last result, and how many bytes it is of.
pub(crate) fn head<T>(
    text: &str,
    wanted: usize,
    mut read: impl FnMut(&str) -> Result<(T, usize), EncoderError>,
) -> Result<(T, usize), EncoderError> {
    let wanted = wanted.saturating_add(SPARE);
    let mut each = FIRST;
    loop {
        let bytes = wanted.saturating_mul(each);
        if bytes >= text.len() {
            return Ok((read(text)?.0, text.len()));
        }
        let cut = word_end(text, bytes);
        let (result, tokens) = read(&text[..cut])?;
        if tokens >= wanted || each >= MOST {
            return Ok((result, cut));
        }
        each *= GROWTH;
    }
}

/// The last end of a word at or before `bytes`, or, where words are that long, of a character.
fn word_end(text: &str, bytes: usize) -> usize {
    let boundary = |at: &usize| text.is_char_boundary(*at);
    let least = bytes.saturating_sub(WORD);
    let ends = |at: &usize| {
        boundary(at) && text[*at..].starts_with(char::is_whitespace) && {
            text[..*at].chars().next_back().is_some_and(|c| !c.is_whitespace())
        }
    };
    let word = (least..=bytes).rev().find(ends);
    word.or_else(|| (0..=bytes).rev().find(boundary)).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// A reader that makes a token of each word, and notes what it is given.
    fn words(text: &str, wanted: usize) -> (Vec<usize>, usize) {
        let mut given = Vec::new();
        let (_, bytes) = head(text, wanted, |piece| {
            given.push(piece.len());
            Ok(((), piece.split_whitespace().count()))
        })
        .unwrap();
        (given, bytes)
    }

    #[test]
    fn short_texts_are_read_whole_and_once() {
        assert_eq!(words("a few words", 8), (vec![11], 11));
    }

    #[test]
    fn long_texts_are_cut_where_a_word_ends() {
        let text = "stone ".repeat(1 << 20);
        let (given, bytes) = words(&text, 100);
        assert_eq!(given.len(), 1);
        assert!(bytes <= 132 * FIRST && text[..bytes].ends_with("stone"), "{bytes}");
    }

    #[test]
    fn what_makes_no_tokens_is_bounded() {
        for text in [" ".repeat(1 << 22), "x".repeat(1 << 22), "\u{e9}".repeat(1 << 21)] {
            let (given, bytes) = words(&text, 8);
            assert!(bytes <= 40 * MOST && given.len() == 4, "{bytes} {given:?}");
        }
    }
}
