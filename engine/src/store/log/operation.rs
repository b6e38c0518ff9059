//! What the log keeps of a change: documents as they were accepted, or ids; and the answer to a request with a key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quarry_vectors::{Document, InputVector, SparseVector, VectorError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::store::idempotency::KeptAnswer;
use crate::write::EncodedText;

/// A change, so that it can be made again. Made twice, it gives the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::store) enum Operation {
    /// These documents are there, in place of older ones of their ids.
    Put(Vec<Entry>),
    /// No documents of these ids are there.
    Delete(Vec<String>),
    /// What a request with a key changed, if anything, and its answer.
    Keyed(Box<Keyed>),
}

/// A request with a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct Keyed {
    pub(in crate::store) answer: KeptAnswer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) did: Option<Operation>,
}

impl Operation {
    /// What was changed, if anything.
    pub(in crate::store) fn did(&self) -> Option<&Self> {
        match self {
            Self::Keyed(keyed) => keyed.did.as_ref(),
            did => Some(did),
        }
    }
}

/// A document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct Entry {
    id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vector: Option<Vector>,
    /// Whether what is made of the document (vectors, passages, embeddings) stays as it was before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    carried: bool,
    /// What encoders made of its text, so that a crash changes no vector and costs no encoding: base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoded: Option<String>,
}

/// Terms and weights, parallel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Vector {
    Tokens(Vec<String>, Vec<f32>),
    Terms(Vec<u32>, Vec<f32>),
}

impl From<&Document> for Entry {
    fn from(document: &Document) -> Self {
        let vector = document.vector.as_ref().map(|vector| match vector {
            InputVector::Tokens(pairs) => {
                let (tokens, weights) = pairs.iter().cloned().unzip();
                Vector::Tokens(tokens, weights)
            }
            InputVector::Terms(vector) => {
                Vector::Terms(vector.terms().to_vec(), vector.weights().to_vec())
            }
        });
        Self {
            id: document.id.clone(),
            title: document.title.clone(),
            text: document.text.clone(),
            fields: document.fields.clone(),
            vector,
            carried: false,
            encoded: None,
        }
    }
}

impl Entry {
    /// The document, whose vectors stay as they were.
    pub(in crate::store) fn carried(self) -> Self {
        Self { carried: true, ..self }
    }

    /// Whether they do.
    pub(in crate::store) fn is_carried(&self) -> bool {
        self.carried
    }

    /// What comes of a document that was put as `before` says, and then carried as this says.
    pub(in crate::store) fn over(&self, before: &Self) -> Self {
        let (vector, encoded) = (before.vector.clone(), before.encoded.clone());
        Self { vector, encoded, carried: before.carried, ..self.clone() }
    }

    /// The document's id.
    pub(in crate::store) fn id(&self) -> &str {
        &self.id
    }

    /// The same, with what was made of the document's text.
    pub(in crate::store) fn with(self, text: Option<&EncodedText>) -> Self {
        Self { encoded: text.map(|text| STANDARD.encode(text.to_bytes())), ..self }
    }

    /// What was made of the document's text, if that is known.
    pub(in crate::store) fn text(&self) -> Option<EncodedText> {
        EncodedText::from_bytes(&STANDARD.decode(self.encoded.as_ref()?).ok()?)
    }

    /// The document; `line` is its place.
    ///
    /// # Errors
    /// If the numbers are no vector, which none that was accepted are.
    pub(in crate::store) fn document(self, line: u64) -> Result<Document, VectorError> {
        let vector = match self.vector {
            None => None,
            Some(Vector::Tokens(tokens, weights)) => {
                Some(InputVector::Tokens(tokens.into_iter().zip(weights).collect()))
            }
            Some(Vector::Terms(terms, weights)) => {
                Some(InputVector::Terms(SparseVector::new(terms, weights)?))
            }
        };
        let Self { id, title, text, fields, .. } = self;
        Ok(Document { id, title, text, fields, vector, numbered: false, line })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #[test]
        fn a_document_comes_back_to_the_bit(
            weights in prop::collection::vec(1e-30f32..1e30, 1..20),
            number in any::<f64>().prop_filter("finite", |n| n.is_finite()),
            text in ".{0,20}",
            named in any::<bool>(),
        ) {
            let vector = match named {
                true => InputVector::Tokens(weights.iter().map(|w| (w.to_string(), *w)).collect()),
                false => {
                    let terms = (0..).step_by(3).take(weights.len()).collect();
                    InputVector::Terms(SparseVector::new(terms, weights).unwrap())
                }
            };
            let fields = json!({"number": number, "list": [1, {"deep": text}]});
            let document = Document {
                id: format!("id {text}"),
                title: text.clone(),
                text,
                fields: fields.as_object().unwrap().clone(),
                vector: Some(vector),
                numbered: false,
                line: 7,
            };
            let put = Operation::Put(vec![Entry::from(&document)]);
            let bytes = serde_json::to_vec(&put).unwrap();
            let Operation::Put(mut entries) = serde_json::from_slice(&bytes).unwrap() else { panic!() };
            prop_assert_eq!(entries.remove(0).document(7).unwrap(), document);
        }
    }
}
