//! The tokenizer as both sides use it: its truncation and padding overridden, its ids dense.

use std::panic;

use tokenizers::{
    PostProcessor, Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy,
};

use crate::EncoderError;

/// A tokenizer and its tokens by id. Cloning it costs a copy of the vocabulary.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    tokenizer: Tokenizer,
    tokens: Vec<String>,
}

impl Vocabulary {
    /// Reads a Hugging Face `tokenizer.json`. Truncation and padding set in it are switched off.
    ///
    /// # Errors
    /// [`EncoderError::Tokenizer`] when the bytes are no tokenizer, [`EncoderError::VocabularyGap`]
    /// when its ids are not 0, 1, 2, … each once.
    pub fn from_bytes(json: &[u8]) -> Result<Self, EncoderError> {
        let refused = |reason: String| EncoderError::Tokenizer { reason };
        // The library panics on some files that are JSON and no tokenizer, such as one whose
        // decoder is of no known kind.
        let mut tokenizer = panic::catch_unwind(|| Tokenizer::from_bytes(json))
            .map_err(|_| {
                refused("it has parts that the tokenizer library cannot build".to_owned())
            })?
            .map_err(|e| refused(e.to_string()))?;
        tokenizer.with_truncation(None).map_err(|e| refused(e.to_string()))?;
        tokenizer.with_padding(None);
        let tokens = tokens_by_id(&tokenizer)?;
        Ok(Self { tokenizer, tokens })
    }

    /// The tokens; a token's id is its position.
    #[must_use]
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// A token's id.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The ids of `tokens`; `role` says who names them.
    pub(crate) fn ids(
        &self,
        role: &'static str,
        tokens: &[String],
    ) -> Result<Vec<u32>, EncoderError> {
        let unknown = |token: &String| EncoderError::UnknownToken { role, token: token.clone() };
        tokens.iter().map(|t| self.id(t).ok_or_else(|| unknown(t))).collect()
    }

    /// Refuses a vocabulary that has not exactly `dimension` tokens.
    pub(crate) fn expect_size(&self, dimension: u32) -> Result<(), EncoderError> {
        if u32::try_from(self.tokens.len()).is_ok_and(|n| n == dimension) {
            return Ok(());
        }
        Err(EncoderError::VocabularySize { expected: dimension, found: self.tokens.len() })
    }

    /// How many tokens the tokenizer adds to a text, such as `[CLS]` and `[SEP]`.
    pub(crate) fn added_tokens(&self) -> usize {
        self.tokenizer.get_post_processor().map_or(0, |p| p.added_tokens(false))
    }

    /// The tokenizer that cuts at `max_tokens`, those that it adds itself included.
    pub(crate) fn truncating(&self, max_tokens: usize) -> Result<Tokenizer, EncoderError> {
        let mut tokenizer = self.tokenizer.clone();
        tokenizer
            .with_truncation(Some(TruncationParams {
                max_length: max_tokens,
                stride: 0,
                strategy: TruncationStrategy::LongestFirst,
                direction: TruncationDirection::Right,
            }))
            .map_err(|e| EncoderError::Tokenizer { reason: e.to_string() })?;
        Ok(tokenizer)
    }
}

fn tokens_by_id(tokenizer: &Tokenizer) -> Result<Vec<String>, EncoderError> {
    let vocabulary = tokenizer.get_vocab(true);
    let count = vocabulary.len();
    let mut by_id: Vec<Option<String>> = vec![None; count];
    for (token, id) in vocabulary {
        match usize::try_from(id).ok().and_then(|at| by_id.get_mut(at)) {
            Some(slot @ None) => *slot = Some(token),
            _ => return Err(EncoderError::VocabularyGap { tokens: count, id }),
        }
    }
    // As many tokens as slots and none taken twice: every slot is filled.
    Ok(by_id.into_iter().flatten().collect())
}
