//! Who is told which documents of a collection change.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::log::Operation;

/// The ids of documents that changed, each once, until they are taken.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    ids: Mutex<BTreeSet<String>>,
    /// Whether something changed that was not told.
    lost: AtomicBool,
}

impl Watcher {
    /// Takes what changed so far; `None` if that is unknown.
    pub(super) fn take(&self) -> Option<BTreeSet<String>> {
        let ids = std::mem::take(&mut *locked(&self.ids));
        (!self.lost.load(Ordering::SeqCst)).then_some(ids)
    }

    /// Documents that changed and were not taken.
    pub(super) fn waiting(&self) -> usize {
        locked(&self.ids).len()
    }
}

/// Those who watch a collection. One that is dropped is forgotten.
#[derive(Debug, Default)]
pub(super) struct Watchers(Mutex<Vec<Weak<Watcher>>>);

impl Watchers {
    /// A watcher of all that changes from now on.
    pub(super) fn add(&self) -> Arc<Watcher> {
        let watcher = Arc::default();
        locked(&self.0).push(Arc::downgrade(&watcher));
        watcher
    }

    /// Tells what an operation changes.
    pub(super) fn tell(&self, operation: &Operation) {
        self.each(|watcher| {
            let mut ids = locked(&watcher.ids);
            match operation.did() {
                Some(Operation::Put(entries)) => {
                    ids.extend(entries.iter().map(|e| e.id().to_owned()));
                }
                Some(Operation::Delete(gone)) => ids.extend(gone.iter().cloned()),
                Some(Operation::Keyed(_)) | None => {}
            }
        });
    }

    /// Tells that anything may have changed.
    pub(super) fn lose(&self) {
        self.each(|watcher| watcher.lost.store(true, Ordering::SeqCst));
    }

    fn each(&self, tell: impl Fn(&Watcher)) {
        locked(&self.0).retain(|watcher| match watcher.upgrade() {
            Some(watcher) => {
                tell(&watcher);
                true
            }
            None => false,
        });
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
