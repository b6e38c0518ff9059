//! A JSON merge patch (RFC 7396) of what a document stores.

use quarry_index::text::StoredDocument;
use serde_json::{Map, Value};

/// A change of what documents store: `title`, `text` and the other fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    members: Map<String, Value>,
    /// Most bytes that a document may have after it.
    pub(super) most: usize,
}

impl Patch {
    /// A patch of these members; `null` removes one.
    ///
    /// # Errors
    /// If it would change the id, or what cannot be patched; the name of that is given, and what is wrong.
    pub fn new(members: Map<String, Value>) -> Result<Self, (&'static str, &'static str)> {
        for name in ["id", "_id"] {
            if members.contains_key(name) {
                return Err((name, "an id cannot be changed"));
            }
        }
        if members.contains_key("if_version") {
            return Err((
                "if_version",
                "it is said of documents in a batch; for one document send If-Match",
            ));
        }
        for name in ["vector", "dense"] {
            if members.contains_key(name) {
                return Err((name, "vectors cannot be patched: put the document whole"));
            }
        }
        for name in ["title", "text"] {
            let fits = |value: &Value| value.is_string() || value.is_null();
            if !members.get(name).is_none_or(fits) {
                return Err((name, "a string or null was expected"));
            }
        }
        Ok(Self { members, most: usize::MAX })
    }

    /// The same, with most bytes that a document may have after it: title, text, and the other fields as JSON.
    #[must_use]
    pub fn up_to(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// What is stored after it.
    pub(super) fn apply(&self, mut stored: StoredDocument) -> StoredDocument {
        for (name, value) in &self.members {
            let text = || value.as_str().unwrap_or_default().to_owned();
            match name.as_str() {
                "title" => stored.title = text(),
                "text" => stored.text = text(),
                _ => merge(&mut stored.fields, name, value),
            }
        }
        stored
    }
}

/// RFC 7396 for one member. The depth is that of a JSON that was read, which is bounded.
fn merge(into: &mut Map<String, Value>, name: &str, patch: &Value) {
    match patch {
        Value::Null => drop(into.remove(name)),
        Value::Object(members) => {
            let slot = into.entry(name).or_insert(Value::Null);
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            if let Value::Object(inner) = slot {
                members.iter().for_each(|(name, value)| merge(inner, name, value));
            }
        }
        value => drop(into.insert(name.to_owned(), value.clone())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    /// The examples of RFC 7396, appendix A, that are about objects.
    #[test]
    fn patches_as_the_rfc_has_them() {
        for (original, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let stored = StoredDocument { fields: object(&original), ..StoredDocument::default() };
            let after = Patch::new(object(&patch)).unwrap().apply(stored);
            assert_eq!(Value::Object(after.fields), result, "{original} {patch}");
        }
        let stored = StoredDocument {
            title: "T".to_owned(),
            text: "x".to_owned(),
            ..StoredDocument::default()
        };
        let patch = Patch::new(object(&json!({"title": null, "text": "y"}))).unwrap();
        let after = patch.apply(stored);
        assert_eq!((after.title.as_str(), after.text.as_str()), ("", "y"));
        for wrong in
            [json!({"id": "b"}), json!({"text": 7}), json!({"vector": {}}), json!({"_id": null})]
        {
            assert!(Patch::new(object(&wrong)).is_err(), "{wrong}");
        }
    }
}
