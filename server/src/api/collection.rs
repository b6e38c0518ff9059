//! Making and changing collections: requests and responses.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::json::from_json;
use super::{ApiError, IndexVersion, RejectedDocument};

/// How a collection is made. All is optional: `{}` makes one whose texts the bundled model encodes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CollectionInput {
    /// Name of a collection whose documents and settings it has, as they are now: a copy that takes a moment. Nothing else
    /// is given then.
    #[serde(default)]
    pub from: Option<String>,
    /// A snapshot whose documents and settings it has. Nothing else is given then.
    #[serde(default)]
    pub snapshot: Option<SnapshotName>,
    /// Name of the model that encodes texts, as `org/name`, from the server's cache; the bundled model if absent. `null`:
    /// none, documents bring their vectors.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub model: Option<Option<String>>,
    /// Types of the documents' other fields, by path: `keyword`, `integer`, `float`, `date`, `bool`, `any` or `stored`. A
    /// field that is absent here gets the JSON kind of its first value.
    #[serde(default)]
    #[schema(example = json!({"year": "integer"}))]
    pub fields: BTreeMap<String, String>,
    /// Tokens of the passages that long texts are split into; not split if absent.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub passages: Option<u32>,
    /// Whether to keep which word each component of a vector comes from.
    #[serde(default)]
    pub provenance: bool,
    /// Whether texts also get dense vectors, by the bundled model.
    #[serde(default)]
    pub dense: bool,
    /// Whether texts also get token embeddings, for `rerank`.
    #[serde(default)]
    pub tokens: bool,
}

/// A snapshot of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotName {
    /// The collection that it was made of, which may be gone.
    pub collection: String,
    /// Its name.
    pub name: String,
}

impl CollectionInput {
    /// Parses a body; an empty one is `{}`.
    ///
    /// # Errors
    /// If it is not JSON, has a name that is not known, or a value of another type.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        from_json(bytes, &["", "/fields", "/snapshot"])
    }
}

/// Tells `null` from an absent value.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// A collection that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RemovedResponse {
    /// Its name.
    pub removed: String,
}

/// What became of documents that were sent.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DocumentsResponse {
    /// The generation that has them; every later search sees it or a newer one.
    pub index: IndexVersion,
    /// Number of this change among those of the collection, for `min_seq`.
    pub seq: u64,
    /// Documents taken. Of several with one id, the last stays.
    pub accepted: u64,
    /// Documents that these replaced.
    pub replaced: u64,
    /// Documents not taken, in the order in which they were sent.
    pub rejected: Vec<RejectedDocument>,
    /// Time of each stage.
    pub timings_us: WriteTimings,
}

/// A document that was written.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WrittenResponse {
    /// The generation that has it; every later search sees it or a newer one.
    pub index: IndexVersion,
    /// Number of this change among those of the collection, for `min_seq`.
    pub seq: u64,
    /// The document's version, also in the header `ETag`.
    pub version: u64,
    /// Whether there was none of this id.
    pub created: bool,
}

/// A document that was patched.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PatchedResponse {
    /// The generation that has it; every later search sees it or a newer one.
    pub index: IndexVersion,
    /// Number of this change among those of the collection, for `min_seq`.
    pub seq: u64,
    /// The document's version, also in the header `ETag`.
    pub version: u64,
    /// Whether its vectors were made anew, since its title or text is another.
    pub encoded: bool,
}

/// Microseconds per stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct WriteTimings {
    /// Reading the documents out of the body.
    pub parse: u64,
    /// Waiting for texts to be encoded, behind those of others.
    pub queue: u64,
    /// Encoding the texts, in batches that may have others' too.
    pub encode: u64,
    /// Waiting for the writes before, and writing.
    pub write: u64,
    /// Logging the change, until the disk has it if `ack` says so.
    pub log: u64,
}
