//! Documents that a program sends, each a JSON object of its own.

use std::path::Path;

use quarry_vectors::Document;
use serde::Deserialize;
use serde_json::Value;

use crate::error::DatasetError;
use crate::json_record::{Rules, sent_document};
use crate::lines::Line;

/// A document that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedDocument {
    /// Its id, if that can be read.
    pub id: Option<String>,
    /// What is wrong.
    pub reason: String,
}

/// Reads one document as JSON, as a line of a collection is read: `id` or `_id`, `title`, `text`, `vector`, and
/// further fields. `number` becomes its line; `kept` names fields that stay fields, even if they look like vectors.
///
/// # Errors
/// If it is not a JSON object, has no id, or has neither text nor vector; if a part of it has the wrong type.
pub fn read_sent_document(
    text: &str,
    number: u64,
    kept: &[String],
) -> Result<Document, RefusedDocument> {
    // A path is needed for messages only; it is left out of them below.
    let line = Line { path: Path::new("-"), number, text };
    sent_document(line, Rules { scale: None, vector_field: None, kept })
        .map_err(|error| RefusedDocument { id: id_of(text), reason: reason(&error, number) })
}

fn reason(error: &DatasetError, number: u64) -> String {
    match error {
        DatasetError::Json { column: 0, reason, .. } => reason.clone(),
        DatasetError::Json { column, reason, .. } => format!("{reason} (byte {column})"),
        other => {
            let text = other.to_string();
            let place = format!("-, line {number}: ");
            text.strip_prefix(&place).map(str::to_owned).unwrap_or(text)
        }
    }
}

/// The id of a document with other faults.
fn id_of(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        _id: Option<Value>,
        #[serde(default)]
        id: Option<Value>,
    }
    // A list would be read as the fields in their order.
    let named: Named =
        serde_json::from_str(text).ok().filter(|_| text.trim_start().starts_with('{'))?;
    match named._id.or(named.id)? {
        Value::String(id) if !id.is_empty() => Some(id),
        Value::Number(id) if !id.is_f64() => Some(id.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn a_refused_document_is_named() {
        let found = read_sent_document(r#"{"_id":"a","text":"t","year":7}"#, 3, &[]).unwrap();
        assert_eq!((found.id.as_str(), found.line, &found.fields["year"]), ("a", 3, &7.into()));
        for (text, id, reason) in [
            ("{", None, "EOF"),
            ("[1]", None, "expected a JSON object"),
            (r#"{"text":"t"}"#, None, "no \"_id\" and no \"id\""),
            (r#"{"id":"","text":"t"}"#, None, "the id is empty"),
            (r#"{"id":"a","_id":"b","text":"t"}"#, Some("b"), "both \"id\" and \"_id\""),
            (r#"{"id":7}"#, Some("7"), "the document has no \"text\""),
            (r#"{"id":"a","text":4}"#, Some("a"), "not a string"),
            (r#"{"id":"a","vector":{"t":-1}}"#, Some("a"), "weight -1"),
            (r#"{"id":"a","text":"t","sv":{"salt":1,"sea":2.5}}"#, Some("a"), "\"fields\": {"),
        ] {
            let refused = read_sent_document(text, 7, &[]).unwrap_err();
            assert_eq!(refused.id.as_deref(), id, "{text}");
            assert!(refused.reason.contains(reason), "{text}: {}", refused.reason);
            assert!(!refused.reason.contains("--"), "{}", refused.reason);
        }
    }
}
