//! State shared by all requests.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use quarry_engine::store::{CollectionName, Live, Store};
use quarry_engine::{Collection, Version};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tracing::Span;

use super::admission::Admission;
use super::answer::Answers;
use super::body::Bodies;
use super::config::ServerConfig;
use super::error::ServeError;
use super::exports::Exports;
use super::following::Following;
use super::given_out::GivenOut;
use super::metrics::{Metrics, Served};
use super::slow::SlowLog;
use super::streams::Streams;
use super::tls::Tls;
use super::watch::{Attempt, Watch};
use super::writes::{WritePass, Writes};
use crate::api::{ApiError, CollectionResponse, ErrorCode};
use crate::keys::KeyRing;
use crate::{Engine, Hosted};

/// Short jobs that run at the same time beside searches.
const ASIDES: usize = 2;

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: ServerConfig,
    pub(crate) admission: Admission,
    pub(crate) writes: Writes,
    pub(crate) metrics: Metrics,
    pub(crate) answers: Answers,
    pub(crate) bodies: Bodies,
    pub(crate) exports: Exports,
    asides: Arc<Semaphore>,
    pub(crate) watch: Watch,
    /// The keys of a file.
    pub(crate) keys: Option<Arc<KeyRing>>,
    pub(crate) tls: Option<Tls>,
    pub(crate) slow: SlowLog,
    pub(crate) streams: Streams,
    pub(crate) given_out: GivenOut,
    /// The leader, if there is one.
    pub(crate) following: Option<Following>,
    /// Set once it is loaded. Newer generations are opened inside its collections.
    hosting: OnceLock<Hosting>,
    draining: AtomicBool,
}

/// What is served.
#[derive(Debug)]
enum Hosting {
    One(Arc<Engine>),
    Many(Arc<Store>),
}

impl App {
    pub(crate) fn new(config: ServerConfig, metrics: Metrics) -> Result<Self, ServeError> {
        let tls = config.tls.clone().map(Tls::open).transpose()?;
        let keys = config.keys.clone().map(KeyRing::open).transpose()?.map(Arc::new);
        Ok(Self {
            admission: Admission::new(config.searches()),
            writes: Writes::new(config.writes, config.write_bytes),
            answers: Answers::new(config.answer_bytes),
            bodies: Bodies::of_searches(),
            exports: Exports::default(),
            asides: Arc::new(Semaphore::new(ASIDES)),
            slow: SlowLog::new(config.slow),
            streams: Streams::default(),
            given_out: GivenOut::default(),
            following: config.follow.clone().map(Following::new),
            config,
            metrics,
            watch: Watch::default(),
            hosting: OnceLock::new(),
            draining: AtomicBool::new(false),
            keys,
            tls,
        })
    }

    /// Serves what was loaded from now on; opens the collections of a folder before. Blocks.
    pub(crate) fn install(&self, hosted: Hosted) {
        let hosting = match hosted {
            Hosted::One(engine) => {
                Hosting::One(Arc::new(engine.with_answer_bytes(self.config.answer_bytes)))
            }
            Hosted::Many(store) => {
                self.look_into(&store, true);
                Hosting::Many(Arc::new(store))
            }
        };
        if self.hosting.set(hosting).is_err() {
            tracing::error!("loaded twice; what was loaded first is served");
        }
    }

    /// Refuses new searches and writes from now on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// An error while requests are not accepted.
    pub(crate) fn ready(&self) -> Result<(), ApiError> {
        let empty = |hosting: &Hosting| match hosting {
            Hosting::One(_) => false,
            Hosting::Many(store) => store.collections().is_empty(),
        };
        let hosting = self.hosting()?;
        match &self.following {
            Some(following) if !following.was_level() && empty(hosting) => {
                Err(ApiError::new(ErrorCode::NotReady, "nothing was taken from the leader yet"))
            }
            _ => Ok(()),
        }
    }

    fn hosting(&self) -> Result<&Hosting, ApiError> {
        if self.draining.load(Ordering::SeqCst) {
            return Err(ApiError::new(ErrorCode::NotReady, "the server is shutting down"));
        }
        self.hosting.get().ok_or_else(|| {
            ApiError::new(ErrorCode::NotReady, "the index is being loaded")
                .hint("GET /readyz answers 200 once it is")
        })
    }

    /// The engine of a collection. A request calls this only once, so that it sees a single collection.
    pub(crate) fn engine(&self, name: &str) -> Result<Arc<Engine>, ApiError> {
        if self.config.collection.as_ref().is_some_and(|only| only != name) {
            return Err(not_found(name));
        }
        match self.hosting()? {
            Hosting::One(engine) => Ok(Arc::clone(engine)),
            Hosting::Many(store) => {
                let live = self.open(store, name)?;
                Ok(Arc::new(self.engine_of(&live)))
            }
        }
    }

    fn engine_of(&self, live: &Arc<Live>) -> Engine {
        let engine = Engine::new(Arc::clone(live.collection())).of_live(Arc::clone(live));
        engine.with_answer_bytes(self.config.answer_bytes)
    }

    fn open(&self, store: &Store, name: &str) -> Result<Arc<Live>, ApiError> {
        let live = name.parse().ok().and_then(|name: CollectionName| store.get(&name));
        live.ok_or_else(|| match self.watch.refuses(name) {
            true => {
                let message = format!("the collection `{name}` cannot be opened");
                ApiError::new(ErrorCode::CollectionUnavailable, message)
                    .hint("the server's log has the cause; it is opened once that is repaired")
            }
            false => not_found(name),
        })
    }

    /// Describes a collection, with its aliases.
    pub(crate) fn describe(&self, name: &str, engine: &Engine) -> CollectionResponse {
        let mut described = engine.describe(name);
        if let (Some(Hosting::Many(store)), Ok(name)) = (self.hosting.get(), name.parse()) {
            described.aliases = store.aliases_of(&name).iter().map(ToString::to_string).collect();
        }
        described
    }

    /// The collection that an alias names.
    pub(crate) fn named_by(&self, alias: &str) -> Option<CollectionName> {
        match self.hosting.get()? {
            Hosting::Many(store) => store.named_by(&alias.parse().ok()?),
            Hosting::One(_) => None,
        }
    }

    /// The folder of collections; an error if the server only reads, or accepts no requests.
    pub(crate) fn store(&self) -> Result<Arc<Store>, ApiError> {
        if self.config.collection.is_some() {
            let message = "this server serves one index, and does not write";
            return Err(ApiError::new(ErrorCode::MethodNotAllowed, message)
                .hint("`quarry serve --data DIR` serves collections that can be written to"));
        }
        if let Some(following) = &self.following {
            let leader = following.leader.address();
            let message = format!("this server follows {leader}, and does not write");
            return Err(ApiError::new(ErrorCode::MethodNotAllowed, message)
                .hint(format!("send changes to {leader}")));
        }
        self.many()
    }

    /// The folder of collections, to be read; also where others are followed.
    pub(crate) fn many(&self) -> Result<Arc<Store>, ApiError> {
        match self.hosting()? {
            Hosting::Many(store) => Ok(Arc::clone(store)),
            Hosting::One(_) => Err(ApiError::new(
                ErrorCode::MethodNotAllowed,
                "this server serves one index, and no folder of collections",
            )),
        }
    }

    /// Compares what is served with what the leader has. Blocks.
    pub(crate) fn follow(&self) {
        if let (Some(following), Some(Hosting::Many(store))) = (&self.following, self.hosting.get())
        {
            following.look(store);
        }
    }

    /// A collection that can be written to.
    pub(crate) fn live(&self, name: &str) -> Result<Arc<Live>, ApiError> {
        let store = self.store()?;
        self.open(&store, name)
    }

    /// The collections, by name.
    pub(crate) fn served(&self) -> Vec<Served> {
        let one = |name: &str, engine| Served {
            name: name.to_owned(),
            engine,
            refused: self.watch.refuses(name),
        };
        match (self.hosting.get(), &self.config.collection) {
            (Some(Hosting::One(engine)), Some(name)) => vec![one(name, Arc::clone(engine))],
            (Some(Hosting::Many(store)), _) => {
                let all = store.collections().into_iter();
                all.map(|(name, live)| one(name.as_str(), Arc::new(self.engine_of(&live))))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// The folder of collections, for its figures; `None` if the server only reads.
    pub(crate) fn written(&self) -> Option<&Store> {
        match self.hosting.get()? {
            Hosting::Many(store) => Some(store),
            Hosting::One(_) => None,
        }
    }

    /// Opens what is newer than what is served. Blocks. `at_once`: without regard to pauses between attempts.
    pub(crate) fn reload(&self, at_once: bool) {
        match self.keys.as_ref().map(|keys| keys.reload_if_changed()) {
            None | Some(Ok(false)) => {}
            Some(Ok(true)) => tracing::info!("the file of keys was read again"),
            Some(Err(error)) => tracing::error!(%error, "the keys of before hold"),
        }
        if let Some(tls) = self.tls.as_ref().filter(|_| at_once) {
            match tls.reload() {
                Ok(()) => tracing::info!("the certificate was read again"),
                Err(error) => tracing::error!(%error, "the certificate of before is used"),
            }
        }
        match (self.hosting.get(), &self.config.collection) {
            (Some(Hosting::One(engine)), Some(name)) => {
                self.look_at(name, engine.collection(), at_once);
            }
            (Some(Hosting::Many(store)), _) => self.look_into(store, at_once),
            _ => {}
        }
    }

    fn look_at(&self, name: &str, collection: &Collection, at_once: bool) {
        let changed = changed(collection.snapshot().index().folder());
        let what = "a newer generation cannot be opened; the old one is served";
        self.watch.attempt(&Attempt { name, changed, at_once, what }, || {
            let newer = collection.reload_if_newer()?;
            Ok::<_, quarry_engine::EngineError>(newer.then(|| collection.snapshot().version()))
        });
    }

    /// Opens collections that came into the folder, and newer generations of the others.
    fn look_into(&self, store: &Store, at_once: bool) {
        let (unopened, misnamed) = match store.look() {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "the folder of collections cannot be read");
                return;
            }
        };
        self.watch.passed_over(misnamed);
        let open = store.collections();
        let there = |name: &str| {
            open.iter().any(|(open, _)| open.as_str() == name)
                || unopened.iter().any(|unopened| unopened.as_str() == name)
        };
        self.watch.retain(there);
        for name in &unopened {
            let changed = changed(&store.path(name));
            let what = "the collection cannot be opened";
            self.watch.attempt(&Attempt { name: name.as_str(), changed, at_once, what }, || {
                let live = store.open_collection(name)?;
                Ok::<_, quarry_engine::store::StoreError>(Some(version(&live)))
            });
        }
        for (name, live) in open.into_iter().filter(|(name, _)| store.get(name).is_some()) {
            let changed = changed(&store.path(&name));
            let what =
                "what was put into the folder cannot be opened; the old generation is served";
            self.watch.attempt(&Attempt { name: name.as_str(), changed, at_once, what }, || {
                let newer = live.reload_if_newer()?;
                Ok::<_, quarry_engine::store::StoreError>(newer.then(|| version(&live)))
            });
        }
    }

    /// Seals the collections that were written to. Blocks.
    pub(crate) fn close(&self) {
        if let Some(Hosting::Many(store)) = self.hosting.get() {
            store.close();
        }
    }

    /// Runs `job` with `engine` on a blocking thread, after waiting for a slot. The caller gets an answer by
    /// the deadline in any case; the job keeps its slot until it really ends.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        engine: Arc<Engine>,
        time: Duration,
        job: impl FnOnce(&Engine, std::time::Instant) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let arrived = Instant::now();
        let deadline = arrived + time;
        let pass = self.admission.enter(deadline).await?;
        self.metrics.stage("queue", arrived.elapsed());
        let span = Span::current();
        let task = tokio::task::spawn_blocking(move || {
            let result = span.in_scope(|| job(&engine, deadline.into_std()));
            drop(pass);
            result
        });
        match timeout_at(deadline, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => Err(ApiError::internal(panicked)),
            Err(_) => Err(ApiError::timeout()),
        }
    }

    /// Runs a short job on a blocking thread, a few at a time, without a search's slot: answered under load as well.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        // The semaphore is never closed.
        let turn = self.asides.clone().acquire_owned().await.map_err(ApiError::internal)?;
        let task = tokio::task::spawn_blocking(move || {
            let done = job();
            drop(turn);
            done
        });
        task.await.unwrap_or_else(|panicked| Err(ApiError::internal(panicked)))
    }

    /// Runs a write on a blocking thread. A caller who gives up, or whose time is up, does not end it.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        pass: WritePass,
        job: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        // Before the connection is closed for taking too long.
        let deadline = Instant::now() + self.config.request_timeout.mul_f64(0.9);
        let span = Span::current();
        let task = tokio::task::spawn_blocking(move || {
            let result = span.in_scope(job);
            drop(pass);
            result
        });
        match timeout_at(deadline, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => Err(ApiError::change_failed(panicked)),
            Err(_) => {
                let message = "the write is not done yet; it goes on";
                Err(ApiError::new(ErrorCode::Timeout, message).hint(
                    "the write may still be made: ask for it before it is sent again; fewer documents at a time take less",
                ))
            }
        }
    }
}

fn not_found(name: &str) -> ApiError {
    let message = format!("no collection is named `{name}`");
    ApiError::new(ErrorCode::CollectionNotFound, message).hint("GET /v1/collections lists them")
}

fn version(live: &Live) -> Version {
    live.collection().snapshot().version()
}

/// When the names in a folder last changed; a commit renames a file, a copy makes some.
fn changed(folder: &Path) -> Option<SystemTime> {
    folder.metadata().and_then(|metadata| metadata.modified()).ok()
}
