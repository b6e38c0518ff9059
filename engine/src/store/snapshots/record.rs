//! What a snapshot says of itself.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::StoreError;

/// The file that has it; it marks a folder as a snapshot of ours.
pub(in crate::store) const RECORD: &str = "snapshot.json";
/// The last file of an archive: checksums of all others.
pub(super) const SUMS: &str = "SHA256SUMS";
const MAGIC: &str = "quarry-snapshot";
const VERSION: u32 = 1;

/// A snapshot of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    magic: String,
    version: u32,
    /// The collection that it was made of.
    pub collection: String,
    /// Its name among those of the collection.
    pub name: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Identity of the index.
    pub index: Uuid,
    /// Its generation.
    pub generation: u64,
    /// Number of the last change that it contains.
    pub sequence: u64,
    /// Its documents.
    pub documents: u64,
    /// Its files, without this record.
    pub(in crate::store) files: Vec<SnapshotFile>,
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct SnapshotFile {
    /// Its name, a plain one.
    pub(in crate::store) name: String,
    /// Its length.
    pub(in crate::store) bytes: u64,
}

/// What a snapshot is of, and when it was made.
#[derive(Debug, Clone)]
pub(in crate::store) struct Moment {
    pub(in crate::store) collection: String,
    pub(in crate::store) index: Uuid,
    pub(in crate::store) generation: u64,
    pub(in crate::store) sequence: u64,
    pub(in crate::store) documents: u64,
}

impl SnapshotRecord {
    pub(super) fn new(name: &str, created_at: OffsetDateTime, moment: Moment) -> Self {
        let Moment { collection, index, generation, sequence, documents } = moment;
        Self {
            magic: MAGIC.to_owned(),
            version: VERSION,
            collection,
            name: name.to_owned(),
            created_at,
            index,
            generation,
            sequence,
            documents,
            files: Vec::new(),
        }
    }

    /// Reads a record; what is wrong with it otherwise.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        match record.magic == MAGIC && record.version == VERSION {
            true => Ok(record),
            false => Err(format!("it is no record of a snapshot of version {VERSION}")),
        }
    }

    pub(super) fn json(&self, folder: &std::path::Path) -> Result<Vec<u8>, StoreError> {
        let json = serde_json::to_vec_pretty(self);
        json.map_err(|source| StoreError::Record { folder: folder.to_owned(), source })
    }

    /// Bytes of its files. They share their space with the collection's as long as that has them too.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |all, file| all.saturating_add(file.bytes))
    }
}
