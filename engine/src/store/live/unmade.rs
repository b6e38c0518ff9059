//! The changes of the log that wait for room on the disk (`../unmade.rs`): how many there are, and another attempt.

use std::sync::Arc;
use std::time::Instant;

use quarry_indexer::tidy;

use super::super::StoreError;
use super::super::head::Head;
use super::super::replay::replay;
use super::{Live, locked};

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
        // Not locked while they are made, which may take long: others ask how many there are.
        let (applied, operations) = {
            let mut unmade = locked(&self.unmade);
            let Some(unmade) = unmade.as_mut() else { return Ok(()) };
            if !unmade.is_due() {
                return Ok(());
            }
            (unmade.applied, Arc::clone(&unmade.operations))
        };
        let snapshot = self.collection.snapshot();
        let (collection, writer, next) = (&*self.collection, &self.writer, self.log().last() + 1);
        let mut head = Head { collection, writer, claim, snapshot, next };
        if let Err(error) = replay(&mut head, applied, &operations) {
            // What was written for it takes room itself.
            let _ = tidy(&self.folder);
            return Err(error);
        }
        self.collection.show(head.snapshot);
        *locked(&self.unmade) = None;
        *locked(&self.visible) = self.log().last();
        self.seen.notify_all();
        *locked(&self.waiting) = Some(Instant::now());
        Ok(())
    }
}
