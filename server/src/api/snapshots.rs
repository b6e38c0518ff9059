//! Snapshots of a collection: requests and responses.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::json::from_json;
use super::{ApiError, IndexVersion};

/// A snapshot to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotInput {
    /// Its name, of `a-z`, `0-9`, `-` and `_`; the time, if absent.
    #[serde(default)]
    pub name: Option<String>,
}

impl SnapshotInput {
    /// Parses a body; an empty one is `{}`.
    ///
    /// # Errors
    /// If it is not JSON, has a name that is not known, or a value of another type.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        from_json(bytes, &[""])
    }
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SnapshotResponse {
    /// The collection that it was made of.
    pub collection: String,
    /// Its name among those of the collection.
    pub name: String,
    /// When it was made.
    pub created_at: String,
    /// The generation that it is.
    pub index: IndexVersion,
    /// Number of the last change that it contains.
    pub seq: u64,
    /// Its documents.
    pub documents: u64,
    /// Bytes of its files, which share their space with the collection's as long as that has them too.
    pub bytes: u64,
}

/// The snapshots of a collection, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SnapshotsResponse {
    /// The snapshots.
    pub snapshots: Vec<SnapshotResponse>,
}

/// A snapshot that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RemovedSnapshotResponse {
    /// Its name.
    pub removed: String,
}
