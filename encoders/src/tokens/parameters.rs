//! What decides a text's token embeddings beside the graph, and what an index keeps of it.

use serde::{Deserialize, Serialize};

/// Which encoder made token embeddings: what an index keeps, so that questions and later documents
/// come from the same one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenIdentity {
    /// The model's name.
    pub model_name: String,
    /// SHA-256 of the graph, or of the files it is made of, in hexadecimal.
    pub model_sha256: String,
    /// SHA-256 of the tokenizer.
    pub tokenizer_sha256: String,
    /// How texts are encoded.
    pub parameters: TokenParameters,
}

/// Parameters that change token embeddings.
///
/// A document has a row for each of its tokens, those that the tokenizer adds (`[CLS]`, `[SEP]`) and
/// the marker included, less those of `skip_tokens`. A question has a row for each token, and one for
/// each that fills it up. With `whole` the text's own row comes first, and a question has fewer. A text
/// without a token of its own, or of white space alone, has no rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenParameters {
    /// Dimensions of a row.
    pub dims: u32,
    /// Longest document in tokens, added ones and the marker included; the rest is cut.
    pub max_tokens: u32,
    /// Longest question, likewise.
    pub query_max_tokens: u32,
    /// What stands between title and text.
    pub separator: String,
    /// What stands before each document; its tokens have rows, too.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// What stands before each question, likewise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query_prompt: String,
    /// A token put at the second place of each document, and of each question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub markers: Option<Markers>,
    /// Fills up questions; absent where they stay as short as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_fill: Option<QueryFill>,
    /// Tokens of documents that get no row, such as punctuation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip_tokens: Vec<String>,
    /// A row for the text as a whole; absent where only tokens have rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<WholeRow>,
    /// Whether white space around a text is removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strip: bool,
    /// Whether a text is made lower-case, whatever the tokenizer does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lowercase: bool,
}

/// A first row that stands for a text as a whole: the mean over all its tokens of a second set of the
/// graph's columns, brought to length one. MaxSim then compares texts, too, not tokens alone.
///
/// A question has this row and those of its first tokens. The row counts as much as this many tokens of
/// the question, cut or not, so it leads in questions that are whole passages. All rows of a question
/// are scaled by one number, so that they count one on average and scores keep their unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeRow {
    /// Where its columns begin; those of tokens end there.
    pub column: u32,
    /// For how much the row counts in a question, for each of the question's tokens that counts.
    pub query_weight: f64,
    /// Rows that a question's tokens get at most, the first ones.
    pub query_rows: u32,
    /// Tokens of questions that get no row and do not count, such as `[CLS]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query_skip_tokens: Vec<String>,
}

/// Tokens that tell the model which kind of text it reads (ColBERT's `[D]` and `[Q]`); empty where one
/// kind has none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Markers {
    /// Of documents.
    pub document: String,
    /// Of questions.
    pub query: String,
}

/// ColBERT's query augmentation: a question shorter than `query_max_tokens` is filled up with a token
/// whose rows count in MaxSim like any other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryFill {
    /// The token, such as `[MASK]`.
    pub token: String,
    /// Whether other tokens attend to these.
    pub attended: bool,
}
