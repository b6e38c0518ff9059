//! State shared by all requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::admission::Admission;
use super::answer::Answers;
use super::config::ServerConfig;
use super::metrics::Metrics;
use crate::Engine;
use crate::api::{ApiError, ErrorCode};

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: ServerConfig,
    pub(crate) admission: Admission,
    pub(crate) metrics: Metrics,
    pub(crate) answers: Answers,
    /// Replaced as a whole to serve another generation.
    engine: RwLock<Option<Arc<Engine>>>,
    draining: AtomicBool,
}

impl App {
    pub(crate) fn new(config: ServerConfig, metrics: Metrics) -> Self {
        let admission = Admission::new(config.in_flight, config.queue);
        let answers = Answers::new(config.answer_bytes);
        let (engine, draining) = (RwLock::new(None), AtomicBool::new(false));
        Self { config, admission, metrics, answers, engine, draining }
    }

    /// Serves `engine` from now on.
    pub(crate) fn install(&self, engine: Engine) {
        let engine = Some(Arc::new(engine.with_answer_bytes(self.config.answer_bytes)));
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = engine;
    }

    /// Refuses new searches from now on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// The engine; an error while searches are not accepted. A request calls this only once, so that it
    /// sees a single generation.
    pub(crate) fn engine(&self) -> Result<Arc<Engine>, ApiError> {
        if self.draining.load(Ordering::SeqCst) {
            return Err(ApiError::new(ErrorCode::NotReady, "the server is shutting down"));
        }
        self.loaded().ok_or_else(|| {
            ApiError::new(ErrorCode::NotReady, "the index is being loaded")
                .hint("GET /readyz answers 200 once it is")
        })
    }

    /// The engine for metrics, even while searches are not accepted.
    pub(crate) fn loaded(&self) -> Option<Arc<Engine>> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether `name` is the collection served.
    pub(crate) fn collection(&self, name: &str) -> Result<&str, ApiError> {
        if name == self.config.collection {
            return Ok(&self.config.collection);
        }
        let message = format!("no collection is named `{name}`");
        Err(ApiError::new(ErrorCode::CollectionNotFound, message)
            .hint("GET /v1/collections lists them"))
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
        let task = tokio::task::spawn_blocking(move || {
            let result = job(&engine, deadline.into_std());
            drop(pass);
            result
        });
        match timeout_at(deadline, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => Err(ApiError::internal(panicked)),
            Err(_) => Err(ApiError::timeout()),
        }
    }
}
