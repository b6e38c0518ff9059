//! The collections of a folder by their names. Snapshots of them are in `stores/saving.rs`, copies that are made otherwise in
//! `stores/copies.rs`.

mod copies;
mod following;
mod names;
mod saving;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use quarry_encoders::{EncoderError, Hub};
use quarry_index::Storage;
use quarry_index::folder::CURRENT;
use quarry_indexer::SealOptions;
use quarry_vectors::Document;
use serde_json::Value;

use super::aliases::{self, AliasAction, Aliases};
use super::encoding::{EncodeFigures, EncodeQueue};
use super::error::io;
use super::floors::Floors;
use super::folder::{Listed, StoreFolder, foreign};
use super::live::{Live, Shared};
use super::room::Room;
use super::snapshots::Snapshots;
use super::tasks::{Task, TaskKind, Tasks};
use super::tending::{Open, tend};
use super::{CollectionModel, CollectionName, CollectionSettings, StoreError};
use crate::write::{Build, Encoding, PassageSize, build_documents};
use crate::{EngineError, ModelSource, OpenOptions};
pub use following::Follower;
use names::Names;

/// Longest time that tasks are given to end when a store is closed.
const TASKS_END: Duration = Duration::from_secs(5);
/// Tokens that neighbouring passages share, at most half of one.
const PASSAGE_OVERLAP: u32 = 32;

/// How a store opens its collections.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Address of the store's server, such as `http://127.0.0.1:7878`; other writers are told it.
    pub address: String,
    /// How each collection is opened. Its models are those that collections can be made with.
    pub open: OpenOptions,
}

/// Limits on what a store takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLimits {
    /// Most bytes of texts that wait to be encoded, in all collections. Further ones are refused; a change with more
    /// texts is admitted when none wait.
    pub encode_bytes: usize,
    /// Free bytes of the disk below which no documents are taken; 0: none. By default 1 GiB, or a twentieth of the disk if
    /// that is less.
    pub min_free_disk: Option<u64>,
    /// Free bytes of memory below which no documents are taken; 0: none. By default 128 MiB, or a fiftieth of memory if
    /// that is less.
    pub min_free_memory: Option<u64>,
}

impl Default for StoreLimits {
    /// 16 MiB of texts, and floors by the size of the machine.
    fn default() -> Self {
        Self { encode_bytes: 16 << 20, min_free_disk: None, min_free_memory: None }
    }
}

/// A folder of collections.
#[derive(Debug)]
pub struct Store {
    folder: StoreFolder,
    options: StoreOptions,
    open: Arc<Open>,
    shared: Shared,
    aliases: RwLock<Aliases>,
    /// Collections are made, opened and removed one at a time; aliases are changed as well.
    changing: Mutex<()>,
    tasks: Tasks,
    snapshots: Snapshots,
    /// Taken by collections that are being made.
    reserved: Names,
}

/// A collection that was made, or was there.
#[derive(Debug)]
pub struct Made {
    /// The collection.
    pub live: Arc<Live>,
    /// Whether it was made now; otherwise there was one with the same settings.
    pub new: bool,
}

impl Store {
    /// Whether another process holds a folder of collections: to be asked before anything is said of serving it.
    ///
    /// # Errors
    /// If one does, which is named, or the folder cannot be a store's.
    pub fn expect_unheld(folder: &Path) -> Result<(), StoreError> {
        StoreFolder::expect_unheld(folder)
    }

    /// Takes a folder, making it if it is not there, and removes what a crash left of collections that were being
    /// made or removed. No collection is opened; see [`Self::look`].
    ///
    /// # Errors
    /// If another process holds the folder, which is named; something else lies under the name that a store needs; or
    /// the system refuses.
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Self::with_limits(folder, options, &StoreLimits::default())
    }

    /// The same with limits of one's own.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn with_limits(
        folder: &Path,
        options: StoreOptions,
        limits: &StoreLimits,
    ) -> Result<Self, StoreError> {
        let path = folder;
        let folder = StoreFolder::open(folder, &options.address)?;
        let aliases = RwLock::new(aliases::read(&Storage::of(folder.own()))?);
        let open = Arc::new(Open::default());
        tend(&open).map_err(io(path))?;
        let tasks = Tasks::open(folder.own());
        let (changing, snapshots) = (Mutex::default(), Snapshots::of(folder.own()));
        let reserved = Names::default();
        let encoding = Arc::new(EncodeQueue::new(limits.encode_bytes));
        let (disk, memory) = (limits.min_free_disk, limits.min_free_memory);
        let floors = Arc::new(Floors::new(path, disk, memory));
        let shared = Shared { kept: Arc::default(), encoding, floors };
        Ok(Self { folder, options, open, shared, aliases, changing, tasks, snapshots, reserved })
    }

    /// What is free of disk and memory, and the floors.
    #[must_use]
    pub fn room(&self) -> Room {
        self.shared.floors.room()
    }

    /// What was encoded, and what waits for it.
    #[must_use]
    pub fn encoding(&self) -> EncodeFigures {
        self.shared.encoding.figures()
    }

    /// Ends all tasks and changes, and seals what was made. A collection that cannot be sealed keeps its log, and is logged.
    pub fn close(&self) {
        self.tasks.close(TASKS_END);
        let _one = self.changing();
        for (name, live) in self.collections() {
            if let Err(error) = live.close() {
                tracing::error!(collection = name.as_str(), %error, "not sealed; its log is kept");
            }
        }
    }

    /// The open collections, by name.
    #[must_use]
    pub fn collections(&self) -> Vec<(CollectionName, Arc<Live>)> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.iter().map(|(name, live)| (name.clone(), Arc::clone(live))).collect()
    }

    /// An open collection.
    #[must_use]
    pub fn get(&self, name: &CollectionName) -> Option<Arc<Live>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The aliases with their collections, by name.
    #[must_use]
    pub fn aliases(&self) -> Vec<(CollectionName, CollectionName)> {
        let aliases = self.aliases.read().unwrap_or_else(PoisonError::into_inner);
        aliases.iter().map(|(alias, of)| (alias.clone(), of.clone())).collect()
    }

    /// The collection that an alias names; `None` if there is no such alias, or a collection came into the folder under
    /// its name.
    #[must_use]
    pub fn named_by(&self, alias: &CollectionName) -> Option<CollectionName> {
        let aliases = self.aliases.read().unwrap_or_else(PoisonError::into_inner);
        aliases.get(alias).filter(|_| self.get(alias).is_none()).cloned()
    }

    /// The aliases of a collection.
    #[must_use]
    pub fn aliases_of(&self, name: &CollectionName) -> Vec<CollectionName> {
        aliases::of(&self.aliases.read().unwrap_or_else(PoisonError::into_inner), name)
    }

    /// Makes, switches and removes aliases, all at once and durably; gives all of them as they are then.
    ///
    /// # Errors
    /// [`StoreError::Shadows`] if an alias would have the name of a collection, [`StoreError::NotFound`] if there is no
    /// such collection, [`StoreError::NoAlias`]; or if the disk refuses. Nothing is changed then.
    pub fn change_aliases(
        &self,
        actions: &[AliasAction],
    ) -> Result<Vec<(CollectionName, CollectionName)>, StoreError> {
        let _one = self.changing();
        let before = self.aliases.read().unwrap_or_else(PoisonError::into_inner).clone();
        let is_there = |name: &CollectionName| {
            self.get(name).is_some()
                || self.folder.path(name).symlink_metadata().is_ok()
                || self.reserved.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
        };
        let is_open = |name: &CollectionName| self.get(name).is_some();
        let after = aliases::changed(&before, actions, is_there, is_open)?;
        if after != before {
            aliases::write(&Storage::of(self.folder.own()), &after)?;
            *self.aliases.write().unwrap_or_else(PoisonError::into_inner) = after;
        }
        Ok(self.aliases())
    }

    /// Refuses the name of an alias for a new collection.
    fn expect_no_alias(&self, name: &CollectionName) -> Result<(), StoreError> {
        let aliases = self.aliases.read().unwrap_or_else(PoisonError::into_inner);
        match aliases.contains_key(name) {
            true => Err(StoreError::IsAlias { name: name.to_string() }),
            false => Ok(()),
        }
    }

    /// Where a collection lies, or would.
    #[must_use]
    pub fn path(&self, name: &CollectionName) -> PathBuf {
        self.folder.path(name)
    }

    /// Closes collections whose folders are gone, and gives the names of those that are not open yet
    /// ([`Self::open_collection`]), then those of index folders that have no name of a collection.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn look(&self) -> Result<(Vec<CollectionName>, Vec<String>), StoreError> {
        let _one = self.changing();
        let Listed { mut collections, misnamed } = self.folder.list()?;
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.retain(|name, live| collections.contains(name) && live.holds());
        collections.retain(|name| !open.contains_key(name));
        Ok((collections, misnamed))
    }

    /// Opens a collection that lies in the folder.
    ///
    /// # Errors
    /// If another process writes to it, or it cannot be opened.
    pub fn open_collection(&self, name: &CollectionName) -> Result<Arc<Live>, StoreError> {
        let _one = self.changing();
        match self.get(name) {
            Some(live) => Ok(live),
            None => self.open_now(name),
        }
    }

    /// Makes an empty collection. If there is one with the same settings, that is it.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::NotOurs`]; [`StoreError::Setting`] if a model is not there or a setting
    /// cannot be had; if a model or the disk fails. Nothing is left then, unless the collection was made and cannot be
    /// opened: asked again, this opens it.
    pub fn make(
        &self,
        name: &CollectionName,
        settings: &CollectionSettings,
    ) -> Result<Made, StoreError> {
        let _one = self.changing();
        let path = self.folder.path(name);
        let there = match self.get(name) {
            None if path.join(CURRENT).is_file() => Some(self.open_now(name)?),
            open => open,
        };
        if let Some(live) = there {
            let before = live.settings().ok_or_else(|| not_made(name))?;
            return match before.differs(settings) {
                None => Ok(Made { live, new: false }),
                Some(differs) => Err(StoreError::Exists { name: name.to_string(), differs }),
            };
        }
        if path.symlink_metadata().is_ok() {
            return Err(not_made(name));
        }
        self.expect_free(name)?;
        self.shared.floors.check()?;
        let staged = self.folder.staged();
        let made = self.build(&staged, settings).and_then(|()| settings.write(&staged));
        if let Err(error) = made.and_then(|()| self.folder.publish(&staged, name)) {
            // The first error matters more; what is left goes at the next start.
            let _ = self.folder.discard(&staged);
            return Err(error);
        }
        Ok(Made { live: self.open_now(name)?, new: true })
    }

    /// Makes a collection that has the documents of another one as they are now. Their files are shared as long as neither
    /// changes, so it takes a moment and no space.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none to copy; [`StoreError::Exists`], [`StoreError::NotOurs`]; if the disk
    /// fails. Nothing is left then, as with [`Self::make`].
    pub fn copy(&self, name: &CollectionName, from: &CollectionName) -> Result<Made, StoreError> {
        let _one = self.changing();
        let live = self.get(from);
        let live = live.ok_or_else(|| StoreError::NotFound { name: from.to_string() })?;
        self.expect_free(name)?;
        self.shared.floors.check()?;
        let staged = self.folder.staged();
        let made = live.link(&staged);
        if let Err(error) = made.and_then(|()| self.folder.publish(&staged, name)) {
            // The first error matters more; what is left goes at the next start.
            let _ = self.folder.discard(&staged);
            return Err(error);
        }
        Ok(Made { live: self.open_now(name)?, new: true })
    }

    /// Removes a collection that a store made. Searches of it that run are answered.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::IsAlias`]; [`StoreError::Aliased`] while an alias names it;
    /// [`StoreError::NotOurs`] if it was not made by a store, or its folder also holds something else: nothing is
    /// touched then.
    pub fn remove(&self, name: &CollectionName) -> Result<(), StoreError> {
        let _one = self.changing();
        let Some(live) = self.get(name) else {
            self.expect_no_alias(name)?;
            return Err(StoreError::NotFound { name: name.to_string() });
        };
        if live.settings().is_none() {
            return Err(not_made(name));
        }
        let aliases: Vec<String> = self.aliases_of(name).iter().map(ToString::to_string).collect();
        if !aliases.is_empty() {
            return Err(StoreError::Aliased { name: name.to_string(), aliases });
        }
        let gone = live.remove(|| {
            if !live.holds() || CollectionSettings::read(&self.folder.path(name))?.is_none() {
                return Err(not_made(name));
            }
            if let Some(found) = foreign(&self.folder.path(name))? {
                let found = format!("it holds `{found}`");
                return Err(StoreError::NotOurs { name: name.to_string(), found });
            }
            self.folder.withdraw(name)
        })?;
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        drop(live);
        self.discard(&gone);
        Ok(())
    }

    /// Takes a collection out of the store. The caller changes its collections.
    fn close_and_withdraw(&self, name: &CollectionName, live: &Live) -> Result<(), StoreError> {
        let gone = live.remove(|| self.folder.withdraw(name))?;
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.discard(&gone);
        Ok(())
    }

    fn discard(&self, gone: &Path) {
        if let Err(error) = self.folder.discard(gone) {
            tracing::warn!(%error, "the files of a removed collection go at the next start");
        }
    }

    /// The tasks, newest first.
    #[must_use]
    pub fn tasks(&self) -> Vec<Task> {
        self.tasks.list()
    }

    /// A task; `None` if there is none of this id, or it ended so long ago that it is forgotten.
    #[must_use]
    pub fn task(&self, id: &str) -> Option<Task> {
        self.tasks.get(id)
    }

    /// Cancels a task that waits, and asks one that runs to end; gives it as it is then. One that has ended stays as it is.
    #[must_use]
    pub fn cancel_task(&self, id: &str) -> Option<Task> {
        self.tasks.cancel(id)
    }

    /// Begins to merge all segments of a collection into one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::TooManyTasks`]; [`StoreError::Low`], since a merge takes room before it
    /// gives some.
    pub fn begin_merge(&self, name: &CollectionName) -> Result<Task, StoreError> {
        self.shared.floors.check()?;
        let live = self.get(name);
        let live = live.ok_or_else(|| StoreError::NotFound { name: name.to_string() })?;
        self.tasks.begin(TaskKind::Merge, name.as_str(), Box::new(move |work| live.merge_all(work)))
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_now(&self, name: &CollectionName) -> Result<Arc<Live>, StoreError> {
        let address = format!("{}/v1/collections/{name}", self.options.address);
        let folder = self.folder.path(name);
        let at = (address.as_str(), self.folder.own());
        let live = Live::open(name.as_str(), &folder, at, (&self.options.open, &self.shared))?;
        let live = Arc::new(live);
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(name.clone(), Arc::clone(&live));
        Ok(live)
    }

    /// Fails if there is something of this name, or a collection of this name is being made.
    fn expect_free(&self, name: &CollectionName) -> Result<(), StoreError> {
        self.expect_no_alias(name)?;
        let there = self.folder.path(name).symlink_metadata().is_ok();
        let made = self.reserved.lock().unwrap_or_else(PoisonError::into_inner).contains(name);
        match there || made {
            true => Err(StoreError::Exists { name: name.to_string(), differs: "from" }),
            false => Ok(()),
        }
    }

    /// What an index of no documents is built with, in `out`.
    fn planned(&self, out: &Path, settings: &CollectionSettings) -> Result<Build, StoreError> {
        let models = &self.options.open.models;
        let given = |param, what: &str| StoreError::Setting { param, what: what.to_owned() };
        let model = match &settings.model {
            CollectionModel::Bundled | CollectionModel::None => None,
            CollectionModel::Named(name) => {
                let hub = models.hub.as_ref().filter(|_| Hub::is_name(name));
                let folder = hub.and_then(|hub| hub.cached(name)).ok_or_else(|| {
                    let what = format!(
                        "no model `{name}` is in the server's cache: `quarry model pull {name}` there fetches \
                         it; a model is named as on a hub, org/name"
                    );
                    StoreError::Setting { param: "model", what }
                })?;
                Some(ModelSource::Named(folder.to_string_lossy().into_owned()))
            }
        };
        let brings_vectors = settings.model == CollectionModel::None;
        let needs_texts = [
            ("passages", settings.passages.is_some()),
            ("provenance", settings.provenance),
            ("dense", settings.dense),
            ("tokens", settings.tokens),
        ];
        if let Some((param, _)) = needs_texts.into_iter().find(|(_, has)| brings_vectors && *has) {
            return Err(given(param, "a model makes it of texts, and `model` is null"));
        }
        let size = |tokens: u32| PassageSize { tokens, overlap: PASSAGE_OVERLAP.min(tokens / 2) };
        Ok(Build {
            out: out.to_owned(),
            brings_vectors,
            encoding: Encoding {
                model: model.clone(),
                passages: settings.passages.map(size),
                provenance: settings.provenance,
                ..Encoding::default()
            },
            seal: SealOptions { fields: settings.rules(), ..SealOptions::default() },
            tokens: settings.tokens.then(|| model.unwrap_or_default()),
            dense: settings.dense.then(ModelSource::default),
            ..Build::default()
        })
    }

    /// Builds an index of no documents.
    fn build(&self, out: &Path, settings: &CollectionSettings) -> Result<(), StoreError> {
        let models = &self.options.open.models;
        let given = |param, what: &str| StoreError::Setting { param, what: what.to_owned() };
        let build = self.planned(out, settings)?;
        let none = std::iter::empty::<Result<Document, Infallible>>();
        build_documents(none, Value::Null, &build, models, &|_| {}).map_err(
            |error| match error {
                EngineError::Encoder(EncoderError::Parameter { .. })
                    if settings.passages.is_some() =>
                {
                    given("passages", &error.to_string())
                }
                EngineError::NoTokenModel { .. } => given("tokens", &error.to_string()),
                EngineError::NoDenseModel { .. } => given("dense", &error.to_string()),
                error => error.into(),
            },
        )?;
        Ok(())
    }
}

fn not_made(name: &CollectionName) -> StoreError {
    let found = "its folder has no collection.json".to_owned();
    StoreError::NotOurs { name: name.to_string(), found }
}
