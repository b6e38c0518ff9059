//! Snapshots of a store's collections: made, listed, given out, removed; and collections made of them.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use quarry_index::Storage;
use quarry_index::folder::link;

use super::super::error::io;
use super::super::live::Live;
use super::super::snapshots::{Packing, RECORD, SnapshotRecord, unpack};
use super::super::{CollectionName, CollectionSettings, StoreError};
use super::Store;
use crate::{Collection, Writer};

impl Store {
    /// Makes a snapshot of a collection as it is now, under a name that is free among its snapshots (by default the time):
    /// a moment's work that takes no space until the collection changes. It stays when the collection goes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::SnapshotExists`], or the disk refuses: nothing is left then.
    pub fn make_snapshot(
        &self,
        of: &CollectionName,
        name: Option<&CollectionName>,
    ) -> Result<SnapshotRecord, StoreError> {
        let _one = self.changing();
        let live = self.get(of);
        let live = live.ok_or_else(|| StoreError::NotFound { name: of.to_string() })?;
        let staged = self.folder.staged();
        self.snapshots.make(&live, of, (name, &staged)).inspect_err(|_| {
            // The first error matters more; what is left goes at the next start.
            let _ = self.folder.discard(&staged);
        })
    }

    /// The snapshots of a collection, oldest first; also of one that was removed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is neither a collection nor a snapshot; or the folder cannot be read.
    pub fn snapshots(&self, of: &CollectionName) -> Result<Vec<SnapshotRecord>, StoreError> {
        let all = self.snapshots.list(of)?;
        match all.is_empty() && self.get(of).is_none() {
            true => Err(StoreError::NotFound { name: of.to_string() }),
            false => Ok(all),
        }
    }

    /// A snapshot, to be written as an archive.
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`]; or it cannot be read.
    pub fn pack_snapshot(
        &self,
        of: &CollectionName,
        name: &CollectionName,
    ) -> Result<Packing, StoreError> {
        let record = self.snapshots.read(of, name)?;
        Packing::open(self.snapshots.path(of, name), record)
    }

    /// Removes a snapshot.
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`], or the disk refuses.
    pub fn remove_snapshot(
        &self,
        of: &CollectionName,
        name: &CollectionName,
    ) -> Result<(), StoreError> {
        let _one = self.changing();
        let record = self.snapshots.read(of, name)?;
        let path = self.snapshots.path(of, name);
        let ours = |file: &String| {
            file == RECORD || record.files.iter().any(|listed| listed.name == *file)
        };
        if let Some(found) = Storage::of(&path).names()?.into_iter().find(|file| !ours(file)) {
            let found = format!("it holds `{found}`");
            return Err(StoreError::NotOurs { name: name.to_string(), found });
        }
        let gone = self.folder.retire(&path)?;
        if let Err(error) = self.folder.discard(&gone) {
            tracing::warn!(%error, "the files of a removed snapshot go at the next start");
        }
        Ok(())
    }

    /// Makes a collection of a snapshot in the store, as it was then: a moment's work, but for reading it once.
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`]; [`StoreError::Exists`] if the name is taken; if a file is damaged, or the disk refuses.
    /// Nothing is left then.
    pub fn restore(
        &self,
        name: &CollectionName,
        (of, snapshot): (&CollectionName, &CollectionName),
    ) -> Result<Arc<Live>, StoreError> {
        self.expect_free(name)?;
        let from = self.snapshots.path(of, snapshot);
        self.snapshots.read(of, snapshot)?;
        self.restored(name, |staged| {
            link(&from, staged)?;
            match CollectionSettings::read(&from)? {
                Some(settings) => settings.write(staged),
                None => Ok(()),
            }
        })
    }

    /// Makes a collection of an archive of a snapshot, which is checked to the last byte before anything of it counts.
    ///
    /// # Errors
    /// [`StoreError::Archive`] if it is not whole, damaged or something else; [`StoreError::Exists`] if the name is taken; or
    /// the disk refuses. Nothing is left then.
    pub fn restore_archive(
        &self,
        name: &CollectionName,
        archive: impl Read,
    ) -> Result<Arc<Live>, StoreError> {
        self.expect_free(name)?;
        self.restored(name, |staged| {
            fs::create_dir(staged).map_err(io(staged))?;
            unpack(archive, staged).map(drop)
        })
    }

    /// Makes a collection of what `fill` leaves in a folder.
    fn restored(
        &self,
        name: &CollectionName,
        fill: impl FnOnce(&Path) -> Result<(), StoreError>,
    ) -> Result<Arc<Live>, StoreError> {
        self.shared.floors.check()?;
        let staged = self.folder.staged();
        let filled = fill(&staged).and_then(|()| self.check(&staged));
        let _one = self.changing();
        let made = filled.and_then(|()| {
            self.expect_free(name)?;
            self.folder.publish(&staged, name)
        });
        if let Err(error) = made {
            // The first error matters more; what is left goes at the next start.
            let _ = self.folder.discard(&staged);
            return Err(error);
        }
        self.open_now(name)
    }

    /// Opens a folder as a collection would be.
    fn check(&self, folder: &Path) -> Result<(), StoreError> {
        CollectionSettings::read(folder)?;
        Collection::open(folder, &self.options.open)?;
        Writer::open(folder, self.options.open.models.clone())?;
        Ok(())
    }
}
