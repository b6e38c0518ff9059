//! A record of a collection and a question, as readers hand them on.

use serde_json::{Map, Value};

use crate::SparseVector;

/// A sparse vector as a file gives it.
#[derive(Debug, Clone, PartialEq)]
pub enum InputVector {
    /// By token string, in file order; the index's lexicon names the terms.
    Tokens(Vec<(String, f32)>),
    /// By term number.
    Terms(SparseVector),
}

/// One record of a collection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// The collection's own name of the document; never empty.
    pub id: String,
    /// Title; empty when there is none.
    pub title: String,
    /// Body; empty when there is none.
    pub text: String,
    /// All other fields of the record, kept as they were read.
    pub fields: Map<String, Value>,
    /// The vector, when the collection is already encoded.
    pub vector: Option<InputVector>,
    /// Whether its file names no documents, so that `id` is only its place there, from 0. Such ids say
    /// nothing outside of the file: added to an index they go on after the highest that it has.
    pub numbered: bool,
    /// Line (text formats, from 1) or ordinal (binary formats, from 0) in its file, for messages.
    pub line: u64,
}

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The query set's own name of the question.
    pub id: String,
    /// Its text; empty when only a vector is given.
    pub text: String,
    /// The vector, when the query set is already encoded.
    pub vector: Option<InputVector>,
}

/// Title and text as one passage: joined by `separator`, or the one that is not empty.
#[must_use]
pub fn join_title_and_text(title: &str, text: &str, separator: &str) -> String {
    match (title.is_empty(), text.is_empty()) {
        (true, _) => text.to_owned(),
        (false, true) => title.to_owned(),
        (false, false) => format!("{title}{separator}{text}"),
    }
}
