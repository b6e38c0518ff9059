//! A text becomes the tokens that a token model reads.
//!
//! 1. cut at the longest input less the marker  2. put the marker at the second place
//! 3. fill a question up (Khattab and Zaharia, ColBERT, SIGIR 2020, 3.2)

use std::borrow::Cow;

use tokenizers::Tokenizer;

use super::parameters::TokenParameters;
use crate::graph::InputRow;
use crate::head::head;
use crate::texts::all_tokens;
use crate::vocabulary::encode;
use crate::{EncoderError, Vocabulary};

/// How texts of one kind are read.
pub(crate) struct Inputs {
    tokenizer: Tokenizer,
    /// Tokens of an input, at most.
    length: usize,
    /// Tokens that the tokenizer adds to every text.
    added: usize,
    marker: Option<u32>,
    /// The token that fills up, to which length, and whether it is attended to.
    fill: Option<(u32, usize, bool)>,
    strip: bool,
    lowercase: bool,
}

/// A text's tokens; none when it has no token of its own.
#[derive(Debug, Default)]
pub(crate) struct TokenIds {
    pub(crate) ids: Vec<u32>,
    attended: usize,
    /// Whether the text was cut.
    pub(crate) cut: bool,
}

impl TokenIds {
    pub(crate) fn row(&self) -> InputRow<'_> {
        InputRow {
            ids: &self.ids,
            attended: self.attended,
            pooled_from: 0,
            pooled_to: self.ids.len(),
        }
    }
}

impl Inputs {
    pub(super) fn documents(
        vocabulary: &Vocabulary,
        parameters: &TokenParameters,
        max_positions: u32,
    ) -> Result<Self, EncoderError> {
        let marker = parameters.markers.as_ref().map(|m| &m.document);
        let length = ("tokens.parameters.max_tokens", parameters.max_tokens);
        Self::new(vocabulary, parameters, marker, length, max_positions)
    }

    pub(super) fn questions(
        vocabulary: &Vocabulary,
        parameters: &TokenParameters,
        max_positions: u32,
    ) -> Result<Self, EncoderError> {
        let marker = parameters.markers.as_ref().map(|m| &m.query);
        let length = ("tokens.parameters.query_max_tokens", parameters.query_max_tokens);
        let mut inputs = Self::new(vocabulary, parameters, marker, length, max_positions)?;
        if let Some(fill) = &parameters.query_fill {
            let id = one_id(vocabulary, "tokens.parameters.query_fill", &fill.token)?;
            inputs.fill = Some((id, parameters.query_max_tokens as usize, fill.attended));
        }
        Ok(inputs)
    }

    /// Texts as they are, without a marker; stripped and made lower-case where that is wanted.
    pub(crate) fn plain(
        vocabulary: &Vocabulary,
        length: (&'static str, u32),
        (strip, lowercase): (bool, bool),
        max_positions: u32,
    ) -> Result<Self, EncoderError> {
        Self::marked(vocabulary, None, length, (strip, lowercase), max_positions)
    }

    fn new(
        vocabulary: &Vocabulary,
        parameters: &TokenParameters,
        marker: Option<&String>,
        length: (&'static str, u32),
        max_positions: u32,
    ) -> Result<Self, EncoderError> {
        let marker = marker.filter(|m| !m.is_empty());
        let marker =
            marker.map(|m| one_id(vocabulary, "tokens.parameters.markers", m)).transpose()?;
        let TokenParameters { strip, lowercase, .. } = *parameters;
        Self::marked(vocabulary, marker, length, (strip, lowercase), max_positions)
    }

    fn marked(
        vocabulary: &Vocabulary,
        marker: Option<u32>,
        (name, length): (&'static str, u32),
        (strip, lowercase): (bool, bool),
        max_positions: u32,
    ) -> Result<Self, EncoderError> {
        let added = vocabulary.added_tokens();
        let fixed = added + usize::from(marker.is_some());
        if length as usize <= fixed || length > max_positions {
            return Err(EncoderError::Parameter {
                parameter: name,
                expected: format!("{} to {max_positions}", fixed + 1),
                found: length,
            });
        }
        let tokenizer = vocabulary.truncating(length as usize - usize::from(marker.is_some()))?;
        let length = length as usize;
        Ok(Self { tokenizer, length, added, marker, fill: None, strip, lowercase })
    }

    /// The tokens of a text behind its prompt; none of a blank text.
    pub(crate) fn read_behind(&self, prompt: &str, text: &str) -> Result<TokenIds, EncoderError> {
        match prompt {
            "" => self.read(text),
            _ if text.trim().is_empty() => Ok(TokenIds::default()),
            prompt => self.read(&format!("{prompt}{text}")),
        }
    }

    pub(crate) fn read(&self, text: &str) -> Result<TokenIds, EncoderError> {
        // White space alone says nothing, also to tokenizers that make tokens of it.
        if text.trim().is_empty() {
            return Ok(TokenIds::default());
        }
        let (encoding, bytes) = head(text, self.length, |piece| {
            let piece = if self.strip { piece.trim() } else { piece };
            let piece = match self.lowercase {
                true => Cow::Owned(piece.to_lowercase()),
                false => Cow::Borrowed(piece),
            };
            let encoding = encode(&self.tokenizer, piece.as_ref(), true, false)?;
            let all = all_tokens(&encoding);
            Ok((encoding, all))
        })?;
        if encoding.len() <= self.added {
            return Ok(TokenIds::default());
        }
        let cut = !encoding.get_overflowing().is_empty() || !text[bytes..].trim().is_empty();
        let mut ids = encoding.get_ids().to_vec();
        if let Some(marker) = self.marker {
            ids.insert(1, marker);
        }
        let mut attended = ids.len();
        if let Some((token, length, attend)) = self.fill {
            ids.resize(length.max(ids.len()), token);
            attended = if attend { ids.len() } else { attended };
        }
        Ok(TokenIds { ids, attended, cut })
    }
}

fn one_id(vocabulary: &Vocabulary, role: &'static str, token: &str) -> Result<u32, EncoderError> {
    let unknown = || EncoderError::UnknownToken { role, token: token.to_owned() };
    vocabulary.id(token).ok_or_else(unknown)
}
