//! The files of a store: its own folder, and collections moved in and out by renames.
//!
//! 1. `DIR/.quarry` is the store's, marked by `store.json`; its lock keeps other servers out
//! 2. a collection is made under `.quarry/new-ID` and renamed to its name  3. it is removed by a rename to
//!    `.quarry/gone-ID`, whose files then go; merges are prepared in `.quarry/merge-ID`  4. what lies there at the start
//!    was left by a crash, and goes

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use quarry_index::Storage;
use quarry_index::claim::Claim;
use quarry_index::folder::{BUILD, CURRENT, JOB, claim, owns};
use quarry_index::names::is_uuid;
use uuid::Uuid;

use super::error::io;
use super::idempotency::is_requests;
use super::log::is_log;
use super::settings::RECORD;
use super::{CollectionName, StoreError};

const OWN: &str = ".quarry";
const MARK: &str = "store.json";
const MARKED: &[u8] = b"{\"magic\": \"quarry-store\", \"version\": 1}\n";
const NEW: &str = "new-";
const GONE: &str = "gone-";
/// Begins the name of a folder in which a merge is prepared.
pub(super) const MERGE: &str = "merge-";

/// A folder of collections, kept by this process.
#[derive(Debug)]
pub(super) struct StoreFolder {
    folder: PathBuf,
    own: PathBuf,
    _claim: Claim,
}

impl StoreFolder {
    /// Takes the folder, making it if it is not there, and removes what a crash left.
    pub(super) fn open(folder: &Path, address: &str) -> Result<Self, StoreError> {
        if folder.join(CURRENT).is_file() {
            return Err(StoreError::IsIndex { path: folder.to_owned() });
        }
        let own = folder.join(OWN);
        fs::create_dir_all(&own).map_err(io(&own))?;
        let storage = Storage::of(&own);
        let mark = own.join(MARK);
        if !mark.exists() {
            let other = |name: &String| name != "LOCK" && !owns(name);
            if storage.names()?.iter().any(other) {
                return Err(StoreError::Foreign { path: own });
            }
            storage.replace(MARK, MARKED)?;
            storage.sync()?;
            Storage::of(folder).sync()?;
        } else if storage.read(MARK)? != MARKED {
            return Err(StoreError::Foreign { path: mark });
        }
        let kept = Self { folder: folder.to_owned(), _claim: claim(&own, address)?, own };
        for name in storage.names()?.iter().filter(|name| is_passing(name)) {
            kept.discard(&kept.own.join(name))?;
        }
        Ok(kept)
    }

    /// Fails if another process holds the folder, or it is none for a store. Makes nothing.
    pub(super) fn expect_unheld(folder: &Path) -> Result<(), StoreError> {
        if folder.join(CURRENT).is_file() {
            return Err(StoreError::IsIndex { path: folder.to_owned() });
        }
        let own = folder.join(OWN);
        if own.join(MARK).is_file() {
            drop(claim(&own, "")?);
        }
        Ok(())
    }

    /// The store's own folder.
    pub(super) fn own(&self) -> &Path {
        &self.own
    }

    /// Where a collection lies or will lie.
    pub(super) fn path(&self, name: &CollectionName) -> PathBuf {
        self.folder.join(name.as_str())
    }

    /// A folder for a collection that is being made; nothing is there yet.
    pub(super) fn staged(&self) -> PathBuf {
        self.own.join(passing(NEW))
    }

    /// Gives what was made in a [`Self::staged`] folder its name, which is free. Durable on return.
    pub(super) fn publish(&self, staged: &Path, name: &CollectionName) -> Result<(), StoreError> {
        let target = self.path(name);
        fs::rename(staged, &target).map_err(io(&target))?;
        Storage::of(&self.own).sync()?;
        Ok(Storage::of(&self.folder).sync()?)
    }

    /// Takes a collection out of the store, durably, and returns where it lies; [`Self::discard`] removes it.
    pub(super) fn withdraw(&self, name: &CollectionName) -> Result<PathBuf, StoreError> {
        let (from, to) = (self.path(name), self.own.join(passing(GONE)));
        fs::rename(&from, &to).map_err(io(&from))?;
        Storage::of(&self.folder).sync()?;
        Storage::of(&self.own).sync()?;
        Ok(to)
    }

    /// Takes a folder of the store's own out of its place, durably, as [`Self::withdraw`] does a collection.
    pub(super) fn retire(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let to = self.own.join(passing(GONE));
        fs::rename(path, &to).map_err(io(path))?;
        if let Some(folder) = path.parent() {
            Storage::of(folder).sync()?;
        }
        Storage::of(&self.own).sync()?;
        Ok(to)
    }

    /// Removes a folder of the store's own with all in it. Readers that have its files mapped keep their bytes.
    pub(super) fn discard(&self, passing: &Path) -> Result<(), StoreError> {
        match fs::remove_dir_all(passing) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(StoreError::Io { path: passing.to_owned(), source })
            }
            _ => Ok(()),
        }
    }

    /// The collections that lie in the folder, and the names of other index folders, which cannot be served.
    pub(super) fn list(&self) -> Result<Listed, StoreError> {
        let mut listed = Listed::default();
        for name in Storage::of(&self.folder).names()? {
            if !self.folder.join(&name).join(CURRENT).is_file() {
                continue;
            }
            match name.parse() {
                Ok(name) => listed.collections.push(name),
                Err(_) => listed.misnamed.push(name),
            }
        }
        Ok(listed)
    }
}

/// What lies in a store's folder.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) collections: Vec<CollectionName>,
    pub(super) misnamed: Vec<String>,
}

/// A name in a collection's folder that neither an index nor a store uses.
pub(super) fn foreign(folder: &Path) -> Result<Option<String>, StoreError> {
    let work = folder.join(BUILD);
    let ours = |name: &String| match name.as_str() {
        BUILD => work.join(JOB).is_file(),
        name => {
            let is_file = folder.join(name).symlink_metadata().is_ok_and(|found| found.is_file());
            let path = folder.join(name);
            is_file && (name == RECORD || owns(name) || is_log(&path) || is_requests(&path))
        }
    };
    Ok(Storage::of(folder).names()?.into_iter().find(|name| !ours(name)))
}

/// A name that was never used, for a folder of the store's own that a crash leaves and a start removes.
pub(super) fn passing(kind: &str) -> String {
    format!("{kind}{}", Uuid::new_v4().simple())
}

/// Whether a folder has such a name.
fn is_passing(name: &str) -> bool {
    [NEW, GONE, MERGE].iter().any(|kind| name.strip_prefix(kind).is_some_and(is_uuid))
}
