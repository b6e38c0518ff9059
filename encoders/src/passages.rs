//! Long texts cut into overlapping passages that the model reads whole.
//!
//! 1. tokenise the text once  2. take windows of as many tokens as fit below the title, each
//!    beginning some tokens before the last one's end  3. move borders back to where a word begins

use std::ops::Range;

use quarry_vectors::{EncodeError, SplitText};
use tokenizers::Tokenizer;

use crate::texts::Texts;
use crate::vocabulary::encode;
use crate::{DocumentOptions, EncoderError, Model};

/// Tokens that a passage may have more by itself than within the text, where there are no words.
const WITHOUT_WORDS: usize = 4;

/// Cuts texts by the tokens of a model.
#[derive(Debug)]
pub struct PassageSplitter {
    tokenizer: Tokenizer,
    /// Tokens of a passage with its title, without those that the tokenizer adds.
    window: usize,
    overlap: usize,
    separator: String,
}

impl Model {
    /// Passages of at most `tokens` tokens, title and added tokens included, of which neighbours
    /// share about `overlap`; half a passage at most. A title takes at most three quarters. A passage that
    /// begins inside a word longer than that can have a token more.
    ///
    /// # Errors
    /// When `tokens` is not a length between 16 and the longest input in force.
    pub fn splitter(
        &self,
        tokens: u32,
        overlap: u32,
        options: &DocumentOptions,
    ) -> Result<PassageSplitter, EncoderError> {
        let side = self.document()?;
        let parameters = options.apply(&side.parameters);
        if !(16..=parameters.max_tokens).contains(&tokens) {
            return Err(EncoderError::Parameter {
                parameter: "passage tokens",
                expected: format!("16 to {}, the longest input", parameters.max_tokens),
                found: tokens,
            });
        }
        // A prompt, or a second copy, leaves less for the text.
        let room = Texts::new(self.vocabulary(), parameters.clone(), side.max_positions)?.room()?;
        let mut window = (tokens as usize).saturating_sub(self.vocabulary().added_tokens());
        window = window.min(room);
        // Without words (SentencePiece) a border lies inside of what was one token's neighbourhood:
        // the passage by itself can have a few tokens more.
        if self.vocabulary().tokenizer().get_pre_tokenizer().is_none() {
            window = window.saturating_sub(WITHOUT_WORDS);
        }
        Ok(PassageSplitter {
            tokenizer: self.vocabulary().tokenizer().clone(),
            window: window.max(1),
            overlap: overlap as usize,
            separator: parameters.separator,
        })
    }
}

impl SplitText for PassageSplitter {
    fn split(&self, title: &str, text: &str) -> Result<Vec<Range<usize>>, EncodeError> {
        Ok(self.cut(title, text)?)
    }
}

impl PassageSplitter {
    fn cut(&self, title: &str, text: &str) -> Result<Vec<Range<usize>>, EncoderError> {
        let above = if title.is_empty() {
            0
        } else {
            let title = format!("{title}{}", self.separator);
            encode(&self.tokenizer, &title, false, false)?.len()
        };
        let window = self.window.saturating_sub(above).max(self.window / 4).max(1);
        let encoding = encode(&self.tokenizer, text, false, true)?;
        let (offsets, words) = (encoding.get_offsets(), encoding.get_word_ids());
        // Whether a token begins a word: passages are not cut inside one.
        let begins = |at: usize| at == 0 || words[at].is_none() || words[at] != words[at - 1];
        let word_begin =
            |at: usize, least: usize| (least..=at).rev().find(|at| begins(*at)).unwrap_or(at);
        let byte = |token: usize| floor_of_character(text, offsets[token].0);
        let count = offsets.len();
        let (mut out, mut start, mut end) = (Vec::new(), 0, 0);
        loop {
            let first = if start == 0 { 0 } else { byte(start) };
            if start + window >= count {
                out.push(first..text.len());
                return Ok(out);
            }
            // A window reaches beyond the last one: they share half of it at most.
            end = word_begin(start + window, end + 1);
            out.push(first..byte(end));
            let back = self.overlap.min(window / 2);
            start = word_begin(end.saturating_sub(back).max(start + 1), start + 1);
        }
    }
}

fn floor_of_character(text: &str, byte: usize) -> usize {
    (0..=byte.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
