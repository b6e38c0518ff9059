//! The tokenizer as both sides use it: its truncation and padding overridden, its ids dense.

use quarry_vectors::caught;
use serde_json::json;
use tokenizers::{
    Encoding, PostProcessor, Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy,
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
    /// [`EncoderError::Tokenizer`] when the bytes are not a tokenizer, [`EncoderError::VocabularyGap`]
    /// when its ids are not 0, 1, 2, … each once.
    pub fn from_bytes(json: &[u8]) -> Result<Self, EncoderError> {
        Self::read(json, None)
    }

    /// As [`Self::from_bytes`] for a model of `rows` dimensions, which may be more than there are
    /// tokens: an id without a token gets the name `[id N]`.
    ///
    /// # Errors
    /// As [`Self::from_bytes`], and when an id is beyond the rows.
    pub fn with_rows(json: &[u8], rows: u32) -> Result<Self, EncoderError> {
        Self::read(json, Some(rows))
    }

    fn read(json: &[u8], rows: Option<u32>) -> Result<Self, EncoderError> {
        let refused = |reason: String| EncoderError::Tokenizer { reason };
        // The library panics on some files that are JSON and no tokenizer, such as one whose
        // decoder is of no known kind.
        let mut tokenizer = caught(|| Tokenizer::from_bytes(json))
            .map_err(|panic| {
                refused(format!("it has parts that the tokenizer library cannot build: {panic}"))
            })?
            .map_err(|e| refused(e.to_string()))?;
        tokenizer.with_truncation(None).map_err(|e| refused(e.to_string()))?;
        tokenizer.with_padding(None);
        let tokens = tokens_by_id(&tokenizer, rows)?;
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

/// The tokens of a text; offsets, in bytes, are only kept where that is asked for.
pub(crate) fn encode(
    tokenizer: &Tokenizer,
    text: &str,
    special: bool,
    offsets: bool,
) -> Result<Encoding, EncoderError> {
    let failed = |reason| EncoderError::Tokenise { reason };
    // A published tokenizer may have parts that the library only stumbles over when they are used.
    let encoding = caught(|| match offsets {
        true => tokenizer.encode(text, special),
        false => tokenizer.encode_fast(text, special),
    });
    encoding.map_err(failed)?.map_err(|e| failed(e.to_string()))
}

fn tokens_by_id(tokenizer: &Tokenizer, rows: Option<u32>) -> Result<Vec<String>, EncoderError> {
    let vocabulary = tokenizer.get_vocab(true);
    let count = vocabulary.len();
    let slots = rows.map_or(count, |rows| rows as usize);
    if slots < count {
        return Err(EncoderError::VocabularySize { expected: rows.unwrap_or(0), found: count });
    }
    let mut by_id: Vec<Option<String>> = vec![None; slots];
    for (token, id) in vocabulary {
        match usize::try_from(id).ok().and_then(|at| by_id.get_mut(at)) {
            Some(slot @ None) => *slot = Some(token),
            _ => return Err(EncoderError::VocabularyGap { tokens: count, id }),
        }
    }
    // Without `rows`, there are as many tokens as slots and none taken twice: all are filled.
    let name = |(id, token): (usize, Option<String>)| token.unwrap_or_else(|| format!("[id {id}]"));
    Ok(by_id.into_iter().enumerate().map(name).collect())
}

/// The `tokenizer.json` of a bare `vocab.txt`, as BERT's WordPiece tokenizer reads it.
///
/// # Errors
/// When the file is not a vocabulary of BERT.
pub(crate) fn wordpiece_json(vocab: &[u8], lowercase: bool) -> Result<Vec<u8>, EncoderError> {
    let refused = |reason: String| EncoderError::Tokenizer { reason };
    let text = std::str::from_utf8(vocab).map_err(|e| refused(format!("vocab.txt: {e}")))?;
    let words: Vec<&str> = text.lines().map(|line| line.trim_end_matches('\r')).collect();
    let find = |token: &str| {
        let at = words.iter().position(|word| *word == token);
        at.ok_or_else(|| refused(format!("vocab.txt has no {token}")))
    };
    let (cls, sep) = (find("[CLS]")?, find("[SEP]")?);
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let added: Vec<serde_json::Value> = words
        .iter()
        .enumerate()
        .filter(|(_, word)| special.contains(word))
        .map(|(id, word)| {
            json!({"id": id, "content": word, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    let ids: serde_json::Map<String, serde_json::Value> =
        words.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": lowercase},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", sep], "cls": ["[CLS]", cls]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": ids},
    });
    Ok(tokenizer.to_string().into_bytes())
}
