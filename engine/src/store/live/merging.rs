//! Merges of a collection's segments beside its changes.
//!
//! 1. after a change, the smallest segments are merged if there are too many; a change waits where that is behind
//! 2. all segments that are there can be merged into one, which may take long (`merge_all`): those that come meanwhile are
//!    merged among themselves  3. either way the segment is written aside, and changes wait only for its commit

use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use quarry_indexer::{Event, MOST_SEGMENTS, MergeBeside, MergeReport};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::StoreError;
use super::super::error::io;
use super::super::folder::{MERGE, passing};
use super::super::head::MEMORY;
use super::super::merges::Merges;
use super::super::tasks::Work;
use super::{Live, locked};

/// From this many times [`MOST_SEGMENTS`] on, a change waits for the merge in the background, which is behind.
const BEHIND: usize = 4;

impl Live {
    /// Segments that are not being merged as a whole.
    fn segments(&self) -> usize {
        let held = locked(&self.merges.held).clone();
        let snapshot = self.collection.snapshot();
        let segments = snapshot.index().segments().iter();
        segments.filter(|segment| !held.contains(&segment.entry().id)).count()
    }

    /// Lets a merge that is behind end.
    pub(super) fn wait_for_merge(&self) {
        let Merges { merging, merged, .. } = &self.merges;
        let mut merging = locked(merging);
        while *merging && self.segments() >= BEHIND * MOST_SEGMENTS {
            merging = merged.wait(merging).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn merge_if_many(self: &Arc<Self>) {
        let Merges { merging, ended, .. } = &self.merges;
        if ended.load(Ordering::SeqCst) {
            return;
        }
        // A merge writes new files before the old ones go.
        let room = self.segments() > MOST_SEGMENTS && self.floors.has_room_to_merge();
        if !room || std::mem::replace(&mut *locked(merging), true) {
            return;
        }
        let merging = Merging(Arc::clone(self));
        let spawned = std::thread::Builder::new().name("merge".to_owned()).spawn(move || {
            let live = &merging.0;
            let held = locked(&live.merges.held).clone();
            let merged = live.merge_beside(MergeBeside::PolicyWithout(&held), &|_| {}, &|| Ok(()));
            let done = matches!(merged, Ok(Some(_)));
            live.told(merged);
            let live = Arc::clone(live);
            drop(merging);
            // Changes that came meanwhile found one at work.
            if done {
                live.merge_if_many();
            }
        });
        if let Err(error) = spawned {
            tracing::error!(collection = self.name, %error, "no thread to merge segments in");
        }
    }

    /// Lets no merge begin any more, and waits for one that runs.
    pub(in crate::store) fn end_merges(&self) {
        let Merges { merging, merged, ended, .. } = &self.merges;
        ended.store(true, Ordering::SeqCst);
        let mut merging = locked(merging);
        while *merging {
            merging = merged.wait(merging).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Merges all segments that are there now into one, without what was deleted; changes go on meanwhile.
    ///
    /// # Errors
    /// If the task is cancelled, or the disk refuses: nothing is changed then.
    pub(in crate::store) fn merge_all(&self, work: &Work) -> Result<Value, StoreError> {
        work.stage("waiting for another merge", None);
        let Merges { merging, merged, held, .. } = &self.merges;
        let mut at_work = locked(merging);
        while *at_work || !locked(held).is_empty() {
            at_work = merged.wait(at_work).unwrap_or_else(PoisonError::into_inner);
        }
        work.check()?;
        let ids: Vec<Uuid> = {
            let mut held = locked(held);
            let snapshot = self.collection.snapshot();
            held.extend(snapshot.index().segments().iter().map(|segment| segment.entry().id));
            held.clone()
        };
        let _whole = Whole(self);
        drop(at_work);
        let progress = |event: Event| match event {
            Event::Stage { name, total } => work.stage(name, Some(total)),
            Event::Step { done } => work.done(done),
            Event::Documents { .. } | Event::Resumed { .. } => {}
        };
        let report = self.merge_beside(MergeBeside::These(&ids), &progress, &|| work.check())?;
        Ok(match report {
            Some(MergeReport { generation, merged, segments, dropped }) => json!({
                "generation": generation, "merged": merged, "segments": segments, "dropped": dropped,
            }),
            None => json!({"merged": 0, "segments": ids.len(), "dropped": 0}),
        })
    }

    /// Merges segments; changes go on until that is done, but for a moment at its end. `check` is asked before that.
    fn merge_beside(
        &self,
        which: MergeBeside<'_>,
        progress: &(dyn Fn(Event) + Sync),
        check: &dyn Fn() -> Result<(), StoreError>,
    ) -> Result<Option<MergeReport>, StoreError> {
        let work = self.work.join(passing(MERGE));
        fs::create_dir(&work).map_err(io(&work))?;
        let merged = self.writer.prepare_merge(which, &work, (MEMORY, progress));
        let merged = merged.map_err(StoreError::from).and_then(|prepared| {
            let Some(prepared) = prepared else { return Ok(None) };
            check()?;
            let _turn = self.queue.turn();
            if self.removed.load(Ordering::SeqCst) || !self.holds() {
                return Err(StoreError::Removed);
            }
            let merged = self.writer.install_merge(prepared)?;
            self.collection.reload_own()?;
            Ok(merged)
        });
        if let Err(error) = fs::remove_dir_all(&work) {
            let work = work.display();
            tracing::warn!(%error, "the work of a merge, {work}, goes at the next start");
        }
        merged
    }

    fn told(&self, merged: Result<Option<MergeReport>, StoreError>) {
        match merged {
            Ok(None) | Err(StoreError::Removed) => {}
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
}

/// A merge in the background; however it ends, the next one may begin.
struct Merging(Arc<Live>);

impl Drop for Merging {
    fn drop(&mut self) {
        *locked(&self.0.merges.merging) = false;
        self.0.merges.merged.notify_all();
    }
}

/// A merge of all segments; however it ends, they are free again.
struct Whole<'a>(&'a Live);

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        let Merges { merging, merged, held, .. } = &self.0.merges;
        // Who waits looks under this lock.
        let _one = locked(merging);
        locked(held).clear();
        merged.notify_all();
    }
}
