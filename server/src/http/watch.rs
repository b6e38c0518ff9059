//! Opens generations that other programs commit while the server runs, and collections that they leave.
//!
//! 1. every half second, and at once when asked (`reload`), compare each folder's generation with the one served
//! 2. open a newer one on a blocking thread; requests use the old one until it is open, and each sees only one
//! 3. one that cannot be opened is logged once; the old one stays. It is tried again when the folder changes, and
//!    otherwise after pauses that double, up to half a minute

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use quarry_engine::Version;

/// Time between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// Longest pause between two attempts to open the same generation.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The collections whose newest generation cannot be opened.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    refused: Mutex<BTreeMap<String, Refused>>,
    /// Index folders without a name of a collection.
    passed_over: Mutex<BTreeSet<String>>,
}

/// An attempt to open a generation.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    /// The collection.
    pub(crate) name: &'a str,
    /// When its folder last changed.
    pub(crate) changed: Option<SystemTime>,
    /// Without regard to pauses.
    pub(crate) at_once: bool,
    /// What is logged if it fails.
    pub(crate) what: &'static str,
}

/// A generation that cannot be opened.
#[derive(Debug)]
struct Refused {
    message: String,
    changed: Option<SystemTime>,
    pause: Duration,
    next: Instant,
}

impl Watch {
    fn refused(&self) -> MutexGuard<'_, BTreeMap<String, Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the newest generation of this collection cannot be opened.
    pub(crate) fn refuses(&self, name: &str) -> bool {
        self.refused().contains_key(name)
    }

    /// Number of collections of which an older generation is served, or none.
    pub(crate) fn stale(&self) -> usize {
        self.refused().len()
    }

    /// Forgets collections that are gone.
    pub(crate) fn retain(&self, there: impl Fn(&str) -> bool) {
        self.refused().retain(|name, _| there(name));
    }

    /// Logs each of these folders once.
    pub(crate) fn passed_over(&self, folders: Vec<String>) {
        let mut known = self.passed_over.lock().unwrap_or_else(PoisonError::into_inner);
        for folder in folders {
            if !known.contains(&folder) {
                tracing::warn!(
                    folder,
                    "an index that is not served: names of collections have a-z, 0-9, - and _"
                );
                known.insert(folder);
            }
        }
    }

    /// Calls `open`, unless an earlier failure has to rest; it gives the version that it opened, if one was newer.
    pub(crate) fn attempt<E: Error>(
        &self,
        attempt: &Attempt<'_>,
        open: impl FnOnce() -> Result<Option<Version>, E>,
    ) {
        let Attempt { name, changed, at_once, .. } = *attempt;
        let waits = |refused: &Refused| refused.changed == changed && Instant::now() < refused.next;
        if !at_once && self.refused().get(name).is_some_and(waits) {
            return;
        }
        match open() {
            Ok(opened) => {
                self.refused().remove(name);
                if let Some(Version { index, generation, .. }) = opened {
                    tracing::info!(collection = name, %index, generation, "opened");
                }
            }
            Err(error) => self.refuse(attempt, error.to_string()),
        }
    }

    fn refuse(&self, attempt: &Attempt<'_>, message: String) {
        let Attempt { name, changed, what, .. } = *attempt;
        let mut all = self.refused();
        let before = all.get(name).filter(|before| before.message == message);
        if before.is_none() {
            tracing::error!(collection = name, error = message, "{what}");
        }
        let pause = before.map_or(LOOK, |before| (before.pause * 2).min(LONGEST_PAUSE));
        let next = Instant::now() + pause;
        all.insert(name.to_owned(), Refused { message, changed, pause, next });
    }
}
