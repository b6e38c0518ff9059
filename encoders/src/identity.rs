//! Which encoder made a vector: what an index keeps to answer questions in the same space.

use serde::{Deserialize, Serialize};

/// What identifies an encoder, and all that is needed, beside copies of the tokenizer and the
/// query table, to encode questions for what it encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderIdentity {
    /// The model's name.
    pub model_name: String,
    /// Dimensions of the sparse space: the vocabulary's size.
    pub dimension: u32,
    /// SHA-256 of the document side's graph, in hexadecimal.
    pub model_sha256: String,
    /// SHA-256 of the tokenizer.
    pub tokenizer_sha256: String,
    /// SHA-256 of the query side's table.
    pub query_table_sha256: String,
    /// How documents were encoded.
    pub document: DocumentParameters,
    /// How questions are to be encoded.
    pub query: QueryParameters,
}

/// Parameters of the document side that change vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentParameters {
    /// Longest input in tokens, those that the tokenizer adds included; the rest is cut.
    pub max_tokens: u32,
    /// Components kept of each vector, the heaviest; 0 keeps all.
    pub top_k: u32,
    /// What stands between title and text.
    pub separator: String,
    /// Tokens whose dimension is always zero.
    pub drop_tokens: Vec<String>,
}

/// Parameters of the query side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryParameters {
    /// How often a token occurs in the question, as a factor.
    pub tf: TermFrequency,
    /// Tokens that are never part of a question.
    pub drop_tokens: Vec<String>,
}

/// The factor for a token that occurs `n` times in a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TermFrequency {
    /// 1 + ln n.
    #[serde(rename = "1+ln")]
    OnePlusLn,
    /// 1.
    #[serde(rename = "presence")]
    Presence,
}

impl TermFrequency {
    /// The factor for `n` occurrences, `n` at least 1.
    #[must_use]
    pub fn factor(self, n: usize) -> f32 {
        match self {
            Self::OnePlusLn => 1.0 + (n as f32).ln(),
            Self::Presence => 1.0,
        }
    }
}
