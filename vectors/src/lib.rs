#![doc = include_str!("../README.md")]

mod counted;
mod dense;
mod document;
mod encode;
mod guard;
mod multivector;
mod provenance;
mod ranking;
mod sparse;
mod topk;

pub use counted::{agreeing, counted, thousands};
pub use dense::{DenseVector, DenseVectorError, MOST_DENSE_VALUE};
pub use document::{Document, InputVector, Query, join_title_and_text};
pub use encode::{
    EncodeDense, EncodeDocument, EncodeError, EncodeQuery, EncodeTokens, Passage, SplitText,
};
pub use guard::{caught, is_guarded};
pub use multivector::{TokenEmbeddings, TokenEmbeddingsError};
pub use provenance::{Field, Origin, PooledBy, Traced};
pub use ranking::{Ranking, ScoredDoc, better, printed};
pub use sparse::{SparseVector, VectorError};
pub use topk::TopK;

/// One dimension of the sparse space: a token of the encoder's vocabulary.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
#[repr(transparent)]
pub struct TermId(pub u32);

/// Position of a document (or of a passage of a split document) in one segment: dense, from 0.
/// It is not the collection's own name of the document, which is a string (`id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct DocId(pub u32);

impl DocId {
    /// The position as an index into per-document arrays.
    #[must_use]
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
