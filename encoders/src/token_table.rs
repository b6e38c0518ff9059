//! Questions without a network: tokenise, look up each token's weight, multiply by its frequency.

use std::collections::HashMap;

use quarry_vectors::{EncodeError, EncodeQuery, SparseVector};

use crate::{EncoderError, QueryParameters, TermFrequency, Vocabulary};

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
}

impl TokenTableQuery {
    /// Makes the encoder from `tokenizer.json` and the table (a JSON object of token to weight).
    /// A token that the table lacks, or whose weight is not above zero, is dropped.
    ///
    /// # Errors
    /// When either is not what it should be, or they do not belong together.
    pub fn from_bytes(
        tokenizer_json: &[u8],
        query_table: &[u8],
        parameters: &QueryParameters,
    ) -> Result<Self, EncoderError> {
        Self::new(Vocabulary::from_bytes(tokenizer_json)?, query_table, parameters)
    }

    /// As [`Self::from_bytes`], with the tokenizer read before.
    ///
    /// # Errors
    /// As [`Self::from_bytes`].
    pub fn new(
        vocabulary: Vocabulary,
        query_table: &[u8],
        parameters: &QueryParameters,
    ) -> Result<Self, EncoderError> {
        let mut weights = weights_by_id(&vocabulary, query_table)?;
        for id in vocabulary.ids("query.drop_tokens", &parameters.drop_tokens)? {
            if let Some(weight) = weights.get_mut(id as usize) {
                *weight = 0.0;
            }
        }
        if weights.iter().all(|w| *w <= 0.0) {
            let reason = "has no weight above zero".to_owned();
            return Err(EncoderError::QueryTableWeights { reason });
        }
        Ok(Self { vocabulary, weights, tf: parameters.tf })
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
        let encoding = self
            .vocabulary
            .tokenizer()
            .encode_fast(text, false)
            .map_err(|e| EncoderError::Tokenise { reason: e.to_string() })?;
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
}

/// The table as an array; what it lacks, and weights of zero or less, become 0.
fn weights_by_id(vocabulary: &Vocabulary, table: &[u8]) -> Result<Vec<f32>, EncoderError> {
    let table: HashMap<String, f32> =
        serde_json::from_slice(table).map_err(|source| EncoderError::QueryTable { source })?;
    let mut weights = vec![0.0_f32; vocabulary.tokens().len()];
    let mut unknown: Vec<&str> = Vec::new();
    for (token, &weight) in &table {
        if !weight.is_finite() {
            let reason = format!("gives {token:?} the weight {weight}");
            return Err(EncoderError::QueryTableWeights { reason });
        }
        match vocabulary.id(token).and_then(|id| weights.get_mut(id as usize)) {
            Some(slot) => *slot = weight.max(0.0),
            None => unknown.push(token),
        }
    }
    match unknown.iter().min() {
        Some(example) => Err(EncoderError::QueryTableVocabulary {
            unknown: unknown.len(),
            example: (*example).to_owned(),
        }),
        None => Ok(weights),
    }
}
