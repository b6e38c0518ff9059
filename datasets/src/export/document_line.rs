//! A document as one JSON object, as programs send them: read back, it is the same document.

use quarry_vectors::{Document, InputVector};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A document that serialises to what [`read_sent_document`](crate::read_sent_document) reads. Weights have as many digits
/// as reading them back to the same f32 takes.
#[derive(Debug, Clone, Copy)]
pub struct DocumentLine<'a>(pub &'a Document);

impl Serialize for DocumentLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Document { id, title, text, fields, vector, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        // Readers take `_id` before `id`, which then is a field like others.
        map.serialize_entry(if fields.contains_key("id") { "_id" } else { "id" }, id)?;
        // A text keeps its place before `contents` and `content`, which may be fields, and says that there is one.
        let others = ["contents", "content"].iter().any(|name| fields.contains_key(*name));
        let nothing = title.is_empty() && vector.is_none();
        if !title.is_empty() {
            map.serialize_entry("title", title)?;
        }
        if !text.is_empty() || others || nothing {
            map.serialize_entry("text", text)?;
        }
        for (name, value) in fields {
            map.serialize_entry(name, value)?;
        }
        if let Some(vector) = vector {
            map.serialize_entry("vector", &Weights(vector))?;
        }
        map.end()
    }
}

struct Weights<'a>(&'a InputVector);

impl Serialize for Weights<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            InputVector::Tokens(pairs) => {
                serializer.collect_map(pairs.iter().map(|(token, weight)| (token, weight)))
            }
            InputVector::Terms(vector) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("indices", vector.terms())?;
                map.serialize_entry("values", vector.weights())?;
                map.end()
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use proptest::prelude::*;
    use quarry_vectors::SparseVector;
    use serde_json::json;

    use super::*;
    use crate::read_sent_document;

    fn read(document: &Document) -> Document {
        let line = serde_json::to_string(&DocumentLine(document)).unwrap();
        assert!(!line.contains('\n'));
        read_sent_document(&line, document.line, &[]).unwrap()
    }

    proptest! {
        #[test]
        fn a_document_is_read_back_to_the_bit(
            texts in ("\\PC{0,20}", "(?s).{0,20}"),
            weights in prop::collection::vec(1e-30f32..1e30, 0..20),
            number in any::<f64>().prop_filter("finite", |n| n.is_finite()),
            kind in 0..3,
            content in any::<bool>(),
        ) {
            let vector = match kind {
                0 => None,
                1 => {
                    let name = |at: usize| ["indices", "values", "a \"b\"", "\u{e4}"][at % 4];
                    let token = |(at, weight): (usize, &f32)| (format!("{}{at}", name(at)), *weight);
                    let mut pairs: Vec<_> = weights.iter().enumerate().map(token).collect();
                    if let Some(first) = pairs.first_mut() {
                        first.0 = "indices".to_owned();
                    }
                    Some(InputVector::Tokens(pairs))
                }
                _ => {
                    let terms = (7..).step_by(3).take(weights.len()).collect();
                    Some(InputVector::Terms(SparseVector::new(terms, weights).unwrap()))
                }
            };
            let mut fields = json!({"number": number, "list": [1, {"deep": texts.0}], "none": null});
            if content {
                fields["content"] = json!("other");
            }
            let document = Document {
                id: format!("id {}", texts.0),
                title: texts.0,
                text: texts.1,
                fields: fields.as_object().unwrap().clone(),
                vector,
                numbered: false,
                line: 7,
            };
            prop_assert_eq!(read(&document), document);
        }
    }

    #[test]
    fn nothing_but_an_id() {
        let document = Document { id: "a".to_owned(), ..Document::default() };
        assert_eq!(
            serde_json::to_string(&DocumentLine(&document)).unwrap(),
            r#"{"id":"a","text":""}"#
        );
        assert_eq!(read(&document), document);
    }
}
