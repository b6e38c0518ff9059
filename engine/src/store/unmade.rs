//! Changes of the log that there was no room to make when the collection was opened: it is searched as it was sealed, and
//! they are made when there is room (`live/unmade.rs`).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quarry_indexer::tidy;

use super::StoreError;
use super::head::Head;
use super::log::{Operation, Pending};
use super::replay::replay;

/// Time between two attempts.
const TRIED_AFTER: Duration = Duration::from_secs(1);

/// Changes that are not made.
#[derive(Debug)]
pub(super) struct Unmade {
    /// Number of the last change before them.
    pub(super) applied: u64,
    pub(super) operations: Arc<Vec<Operation>>,
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
                let operations = Arc::new(operations);
                Ok(Some(Self { applied, operations, tried: Instant::now() }))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether it is time to try again; the next time is a while later.
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.tried.elapsed() >= TRIED_AFTER;
        if due {
            self.tried = Instant::now();
        }
        due
    }
}
