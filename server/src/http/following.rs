//! Follows a leader.
//!
//! 1. every second its sealed generations are compared with those that are served here  2. of those that differ, the files
//!    that are lacking are fetched, and the generation is opened, while the old one is searched  3. a collection that the
//!    leader says it has not is removed  4. where the leader does not answer, what was fetched is served; how long ago both
//!    were level is told

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use quarry_engine::store::{CollectionName, Follower, Store};
use quarry_transfer::Client;

use super::leader::{Leader, LeaderError};

/// Time between two looks.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// A leader that is followed.
#[derive(Debug)]
pub(crate) struct Following {
    pub(crate) leader: Leader,
    client: Client,
    follower: OnceLock<Follower>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When a look began after which both were level; before that, when following began.
    level: Instant,
    once: bool,
    /// The last error: the same one is logged once.
    error: Option<String>,
}

impl Following {
    pub(crate) fn new(leader: Leader) -> Self {
        let state = State { level: Instant::now(), once: false, error: None };
        let (client, follower) = (Client::new(), OnceLock::new());
        Self { leader, client, follower, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since it was known to be level with the leader.
    pub(crate) fn behind(&self) -> Duration {
        self.state().level.elapsed()
    }

    /// Whether it was level with the leader since it was started.
    pub(crate) fn was_level(&self) -> bool {
        self.state().once
    }

    /// Looks once. Blocks.
    pub(super) fn look(&self, store: &Arc<Store>) {
        let began = Instant::now();
        let looked = self.compare(store);
        let mut state = self.state();
        match looked {
            Ok(()) => {
                if state.error.take().is_some() {
                    tracing::info!("level with the leader again");
                }
                (state.level, state.once) = (began, true);
            }
            Err(LeaderError(error)) => {
                if state.error.as_ref() != Some(&error) {
                    tracing::error!(error, "not level with the leader; tried again");
                }
                state.error = Some(error);
            }
        }
    }

    fn compare(&self, store: &Arc<Store>) -> Result<(), LeaderError> {
        let failed = |error: &dyn std::error::Error| LeaderError(error.to_string());
        let follower = match self.follower.get() {
            Some(follower) => follower,
            None => {
                let begun = Follower::begin(Arc::clone(store), &self.leader.address());
                let begun = begun.map_err(|error| failed(&error))?;
                self.follower.get_or_init(|| begun)
            }
        };
        let all = self.leader.generations(&self.client)?.generations;
        let mut there = Vec::new();
        // One that cannot be taken does not keep the others.
        let mut first = Ok(());
        for one in all {
            let Ok(name) = one.collection.parse::<CollectionName>() else { continue };
            let version = one.index.id.parse().map(|index| (index, one.index.generation));
            if !version.is_ok_and(|version| follower.is_at(&name, version)) {
                first = first.and(self.take(follower, &name));
            }
            there.push(name);
        }
        for name in follower.names().into_iter().filter(|name| !there.contains(name)) {
            // Not listed is not yet gone: the key may have changed.
            if self.leader.generation(&self.client, &name)?.is_none() {
                follower.drop_collection(&name).map_err(|error| failed(&error))?;
                tracing::info!(collection = name.as_str(), "removed, as by the leader");
            }
        }
        first
    }

    fn take(&self, follower: &Follower, name: &CollectionName) -> Result<(), LeaderError> {
        let Some(given) = self.leader.generation(&self.client, name)? else { return Ok(()) };
        let fetch = |file: &_, path: &_| self.leader.fetch(&self.client, (name, file), path);
        let taken = follower.take(name, &given, &fetch);
        taken.map_err(|error| LeaderError(format!("{name}: {error}")))?;
        tracing::info!(
            collection = name.as_str(),
            generation = given.generation,
            seq = given.sequence,
            "taken from the leader"
        );
        Ok(())
    }
}
