//! Questions without a network: tokenise, look up each token's weight, multiply by its frequency.
//! Without a table every token weighs 1.

use quarry_vectors::{EncodeError, EncodeQuery, SparseVector};

use crate::vocabulary::encode;
use crate::{EncoderError, QueryParameters, TermFrequency, Vocabulary, query_tables};

/// A query encoder of kind `token-table`: `weight(token) * tf(count)` for each distinct token.
///
/// It is made of the bytes of the tokenizer and the table, so an index that holds copies of both
/// answers without a model folder. ONNX Runtime is not needed.
#[derive(Debug)]
pub struct TokenTableQuery {
    vocabulary: Vocabulary,
    /// By token id; 0 drops the token.
    weights: Vec<f32>,
    tf: TermFrequency,
    prompt: String,
}

impl TokenTableQuery {
    /// Makes the encoder from `tokenizer.json` and the table (see [`crate::TokenTable`]). A token that the table lacks, or whose weight is not above zero, is dropped.
    ///
    /// # Errors
    /// When either is not what it should be, or they do not belong together.
    pub fn from_bytes(
        tokenizer_json: &[u8],
        query_table: &[u8],
        parameters: &QueryParameters,
    ) -> Result<Self, EncoderError> {
        Self::new(Vocabulary::from_bytes(tokenizer_json)?, Some(query_table), parameters)
    }

    /// Makes the encoder of an index from the copies that it keeps. `None` when the model needs a
    /// network for questions, or the index lacks a copy.
    ///
    /// # Errors
    /// As [`Self::from_bytes`].
    pub fn from_copies(
        identity: &crate::EncoderIdentity,
        tokenizer_json: Option<&[u8]>,
        query_table: Option<&[u8]>,
    ) -> Result<Option<Self>, EncoderError> {
        let (Some(tokenizer), Some(parameters)) = (tokenizer_json, &identity.query) else {
            return Ok(None);
        };
        if identity.query_table_sha256.is_some() != query_table.is_some() {
            return Ok(None);
        }
        let vocabulary = Vocabulary::with_rows(tokenizer, identity.dimension)?;
        Self::new(vocabulary, query_table, parameters).map(Some)
    }

    /// As [`Self::from_bytes`], with the tokenizer read before.
    ///
    /// # Errors
    /// As [`Self::from_bytes`].
    pub fn new(
        vocabulary: Vocabulary,
        query_table: Option<&[u8]>,
        parameters: &QueryParameters,
    ) -> Result<Self, EncoderError> {
        let mut weights = match query_table {
            Some(table) => query_tables::weights_by_id(&vocabulary, table)?,
            None => vec![1.0; vocabulary.tokens().len()],
        };
        for id in vocabulary.ids("query.drop_tokens", &parameters.drop_tokens)? {
            if let Some(weight) = weights.get_mut(id as usize) {
                *weight = 0.0;
            }
        }
        if weights.iter().all(|w| *w <= 0.0) {
            let reason = "has no weight above zero".to_owned();
            return Err(EncoderError::QueryTableWeights { reason });
        }
        Ok(Self { vocabulary, weights, tf: parameters.tf, prompt: parameters.prompt.clone() })
    }

    /// The vocabulary's tokens; a token's id is its position.
    #[must_use]
    pub fn tokens(&self) -> &[String] {
        self.vocabulary.tokens()
    }

    /// The weight of one occurrence of a token; 0 when it is dropped or there is no such id.
    #[must_use]
    pub fn weight(&self, id: u32) -> f32 {
        self.weights.get(id as usize).copied().unwrap_or(0.0)
    }

    /// Encodes a question of any length: nothing is cut. Cost: linear in the text, about a
    /// microsecond a token; bound the text where strangers send it.
    ///
    /// # Errors
    /// [`EncoderError::Tokenise`] when the tokenizer fails.
    pub fn encode(&self, text: &str) -> Result<SparseVector, EncoderError> {
        let mut text = std::borrow::Cow::Borrowed(text);
        if !self.prompt.is_empty() {
            text = format!("{}{text}", self.prompt).into();
        }
        let encoding = encode(self.vocabulary.tokenizer(), &text, false, false)?;
        let mut ids = encoding.get_ids().to_vec();
        ids.sort_unstable();
        let (mut terms, mut weights) = (Vec::new(), Vec::new());
        for same in ids.chunk_by(|a, b| a == b) {
            let weight = self.weight(same[0]);
            if weight > 0.0 {
                terms.push(same[0]);
                weights.push(weight * self.tf.factor(same.len()));
            }
        }
        Ok(SparseVector::new(terms, weights)?)
    }
}

impl EncodeQuery for TokenTableQuery {
    fn encode_query(&self, text: &str) -> Result<SparseVector, EncodeError> {
        Ok(self.encode(text)?)
    }

    fn term_weight(&self, term: u32) -> Option<f32> {
        Some(self.weight(term))
    }
}
