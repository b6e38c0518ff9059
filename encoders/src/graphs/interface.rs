//! What the graphs that are built call their inputs and outputs, and in which numbers they compute.

use serde::{Deserialize, Serialize};

/// A graph's input of token ids, int64 `[batch, length]`.
pub const TOKEN_IDS: &str = "input_ids";
/// A graph's input that is 1 for a token that others attend to and 0 for padding.
pub const ATTENTION_MASK: &str = "attention_mask";
/// The output of a graph with a SPLADE head, float32 `[batch, vocabulary]`.
pub const SPARSE_OUTPUT: &str = "sparse";
/// The output of a graph with a token head, float32 `[batch, length, dims]`.
pub const TOKENS_OUTPUT: &str = "tokens";

/// In which numbers the products with weights are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As the checkpoint means them, to about 1e-5.
    Float32,
    /// 8 bits on both sides, one scale a row of weights and one a token: a quarter of the size,
    /// two to three times as fast; rows turn by some degrees.
    Int8,
}
