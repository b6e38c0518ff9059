//! Names that are taken by collections which are not there yet.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::CollectionName;

/// The names.
pub(super) type Names = Arc<Mutex<BTreeSet<CollectionName>>>;

/// A name that nobody else may take, until this is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    names: Names,
    name: CollectionName,
}

impl Reserved {
    /// Takes a name that is free.
    pub(super) fn take(names: &Names, name: &CollectionName) -> Self {
        names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        Self { names: Arc::clone(names), name: name.clone() }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}
