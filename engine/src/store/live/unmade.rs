//! Changes of the log that there was no room to make when the collection was opened: it is searched as it was sealed, and
//! they are made when there is room.

use std::path::Path;
use std::time::{Duration, Instant};

use quarry_indexer::tidy;

use super::super::StoreError;
use super::super::head::Head;
use super::super::log::{Operation, Pending};
use super::super::replay::replay;
use super::{Live, locked};

/// Time between two attempts.
const TRIED_AFTER: Duration = Duration::from_secs(1);

/// Changes that are not made.
#[derive(Debug)]
pub(super) struct Unmade {
    /// Number of the last change before them.
    pub(super) applied: u64,
    operations: Vec<Operation>,
    /// When it was tried last.
    tried: Instant,
}

impl Unmade {
    /// Makes the changes of a log; gives them back where the disk has no room.
    pub(super) fn made(
        head: &mut Head<'_>,
        folder: &Path,
        applied: u64,
        pending: Pending,
    ) -> Result<Option<Self>, StoreError> {
        let Pending { operations, dropped: bytes } = pending;
        if bytes > 0 {
            tracing::warn!(
                bytes,
                "the log ends with a change that was not complete; it is dropped"
            );
        }
        let mut made = replay(head, applied, &operations);
        if made.as_ref().is_err_and(StoreError::is_full) {
            // What the crash left, and this attempt, takes room.
            let _ = tidy(folder);
            made = replay(head, applied, &operations);
        }
        match made {
            Ok(()) => Ok(None),
            Err(error) if error.is_full() => {
                let folder = folder.display();
                tracing::error!(%error, "{folder}: the changes of the log are made once there is room");
                Ok(Some(Self { applied, operations, tried: Instant::now() }))
            }
            Err(error) => Err(error),
        }
    }
}

impl Live {
    /// Number of changes of the log that are not made yet, for want of room on the disk: searches do not see them.
    #[must_use]
    pub fn unmade(&self) -> usize {
        locked(&self.unmade).as_ref().map_or(0, |unmade| unmade.operations.len())
    }

    pub(super) fn check_made(&self) -> Result<(), StoreError> {
        match self.unmade() {
            0 => Ok(()),
            changes => Err(StoreError::Unmade { changes }),
        }
    }

    /// Makes the changes of the log that there was no room for, if there is now.
    pub(super) fn make_up(&self) -> Result<(), StoreError> {
        let Some(_turn) = self.queue.free_turn() else { return Ok(()) };
        let claim = locked(&self.claim).clone();
        let Some(claim) = claim.as_deref() else { return Err(StoreError::Removed) };
        let mut unmade = locked(&self.unmade);
        let Some(all) = unmade.as_mut().filter(|all| all.tried.elapsed() >= TRIED_AFTER) else {
            return Ok(());
        };
        all.tried = Instant::now();
        let snapshot = self.collection.snapshot();
        let (collection, writer, next) = (&*self.collection, &self.writer, self.log().last() + 1);
        let mut head = Head { collection, writer, claim, snapshot, next };
        if let Err(error) = replay(&mut head, all.applied, &all.operations) {
            // What was written for it takes room itself.
            let _ = tidy(&self.folder);
            return Err(error);
        }
        self.collection.show(head.snapshot);
        *unmade = None;
        *locked(&self.visible) = self.log().last();
        self.seen.notify_all();
        *locked(&self.waiting) = Some(Instant::now());
        Ok(())
    }
}
