//! A text becomes the tokens that a graph is given, and the positions that are pooled.
//!
//! Once: prompt and text are tokenised as one and cut at the longest input. Twice (`Echo`): prompt,
//! text and what stands between the copies are tokenised by themselves and joined as ids between the
//! tokens that the tokenizer adds; the text is cut so that both copies fit, and the second is pooled.

use quarry_vectors::{Passage, join_title_and_text};
use tokenizers::{Encoding, Tokenizer};

use crate::graph::InputRow;
use crate::sessions::AsRow;
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

    /// The tokens of a text.
    pub(crate) fn text(&self, text: &str) -> Result<Tokens, EncoderError> {
        let mut text = std::borrow::Cow::Borrowed(text);
        if self.parameters.strip {
            text = text.trim().to_owned().into();
        }
        if self.parameters.lowercase {
            text = text.to_lowercase().into();
        }
        match &self.echo {
            Some(echo) => self.twice(&text, echo),
            None => self.once(&text),
        }
    }

    fn once(&self, text: &str) -> Result<Tokens, EncoderError> {
        let prompt = &self.parameters.prompt;
        // White space alone says nothing, also to tokenizers that make tokens of it.
        if text.trim().is_empty() {
            return Ok(Tokens::default());
        }
        let encoding = if prompt.is_empty() {
            encode(&self.tokenizer, text, true)?
        } else {
            encode(&self.tokenizer, &format!("{prompt}{text}"), true)?
        };
        if encoding.len() <= self.added {
            return Ok(Tokens::default());
        }
        let ids = encoding.get_ids().to_vec();
        let cut = !encoding.get_overflowing().is_empty();
        Ok(Tokens { pooled: 0..ids.len(), ids, cut })
    }

    fn twice(&self, text: &str, echo: &EchoParts) -> Result<Tokens, EncoderError> {
        let mut copy = ids(&self.tokenizer, text)?;
        if text.trim().is_empty() || copy.is_empty() {
            return Ok(Tokens::default());
        }
        let cut = copy.len() > echo.room;
        copy.truncate(echo.room);
        let from = echo.head.len() + copy.len() + echo.between.len();
        let pooled = from..from + copy.len();
        let ids = [&echo.head, &copy, &echo.between, &copy, &echo.tail];
        Ok(Tokens { ids: ids.into_iter().flatten().copied().collect(), pooled, cut })
    }
}

/// What the tokenizer puts before and behind a text.
fn added_around(tokenizer: &Tokenizer) -> Result<(Vec<u32>, Vec<u32>), EncoderError> {
    let encoding = encode(tokenizer, "a", true)?;
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
    Ok(encode(tokenizer, text, false)?.get_ids().to_vec())
}

fn encode(tokenizer: &Tokenizer, text: &str, special: bool) -> Result<Encoding, EncoderError> {
    let failed = |e: tokenizers::Error| EncoderError::Tokenise { reason: e.to_string() };
    tokenizer.encode_fast(text, special).map_err(failed)
}
