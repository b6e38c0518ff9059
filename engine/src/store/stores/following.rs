//! A store's collections given to followers, and those of a leader taken.

use std::fs::{self, File};
use std::sync::Arc;

use quarry_index::folder::Lease;

use super::super::error::io;
use super::super::following::{Fetch, Followed, Given, fill, take_in};
use super::super::{CollectionName, StoreError};
use super::Store;

/// A store that follows another one.
#[derive(Debug)]
pub struct Follower {
    store: Arc<Store>,
    followed: Followed,
}

impl Store {
    /// The sealed generation of a collection. As long as the lease exists, its files stay.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or it cannot be read.
    pub fn give(&self, name: &CollectionName) -> Result<(Given, Lease), StoreError> {
        let live = self.get(name);
        let live = live.ok_or_else(|| StoreError::NotFound { name: name.to_string() })?;
        Given::of(&self.folder.path(name), live.settings())
    }

    /// A file of a generation that was given, with its length; `None` if there is none of this name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or it cannot be opened.
    pub fn give_file(
        &self,
        name: &CollectionName,
        file: &str,
    ) -> Result<Option<(File, u64)>, StoreError> {
        if self.get(name).is_none() {
            return Err(StoreError::NotFound { name: name.to_string() });
        }
        let Some(path) = super::super::following::place(&self.folder.path(name), file) else {
            return Ok(None);
        };
        if !path.symlink_metadata().is_ok_and(|found| found.is_file()) {
            return Ok(None);
        }
        let opened = File::open(&path).map_err(io(&path))?;
        let bytes = opened.metadata().map_err(io(&path))?.len();
        Ok(Some((opened, bytes)))
    }

    /// Marks the store as one that follows the store of a server.
    ///
    /// # Errors
    /// [`StoreError::NotFollowed`] if there are collections that were not taken from a leader.
    pub fn follow(&self, leader: &str) -> Result<(), StoreError> {
        let there = self.folder.list()?.collections;
        Followed::begin(self.folder.own(), leader, &there).map(drop)
    }

    /// Follows no other store any more: what was taken is this store's own.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn follow_none(&self) -> Result<(), StoreError> {
        Followed::end(self.folder.own())
    }
}

impl Follower {
    /// Follows from now on: the store's collections are replaced by the leader's.
    ///
    /// # Errors
    /// As [`Store::follow`].
    pub fn begin(store: Arc<Store>, leader: &str) -> Result<Self, StoreError> {
        let there = store.folder.list()?.collections;
        let followed = Followed::begin(store.folder.own(), leader, &there)?;
        Ok(Self { store, followed })
    }

    /// The collections that were taken.
    #[must_use]
    pub fn names(&self) -> Vec<CollectionName> {
        self.followed.names().iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Whether a collection is at a generation.
    #[must_use]
    pub fn is_at(&self, name: &CollectionName, (index, generation): (uuid::Uuid, u64)) -> bool {
        self.store.get(name).is_some_and(|live| {
            let version = live.collection().snapshot().version();
            (version.index, version.generation) == (index, generation)
        })
    }

    /// Makes a collection what the leader gave; `fetch` gets a file to a path. Searches go on meanwhile.
    ///
    /// # Errors
    /// If a file does not come as it was said to be, cannot be opened, or the disk refuses: the generation of before stays.
    pub fn take(
        &self,
        name: &CollectionName,
        given: &Given,
        fetch: Fetch<'_>,
    ) -> Result<(), StoreError> {
        let store = &self.store;
        let aside = store.folder.staged();
        fs::create_dir(&aside).map_err(io(&aside))?;
        let taken = self.taken(name, given, (&aside, fetch));
        // What was moved into place is no longer there.
        let _ = store.folder.discard(&aside);
        taken
    }

    fn taken(
        &self,
        name: &CollectionName,
        given: &Given,
        (aside, fetch): (&std::path::Path, Fetch<'_>),
    ) -> Result<(), StoreError> {
        let store = &self.store;
        let folder = store.folder.path(name);
        self.followed.note(name, true)?;
        let same =
            |live: &super::super::Live| live.collection().snapshot().version().index == given.index;
        if let Some(live) = store.get(name).filter(|live| same(live)) {
            fill(given, (&folder, aside), fetch)?;
            let _one = store.changing();
            take_in(given, aside, &folder)?;
            live.reload_if_newer()?;
            live.tidy();
            return Ok(());
        }
        fill(given, (aside, aside), fetch)?;
        if let Some(settings) = &given.settings {
            settings.write(aside)?;
        }
        take_in(given, aside, aside)?;
        let _one = store.changing();
        if let Some(old) = store.get(name) {
            // Another index under the same name.
            store.close_and_withdraw(name, &old)?;
        } else if folder.symlink_metadata().is_ok() {
            // One that cannot be opened.
            store.discard(&store.folder.withdraw(name)?);
        }
        store.folder.publish(aside, name)?;
        store.open_now(name).map(drop)
    }

    /// Removes a collection that the leader has no longer.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn drop_collection(&self, name: &CollectionName) -> Result<(), StoreError> {
        let _one = self.store.changing();
        if let Some(old) = self.store.get(name) {
            self.store.close_and_withdraw(name, &old)?;
        }
        self.followed.note(name, false)
    }
}
