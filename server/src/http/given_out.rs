//! Generations that were given out to followers, which stay a while so that their files can be fetched.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use quarry_engine::store::{CollectionName, Lease};

/// How long the files of a generation stay after it was given out.
const STAYS: Duration = Duration::from_secs(300);

/// The generations that were given out, by collection.
#[derive(Debug, Default)]
pub(crate) struct GivenOut(Mutex<BTreeMap<CollectionName, Vec<Out>>>);

#[derive(Debug)]
struct Out {
    since: Instant,
    generation: u64,
    _lease: Lease,
}

impl GivenOut {
    /// Keeps a generation.
    pub(super) fn keep(&self, name: &CollectionName, generation: u64, lease: Lease) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for kept in all.values_mut() {
            kept.retain(|out| out.since.elapsed() < STAYS);
        }
        all.retain(|_, kept| !kept.is_empty());
        let kept = all.entry(name.clone()).or_default();
        kept.retain(|out| out.generation != generation);
        kept.push(Out { since: Instant::now(), generation, _lease: lease });
    }
}
