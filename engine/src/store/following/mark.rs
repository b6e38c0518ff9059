//! The file that says which collections were taken from a leader.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use quarry_index::Storage;
use serde::{Deserialize, Serialize};

use super::super::{CollectionName, StoreError};

const FILE: &str = "follows.json";
const MAGIC: &str = "quarry-follows";
const VERSION: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    magic: String,
    version: u32,
    leader: String,
    collections: BTreeSet<String>,
}

/// The collections of a store that are a leader's.
#[derive(Debug)]
pub(in crate::store) struct Followed {
    storage: Storage,
    record: Mutex<Record>,
}

impl Followed {
    /// Takes up where the file in `own`, the store's own folder, says; `there` are the collections that the store has.
    pub(in crate::store) fn begin(
        own: &Path,
        leader: &str,
        there: &[CollectionName],
    ) -> Result<Self, StoreError> {
        let storage = Storage::of(own);
        let mut record = match storage.path(FILE).symlink_metadata() {
            Err(_) => Record {
                magic: MAGIC.to_owned(),
                version: VERSION,
                leader: String::new(),
                collections: BTreeSet::new(),
            },
            Ok(_) => serde_json::from_slice::<Record>(&storage.read(FILE)?)
                .ok()
                .filter(|record| record.magic == MAGIC && record.version == VERSION)
                .ok_or_else(|| StoreError::Foreign { path: storage.path(FILE) })?,
        };
        if let Some(name) = there.iter().find(|name| !record.collections.contains(name.as_str())) {
            return Err(StoreError::NotFollowed { name: name.to_string() });
        }
        leader.clone_into(&mut record.leader);
        let followed = Self { storage, record: Mutex::new(record) };
        followed.change(|_| {})?;
        Ok(followed)
    }

    /// Forgets the leader: from now on the collections are the store's own.
    pub(in crate::store) fn end(own: &Path) -> Result<(), StoreError> {
        let storage = Storage::of(own);
        if storage.path(FILE).symlink_metadata().is_ok() {
            storage.remove(FILE)?;
            storage.sync()?;
        }
        Ok(())
    }

    /// The collections that were taken.
    pub(in crate::store) fn names(&self) -> BTreeSet<String> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).collections.clone()
    }

    /// Notes that a collection will be taken, or is gone. Durable on return.
    pub(in crate::store) fn note(
        &self,
        name: &CollectionName,
        taken: bool,
    ) -> Result<(), StoreError> {
        if self.names().contains(name.as_str()) == taken {
            return Ok(());
        }
        self.change(|names| {
            match taken {
                true => names.insert(name.to_string()),
                false => names.remove(name.as_str()),
            };
        })
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<String>)) -> Result<(), StoreError> {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = record.clone();
        change(&mut new.collections);
        let json = serde_json::to_vec_pretty(&new).map_err(|source| StoreError::Record {
            folder: self.storage.folder().to_owned(),
            source,
        })?;
        self.storage.replace(FILE, &json)?;
        self.storage.sync()?;
        *record = new;
        Ok(())
    }
}
