//! The thread that seals the collections of a store while it is open.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use super::live::Live;
use super::{CollectionName, StoreError};

/// The open collections of a store.
pub(super) type Open = RwLock<BTreeMap<CollectionName, Arc<Live>>>;

/// Time between two looks at the collections.
const LOOK: Duration = Duration::from_millis(100);

/// Tends the collections until the store is dropped.
pub(super) fn tend(open: &Arc<Open>) -> std::io::Result<()> {
    let open = Arc::downgrade(open);
    let thread = std::thread::Builder::new().name("seal".to_owned());
    thread.spawn(move || run(&open)).map(drop)
}

fn run(open: &Weak<Open>) {
    // The last error of each collection: the same one is logged once.
    let mut errors: BTreeMap<CollectionName, String> = BTreeMap::new();
    loop {
        std::thread::sleep(LOOK);
        let Some(open) = open.upgrade() else { return };
        let all: Vec<(CollectionName, Arc<Live>)> = {
            let open = open.read().unwrap_or_else(PoisonError::into_inner);
            open.iter().map(|(name, live)| (name.clone(), Arc::clone(live))).collect()
        };
        drop(open);
        errors.retain(|name, _| all.iter().any(|(there, _)| there == name));
        for (name, live) in all {
            match live.tend() {
                Ok(()) | Err(StoreError::Removed) => {
                    errors.remove(&name);
                }
                Err(error) => {
                    let error = error.to_string();
                    if errors.get(&name) != Some(&error) {
                        tracing::error!(
                            collection = name.as_str(),
                            error,
                            "not sealed; tried again"
                        );
                        errors.insert(name, error);
                    }
                }
            }
        }
    }
}
