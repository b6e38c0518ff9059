//! What followers ask their leader.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::IndexVersion;

/// The sealed generations of the collections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GenerationsResponse {
    /// One for each collection that the key is for.
    pub generations: Vec<CollectionGeneration>,
}

/// The sealed generation of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CollectionGeneration {
    /// The collection.
    pub collection: String,
    /// Its generation.
    pub index: IndexVersion,
    /// Number of the last change that it contains.
    pub seq: u64,
}

/// A sealed generation, as a follower makes it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GenerationResponse {
    /// Which it is.
    pub index: IndexVersion,
    /// Number of the last change that it contains.
    pub seq: u64,
    /// What its file `CURRENT` says.
    pub current: String,
    /// How the collection was made; null if no server made it.
    pub settings: Option<serde_json::Value>,
    /// All of its files, which do not change.
    pub files: Vec<GenerationFile>,
}

/// A file of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GenerationFile {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its checksum: XXH3-64 in 16 hexadecimal digits, of `.qry` files without the last eight bytes.
    pub checksum: String,
}
