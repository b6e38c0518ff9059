//! What an encoder does, as the pipeline and the search front ends see it.

use std::ops::Range;

use crate::{DenseVector, PooledBy, SparseVector, TokenEmbeddings, Traced};

/// Any failure of an encoder; the encoder's own error is the source.
#[derive(Debug, thiserror::Error)]
#[error("encoding failed: {0}")]
pub struct EncodeError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// The parts of a document that an encoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage<'a> {
    /// Title; may be empty.
    pub title: &'a str,
    /// Body; may be empty.
    pub text: &'a str,
}

/// Turns passages into sparse vectors.
///
/// The result must be a function of the slice alone: the same passages in the same order give the
/// same vectors to the bit, so that a resumed build equals an uninterrupted one.
pub trait EncodeDocument: Send + Sync {
    /// Encodes `passages`, one vector each, in their order. A passage may come out empty.
    ///
    /// # Errors
    /// When the model cannot be run or gives something that is not a vector.
    fn encode_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<SparseVector>, EncodeError>;

    /// How the encoder pools tokens, where [`Self::trace_documents`] tells the origins of components.
    fn traces(&self) -> Option<PooledBy> {
        None
    }

    /// As [`Self::encode_documents`], the same vectors to the bit, with the origin of each component.
    ///
    /// # Errors
    /// As [`Self::encode_documents`]; when [`Self::traces`] is `None`.
    fn trace_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<Traced>, EncodeError> {
        let _ = passages;
        Err(EncodeError("this encoder does not tell where components come from".into()))
    }

    /// How many of `passages` were cut at the model's longest input in the calls so far.
    fn truncated(&self) -> u64 {
        0
    }

    /// How many tokens the model has read in the calls so far; 0 where that is not counted.
    fn tokens_read(&self) -> u64 {
        0
    }
}

/// Cuts long texts into passages that an encoder reads whole.
pub trait SplitText: Send + Sync {
    /// The bytes of each passage of `text`, which stands below `title`: in order, at least one, on
    /// borders of characters. Together they cover the text; neighbours may overlap.
    ///
    /// # Errors
    /// When the text cannot be read as tokens.
    fn split(&self, title: &str, text: &str) -> Result<Vec<Range<usize>>, EncodeError>;
}

/// Turns a question into a sparse vector.
pub trait EncodeQuery: Send + Sync {
    /// Encodes one question.
    ///
    /// # Errors
    /// When the model cannot be run or gives something that is not a vector.
    fn encode_query(&self, text: &str) -> Result<SparseVector, EncodeError>;

    /// Weight of a term that stands once in a question, 0 where it is dropped. `None` where weights are in no
    /// table: the model makes them of the whole question.
    fn term_weight(&self, term: u32) -> Option<f32> {
        let _ = term;
        None
    }
}

/// Turns passages and questions into token embeddings, all of the same dimensions.
///
/// As with [`EncodeDocument`], the result is a function of the slice alone.
pub trait EncodeTokens: Send + Sync {
    /// Dimensions of a row.
    fn dims(&self) -> usize;

    /// Encodes `passages`, one set of rows each, in their order; rows have length one. A passage
    /// may come out without rows.
    ///
    /// # Errors
    /// When the model cannot be run or gives something that is not an embedding.
    fn encode_passages(
        &self,
        passages: &[Passage<'_>],
    ) -> Result<Vec<TokenEmbeddings>, EncodeError>;

    /// Encodes one question; rows have length one.
    ///
    /// # Errors
    /// As [`Self::encode_passages`].
    fn encode_question(&self, text: &str) -> Result<TokenEmbeddings, EncodeError>;
}

/// Turns passages and questions into dense vectors, all of the same dimensions.
///
/// As with [`EncodeDocument`], the result is a function of the slice alone.
pub trait EncodeDense: Send + Sync {
    /// Dimensions of a vector.
    fn dims(&self) -> usize;

    /// Encodes `passages`, in their order; one without text has no vector.
    ///
    /// # Errors
    /// When the model cannot be run or gives something that is not a vector.
    fn encode_passages(
        &self,
        passages: &[Passage<'_>],
    ) -> Result<Vec<Option<DenseVector>>, EncodeError>;

    /// Encodes one question; none for a blank one.
    ///
    /// # Errors
    /// As [`Self::encode_passages`].
    fn encode_question(&self, text: &str) -> Result<Option<DenseVector>, EncodeError>;
}
