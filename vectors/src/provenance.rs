//! Where the components of a passage's vector come from: which token of it gave each its weight.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::SparseVector;

/// A part of a passage that has bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// Its title.
    Title,
    /// Its body.
    Text,
}

/// The token that a component comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Its position in the model's input, from 0; tokens that the tokenizer adds are counted.
    pub position: u32,
    /// The bytes of the passage's title or text that it stands for. `None` for tokens that are in
    /// neither: those that the tokenizer adds, a prompt's, what joins title and text.
    pub place: Option<(Field, Range<u32>)>,
}

/// How the weights of a passage's tokens became one, so what an [`Origin`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PooledBy {
    /// The largest counts: the origin's token gave the whole weight; of equal ones it is the first.
    Max,
    /// They are added: the origin's token gave the largest share; of equal ones it is the first.
    Sum,
}

/// A vector with the origin of each component.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Traced {
    /// The vector.
    pub vector: SparseVector,
    /// Of each of its components, in their order.
    pub origins: Vec<Origin>,
}
