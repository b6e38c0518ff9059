//! How a collection is made, and the file in its folder that keeps it.

use std::collections::BTreeMap;
use std::path::Path;

use quarry_index::Storage;
use quarry_index::fields::{FieldRule, FieldRules, FieldType};
use serde::{Deserialize, Serialize};

use super::StoreError;

/// The file that marks a collection as made by a store.
pub(super) const RECORD: &str = "collection.json";
const MAGIC: &str = "quarry-collection";
const VERSION: u32 = 1;

/// What makes the vectors of a collection's texts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectionModel {
    /// The bundled model.
    #[default]
    Bundled,
    /// A model by its name on a hub, which must be in the cache.
    Named(String),
    /// None: documents bring their vectors.
    None,
}

/// How a collection is made. The default encodes texts by the bundled model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectionSettings {
    /// What makes vectors of texts.
    pub model: CollectionModel,
    /// Types of the documents' other fields, by path.
    pub fields: BTreeMap<String, FieldType>,
    /// Tokens of the passages that texts are split into.
    pub passages: Option<u32>,
    /// Whether the index keeps which word each component comes from.
    pub provenance: bool,
    /// Whether it has dense vectors, by the bundled model.
    pub dense: bool,
    /// Whether it has token embeddings, by the model of its texts.
    pub tokens: bool,
}

impl CollectionSettings {
    /// The first setting that differs.
    pub(super) fn differs(&self, other: &Self) -> Option<&'static str> {
        let same = [
            ("model", self.model == other.model),
            ("fields", self.fields == other.fields),
            ("passages", self.passages == other.passages),
            ("provenance", self.provenance == other.provenance),
            ("dense", self.dense == other.dense),
            ("tokens", self.tokens == other.tokens),
        ];
        same.into_iter().find(|(_, same)| !same).map(|(name, _)| name)
    }

    /// The types as an index takes them.
    pub(super) fn rules(&self) -> FieldRules {
        self.fields.iter().map(|(path, given)| (path.clone(), FieldRule::Given(*given))).collect()
    }

    /// Writes them into a collection's folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let record = Record { magic: MAGIC.to_owned(), version: VERSION, settings: self.clone() };
        let json = serde_json::to_vec_pretty(&record);
        let json =
            json.map_err(|source| StoreError::Record { folder: folder.to_owned(), source })?;
        let storage = Storage::of(folder);
        storage.replace(RECORD, &json)?;
        Ok(storage.sync()?)
    }

    /// Reads them from a collection's folder; `None` if it was not made by a store.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let storage = Storage::of(folder);
        if !storage.path(RECORD).exists() {
            return Ok(None);
        }
        let json = storage.read(RECORD)?;
        // Another program's file of this name is not ours to read.
        let head = serde_json::from_slice::<Head>(&json).ok().filter(|head| head.magic == MAGIC);
        match head {
            None => Ok(None),
            Some(head) if head.version != VERSION => Err(StoreError::RecordVersion {
                folder: folder.to_owned(),
                found: head.version,
                known: VERSION,
            }),
            Some(_) => {
                let record: Record = serde_json::from_slice(&json)
                    .map_err(|source| StoreError::Record { folder: folder.to_owned(), source })?;
                Ok(Some(record.settings))
            }
        }
    }
}

/// What every version of the record has.
#[derive(Debug, Deserialize)]
struct Head {
    magic: String,
    version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    magic: String,
    version: u32,
    settings: CollectionSettings,
}
