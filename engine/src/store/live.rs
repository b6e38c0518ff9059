//! A collection that is searched and changed at the same time.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quarry_index::claim::Claim;
use quarry_index::folder::claim;
use quarry_indexer::MOST_SEGMENTS;

use super::apply::{MEMORY, apply};
use super::change::{Change, Changed};
use super::queue::Queue;
use super::{CollectionSettings, StoreError};
use crate::write::Writer;
use crate::{Collection, OpenOptions};

/// This many times [`MOST_SEGMENTS`], a change merges before it is made: merging in the background is behind.
const BEHIND: usize = 2;

/// A collection of a store. Changes are made one after another; searches do not wait for them.
pub struct Live {
    name: String,
    collection: Arc<Collection>,
    writer: Writer,
    settings: Option<CollectionSettings>,
    queue: Queue,
    merging: AtomicBool,
    removed: AtomicBool,
    claim: Mutex<Option<Claim>>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Live {
    /// Opens the collection in `folder`, and keeps it for writing; others are told `address`.
    pub(super) fn open(
        name: &str,
        folder: &Path,
        address: &str,
        options: &OpenOptions,
    ) -> Result<Self, StoreError> {
        let claim = claim(folder, address)?;
        let settings = CollectionSettings::read(folder)?;
        let collection = Collection::open(folder, options)?;
        Ok(Self {
            name: name.to_owned(),
            collection: Arc::new(collection),
            writer: Writer::open(folder, options.models.clone())?,
            settings,
            queue: Queue::default(),
            merging: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            claim: Mutex::new(Some(claim)),
        })
    }

    /// The collection, for searches.
    #[must_use]
    pub fn collection(&self) -> &Arc<Collection> {
        &self.collection
    }

    /// How it was made; `None` if a store did not make it.
    #[must_use]
    pub fn settings(&self) -> Option<&CollectionSettings> {
        self.settings.as_ref()
    }

    /// Makes a change. When this returns, it is committed to the disk and visible to every later search. Changes
    /// that wait at the same time are committed together where they can be. Blocks.
    ///
    /// Then merges the smallest segments in the background if there are more than
    /// [`MOST_SEGMENTS`](quarry_indexer::MOST_SEGMENTS); changes wait for that.
    ///
    /// # Errors
    /// If no ids are given, the collection was removed, or encoding or writing fails: nothing is changed then. A
    /// document that does not fit is no error, but named in the answer. [`StoreError::NotOpened`] if the change was
    /// made.
    pub fn change(self: &Arc<Self>, change: Change) -> Result<Changed, StoreError> {
        let outcome = self.queue.run(change, |changes| {
            if self.removed.load(Ordering::SeqCst) || !self.holds() {
                return changes.iter().map(|_| Err(StoreError::Removed)).collect();
            }
            if self.segments() >= BEHIND * MOST_SEGMENTS {
                self.merge();
            }
            apply(&self.collection, &self.writer, changes)
        });
        self.merge_if_many();
        outcome
    }

    /// Whether the collection's folder is still the one that was opened.
    pub(super) fn holds(&self) -> bool {
        let claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        claim.as_ref().is_some_and(Claim::holds)
    }

    fn segments(&self) -> usize {
        self.collection.snapshot().index().segments().len()
    }

    fn merge_if_many(self: &Arc<Self>) {
        if self.segments() <= MOST_SEGMENTS || self.merging.swap(true, Ordering::SeqCst) {
            return;
        }
        let merging = Merging(Arc::clone(self));
        let spawned = std::thread::Builder::new().name("merge".to_owned()).spawn(move || {
            let live = &merging.0;
            let _turn = live.queue.turn();
            if !live.removed.load(Ordering::SeqCst) && live.holds() {
                live.merge();
            }
        });
        if let Err(error) = spawned {
            tracing::error!(collection = self.name, %error, "no thread to merge segments in");
        }
    }

    /// Merges the smallest segments. The caller has the turn.
    fn merge(&self) {
        let merged = self.writer.merge_smallest(MEMORY, &|_| {});
        let merged = merged.and_then(|merged| {
            self.collection.reload_own()?;
            Ok(merged)
        });
        match merged {
            Ok(None) => {}
            Ok(Some(report)) => tracing::info!(
                collection = self.name,
                generation = report.generation,
                merged = report.merged,
                segments = report.segments,
                "merged"
            ),
            Err(error) => {
                tracing::error!(collection = self.name, %error, "segments cannot be merged");
            }
        }
    }

    /// Ends all changes; calls `withdraw` when none is made, and lets the folder go.
    pub(super) fn remove<T>(
        &self,
        withdraw: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _turn = self.queue.turn();
        if self.removed.load(Ordering::SeqCst) {
            return Err(StoreError::Removed);
        }
        let withdrawn = withdraw()?;
        self.removed.store(true, Ordering::SeqCst);
        drop(self.claim.lock().unwrap_or_else(PoisonError::into_inner).take());
        Ok(withdrawn)
    }
}

/// A merge in the background; however it ends, the next one may begin.
struct Merging(Arc<Live>);

impl Drop for Merging {
    fn drop(&mut self) {
        self.0.merging.store(false, Ordering::SeqCst);
    }
}
