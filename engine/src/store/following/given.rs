//! What a leader says of a collection's sealed generation.

use std::path::{Path, PathBuf};

use quarry_index::folder::{CURRENT, LOCK, Lease, SealedFile, owns, read_sealed};
use quarry_index::names::is_temporary;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::{CollectionSettings, StoreError};

/// A sealed generation: what a follower needs to make it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Identity of the index.
    pub index: Uuid,
    /// Its generation.
    pub generation: u64,
    /// Number of the last change that it contains.
    pub sequence: u64,
    /// What the file `CURRENT` says.
    pub current: String,
    /// How the collection was made; `None` if a store did not make it.
    pub settings: Option<CollectionSettings>,
    /// All files of the generation.
    pub files: Vec<GivenFile>,
}

/// A file of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenFile {
    /// Its name, a plain one.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its checksum, as the manifest has it.
    pub checksum: String,
}

impl Given {
    /// That of a collection's folder. As long as the lease exists, the files stay.
    pub(in crate::store) fn of(
        folder: &Path,
        settings: Option<&CollectionSettings>,
    ) -> Result<(Self, Lease), StoreError> {
        let sealed = read_sealed(folder)?;
        let file = |SealedFile { name, bytes, checksum }| GivenFile { name, bytes, checksum };
        let given = Self {
            index: sealed.manifest.uuid,
            generation: sealed.manifest.generation,
            sequence: sealed.manifest.applied_sequence,
            current: String::from_utf8_lossy(&sealed.current).into_owned(),
            settings: settings.cloned(),
            files: sealed.files.into_iter().map(file).collect(),
        };
        Ok((given, sealed.lease))
    }
}

/// Whether a file of this name can be a generation's.
pub(super) fn is_file_of_generation(name: &str) -> bool {
    owns(name) && name != LOCK && name != CURRENT && !is_temporary(name)
}

/// Where a file lies that a follower asks for; `None` if it can be no file of a generation.
pub(in crate::store) fn place(folder: &Path, name: &str) -> Option<PathBuf> {
    is_file_of_generation(name).then(|| folder.join(name))
}
