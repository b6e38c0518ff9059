//! A collection made of another one's documents: the request.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

use super::ApiError;
use super::collection::given;
use super::json::from_json;

/// How a collection is made of another one. What is not given is as there. If nothing but `from` is given, it is a copy as it
/// is now, and there at once.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyInput {
    /// Name of the collection whose documents it has.
    pub from: String,
    /// Name of the model that encodes the stored texts, as `org/name`, from the server's cache, or
    /// `bundled`. `null`: none, documents keep the vectors that the index stores.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub model: Option<Option<String>>,
    /// Types of the documents' other fields, by path, in place of those that were given there.
    #[serde(default)]
    pub fields: Option<BTreeMap<String, String>>,
    /// Tokens of the passages that long texts are split into; `null`: not split.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub passages: Option<Option<u32>>,
    /// Whether to keep which word each component of a vector comes from.
    #[serde(default)]
    pub provenance: Option<bool>,
    /// Whether texts also get dense vectors, by the bundled model.
    #[serde(default)]
    pub dense: Option<bool>,
    /// Whether texts also get token embeddings, for `rerank`.
    #[serde(default)]
    pub tokens: Option<bool>,
}

impl CopyInput {
    /// Parses a body.
    ///
    /// # Errors
    /// If it is not JSON, lacks `from`, has a name that is not known, or a value of another type.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        from_json(bytes, &["", "/fields"])
    }
}
