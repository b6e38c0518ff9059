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
    /// SHA-256 of the query side's table; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_table_sha256: Option<String>,
    /// How documents were encoded.
    pub document: DocumentParameters,
    /// How questions are to be encoded without a network; absent where one is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<QueryParameters>,
    /// The network that questions need; absent where none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_graph: Option<QueryGraphIdentity>,
}

/// Why the queries of a model do not go with an index.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "the index was encoded with model `{indexed}`, and the files of `{given}` are others: queries and \
     documents would not match"
)]
pub struct IdentityMismatch {
    /// The model of the index.
    pub indexed: String,
    /// The model given.
    pub given: String,
}

impl EncoderIdentity {
    /// Whether queries that this encoder makes answer over documents of `indexed`. Of a query network, the
    /// network is all that has to be the same; where there is none, queries go by copies in the index, and
    /// the model has to be the one that they are of.
    ///
    /// # Errors
    /// [`IdentityMismatch`] where they do not.
    pub fn check_answers(&self, indexed: &Self) -> Result<(), IdentityMismatch> {
        let same = match &indexed.query_graph {
            Some(graph) => self.query_graph.as_ref() == Some(graph),
            None => {
                self.tokenizer_sha256 == indexed.tokenizer_sha256
                    && self.query_table_sha256 == indexed.query_table_sha256
                    && self.model_sha256 == indexed.model_sha256
                    && self.query == indexed.query
            }
        };
        if same {
            return Ok(());
        }
        let (indexed, given) = (indexed.model_name.clone(), self.model_name.clone());
        Err(IdentityMismatch { indexed, given })
    }
}

/// The network of a query side. An index keeps this, not the network: a search is given the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryGraphIdentity {
    /// SHA-256 of the graph, as [`EncoderIdentity::model_sha256`].
    pub sha256: String,
    /// SHA-256 of the query side's tokenizer.
    pub tokenizer_sha256: String,
    /// Whether a question keeps only terms that are its own tokens.
    pub own_terms: bool,
    /// How questions are encoded.
    pub parameters: DocumentParameters,
}

/// Parameters of a network side, of documents or questions, that change vectors.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
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
    /// Components above this share of the heaviest are kept, before `top_k`; 0 keeps all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ratio: f32,
    /// What stands before each text.
    #[serde(default, skip_serializing_if = "is_default")]
    pub prompt: String,
    /// Whether white space around the text is removed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strip: bool,
    /// Whether the text is made lower-case, whatever the tokenizer does.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lowercase: bool,
    /// The text stands twice, and only positions of its second copy count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<Echo>,
}

/// A text that stands twice, so that in a causal model each position of the second copy has seen
/// the whole of it (Springer et al., arXiv 2402.15449; with SPLADE, Doshi et al., 2408.11119).
///
/// Prompt, text and `between` are tokenised one by one and their ids joined: tokens of the prompt,
/// text, tokens of `between`, text. Both copies thus have the same ids. Of `max_tokens`, what the
/// rest leaves is shared evenly.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Echo {
    /// What stands between the copies.
    #[serde(default)]
    pub between: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Parameters of the query side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryParameters {
    /// How often a token occurs in the question, as a factor.
    pub tf: TermFrequency,
    /// Tokens that are never part of a question.
    pub drop_tokens: Vec<String>,
    /// What stands before each question.
    #[serde(default, skip_serializing_if = "is_default")]
    pub prompt: String,
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
    /// n.
    #[serde(rename = "count")]
    Count,
}

impl TermFrequency {
    /// The factor for `n` occurrences, `n` at least 1.
    #[must_use]
    pub fn factor(self, n: usize) -> f32 {
        match self {
            Self::OnePlusLn => 1.0 + (n as f32).ln(),
            Self::Presence => 1.0,
            Self::Count => n as f32,
        }
    }
}
