//! Which merges of a collection run.

use std::sync::atomic::AtomicBool;
use std::sync::{Condvar, Mutex};

use uuid::Uuid;

/// The merges that run.
#[derive(Debug, Default)]
pub(super) struct Merges {
    /// Whether the smallest segments are being merged.
    pub(super) merging: Mutex<bool>,
    pub(super) merged: Condvar,
    /// The segments that are merged into one.
    pub(super) held: Mutex<Vec<Uuid>>,
    /// No merge begins any more.
    pub(super) ended: AtomicBool,
}
