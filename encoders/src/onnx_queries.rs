//! Questions by an ONNX graph, one at a time.
//!
//! The same path as documents, a batch of one on the first free session, so that a question's vector
//! does not depend on others. Where the model weighs a question's own tokens only (SPLADE-v3-lexical,
//! Lassance et al., arXiv 2403.06789), terms that are not tokens of it are left out.

use quarry_vectors::{EncodeError, EncodeQuery, SparseVector};

use crate::{EncoderError, OnnxDocumentEncoder};

/// A query encoder of kind `onnx`.
#[derive(Debug)]
pub struct OnnxQueryEncoder {
    encoder: OnnxDocumentEncoder,
    own_terms: bool,
}

impl OnnxQueryEncoder {
    pub(crate) fn new(encoder: OnnxDocumentEncoder, own_terms: bool) -> Self {
        Self { encoder, own_terms }
    }

    /// Encodes a question; what is beyond the longest input is cut. One without a token of its own
    /// has an empty vector.
    ///
    /// # Errors
    /// When it cannot be tokenised, the model cannot be run, or its output is not a vector.
    pub fn encode(&self, text: &str) -> Result<SparseVector, EncoderError> {
        let (vector, tokens) = self.encoder.encode_one(text)?;
        if !self.own_terms {
            return Ok(vector);
        }
        let own = |c: &(u32, f32)| tokens.ids.contains(&c.0);
        let (terms, weights) = vector.iter().filter(own).unzip();
        Ok(SparseVector::new(terms, weights)?)
    }
}

impl EncodeQuery for OnnxQueryEncoder {
    fn encode_query(&self, text: &str) -> Result<SparseVector, EncodeError> {
        Ok(self.encode(text)?)
    }
}
