//! What an index keeps of how its token embeddings are stored, for documents that are added later.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::layout::Form;
use super::store::TokenStore;

/// How token embeddings are stored, and what made them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokensKept {
    /// Dimensions of a row.
    pub dims: usize,
    /// The forms that are stored, ascending.
    pub forms: Vec<Form>,
    /// How many rows one pooled row stands for, at most.
    pub pool: usize,
    /// Centroids of the form `4bit`.
    pub centroids: usize,
    /// The encoder's identity, or the imported file's name.
    pub source: Value,
}

impl TokensKept {
    /// As a part stores them.
    #[must_use]
    pub(crate) fn of(store: &TokenStore) -> Self {
        let meta = store.meta();
        let mut forms = meta.forms.clone();
        forms.sort_unstable();
        let (dims, pool, centroids) = (meta.dims, meta.pool, meta.centroids);
        Self { dims, forms, pool, centroids, source: meta.source.clone() }
    }

    /// Whether embeddings of another source fit beside these: the same encoder, by whatever name it was
    /// found, or files that were imported.
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
}
