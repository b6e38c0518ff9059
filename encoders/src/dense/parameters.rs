//! What decides a text's dense vector beside the graph, and what an index keeps of it.

use serde::{Deserialize, Serialize};

/// Which encoder made dense vectors: what an index keeps, so that queries and later documents come from the same
/// one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseIdentity {
    /// The model's name.
    pub model_name: String,
    /// SHA-256 of the graph with its weights and the layers behind it, in hexadecimal.
    pub model_sha256: String,
    /// SHA-256 of the tokenizer.
    pub tokenizer_sha256: String,
    /// How texts are encoded.
    pub parameters: DenseParameters,
}

/// Parameters that change dense vectors. A blank text has no vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseParameters {
    /// Dimensions of a vector: those that the network gives, or the first ones of them.
    pub dims: u32,
    /// How a text's rows become one.
    pub pooling: DensePooling,
    /// The first of the graph's columns that are pooled.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub column: u32,
    /// Whether vectors are brought to length one.
    pub normalize: bool,
    /// Longest text in tokens, added ones and the prompt included; the rest is cut.
    pub max_tokens: u32,
    /// What stands between title and text.
    pub separator: String,
    /// What stands before each document.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// What stands before each query.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query_prompt: String,
    /// Whether white space around a text is removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strip: bool,
    /// Whether a text is made lower-case, whatever the tokenizer does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lowercase: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How a text's rows, one a token, become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DensePooling {
    /// Their mean.
    Mean,
    /// The first one, of `[CLS]`.
    Cls,
    /// The largest value of each dimension.
    Max,
    /// The last one.
    LastToken,
    /// In the graph, whose output is one row a text.
    InGraph,
}
