//! What a job sees of its task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::StoreError;

/// Who is told of progress.
pub(super) trait Told: Send + Sync {
    /// A stage begins, with so much to do.
    fn stage(&self, id: &str, stage: &str, total: Option<u64>);
    /// So much of it is done.
    fn done(&self, id: &str, done: u64);
}

/// A task, for the job that does it.
pub(in crate::store) struct Work {
    id: String,
    cancelled: Arc<AtomicBool>,
    told: Arc<dyn Told>,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Work {
    pub(super) fn new(id: String, cancelled: Arc<AtomicBool>, told: Arc<dyn Told>) -> Self {
        Self { id, cancelled, told }
    }

    /// A stage begins. `total` is how much there is to do in it, if that is known.
    pub(in crate::store) fn stage(&self, stage: &str, total: Option<u64>) {
        self.told.stage(&self.id, stage, total);
    }

    /// So much of the stage is done, in all.
    pub(in crate::store) fn done(&self, done: u64) {
        self.told.done(&self.id, done);
    }

    /// [`StoreError::Cancelled`] once the task is to end.
    pub(in crate::store) fn check(&self) -> Result<(), StoreError> {
        match self.cancelled.load(Ordering::SeqCst) {
            true => Err(StoreError::Cancelled),
            false => Ok(()),
        }
    }
}
