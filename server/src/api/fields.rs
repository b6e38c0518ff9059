//! The fields of a collection's documents.

use serde::Serialize;
use utoipa::ToSchema;

/// A field that documents have beside title and text.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FieldResponse {
    /// Its name in filters; of one within an object a path, `place.city`.
    pub name: String,
    /// The type that it was given when the collection was made.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// Kinds of its values, as filters compare them: `text`, `number`, `boolean`, `date`, and `object` for one with fields of its
    /// own. None if no document has it, or it is stored only.
    #[schema(value_type = Vec<String>)]
    pub kinds: Vec<&'static str>,
    /// Number of its values, those of documents that were deleted or replaced lately included; where texts are split, each passage
    /// has its document's. Absent for a key with a filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<u64>,
    /// Up to three of its values, of the first documents; long ones are cut.
    #[schema(value_type = Vec<Object>)]
    pub examples: Vec<serde_json::Value>,
}
