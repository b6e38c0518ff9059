//! Patching many documents: request and response.

use quarry_engine::store::Selection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::json::from_json;
use super::{ApiError, IndexVersion, MAX_DOCUMENTS, RejectedDocument};

/// A patch of many documents: of `ids`, or of those that match `filter`.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchRequest {
    /// Their ids.
    #[serde(default)]
    pub ids: Option<Vec<String>>,
    /// What they match: `*` for all.
    #[serde(default)]
    pub filter: Option<String>,
    /// A JSON merge patch (RFC 7396) of `title`, `text` and the other fields; `null` removes one.
    #[schema(value_type = Object)]
    pub patch: Map<String, Value>,
    /// Whether nothing is changed, and only counted.
    #[serde(default)]
    pub dry_run: bool,
}

impl PatchRequest {
    /// Parses a body.
    ///
    /// # Errors
    /// If it is not JSON, has a name that is not known, or a value of another type.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        from_json(bytes, &["", "/patch"])
    }

    /// The documents that are meant.
    ///
    /// # Errors
    /// If both or none of `ids` and `filter` are given, or no ids or too many.
    pub fn selection(&self) -> Result<Selection, ApiError> {
        match (&self.ids, &self.filter) {
            (Some(ids), None) if (1..=MAX_DOCUMENTS).contains(&ids.len()) => {
                Ok(Selection::Ids(ids.clone()))
            }
            (Some(ids), None) => {
                let message = format!("{} ids, 1 to {MAX_DOCUMENTS} were expected", ids.len());
                Err(ApiError::invalid("ids", message))
            }
            (None, Some(filter)) => Ok(Selection::Filter(filter.clone())),
            _ => Err(ApiError::invalid("ids", "either `ids` or a `filter` was expected")),
        }
    }
}

/// What was patched.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PatchResponse {
    /// The generation that has it; every later search sees it or a newer one.
    pub index: IndexVersion,
    /// Number of this change among those of the collection, for `min_seq`; the version of the documents patched.
    pub seq: u64,
    /// Documents patched; with `dry_run` those that would be.
    pub patched: u64,
    /// Of these, documents whose title or text changed, so that their vectors were made anew.
    pub encoded: u64,
    /// Ids that no document has.
    pub unknown: Vec<String>,
    /// Documents not patched; `line` is the place among the ids.
    pub rejected: Vec<RejectedDocument>,
}
