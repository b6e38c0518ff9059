//! What an index keeps of how its dense vectors are stored, for documents that are added later.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::layout::DenseStorage;
use super::store::DenseStore;

/// How dense vectors are stored, and what made them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DenseKept {
    /// Dimensions of a vector.
    pub dims: usize,
    /// How they are stored.
    pub storage: DenseStorage,
    /// The encoder's identity, or the imported file's name.
    pub source: Value,
}

impl DenseKept {
    /// As a part stores them.
    #[must_use]
    pub(crate) fn of(store: &DenseStore) -> Self {
        let meta = store.meta();
        Self { dims: meta.dims, storage: meta.storage, source: meta.source.clone() }
    }

    /// The file that the vectors came from, if no model made them.
    #[must_use]
    pub fn imported_from(&self) -> Option<&str> {
        self.source.get("file").and_then(Value::as_str)
    }

    /// What made them, in words.
    #[must_use]
    pub fn made_by(&self) -> String {
        match (self.imported_from(), self.source.get("model_name").and_then(Value::as_str)) {
            (Some(file), _) => format!("imported from {file}"),
            (None, Some(model)) => format!("made by {model}"),
            (None, None) => format!("made by {}", self.source),
        }
    }

    /// Whether vectors of another source fit beside these: the same encoder, by whatever name it was found, or
    /// files that were imported.
    #[must_use]
    pub fn same_source(&self, other: &Value) -> bool {
        let nameless = |source: &Value| {
            let mut source = source.clone();
            if let Some(object) = source.as_object_mut() {
                object.remove("model_name");
            }
            source
        };
        let imported = |source: &Value| source.get("file").is_some();
        (imported(&self.source) && imported(other)) || nameless(&self.source) == nameless(other)
    }

    /// Whether vectors that are stored as `other` says fit beside these.
    #[must_use]
    pub fn fits(&self, other: &Self) -> bool {
        (self.dims, self.storage) == (other.dims, other.storage) && self.same_source(&other.source)
    }
}
