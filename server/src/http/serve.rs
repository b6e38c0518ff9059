//! From binding to the end.
//!
//! 1. bind: the server is live, answers 503 to searches  2. load on a blocking thread: ready
//! 3. at the signal: not ready, new searches are refused, those running and waiting are answered;
//!    connections are still accepted, so that probes see it
//! 4. once none is left, or time is up: stop accepting, end connections after their answer

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout_at};

use super::app::App;
use super::config::{ConfigError, ServerConfig};
use super::metrics::Metrics;
use super::routes::router;
use super::signal::terminated;
use super::stall::Stalling;
use crate::Engine;

/// Time between two upkeeps of the figures.
const UPKEEP: Duration = Duration::from_secs(5);
/// Rest after an accept that failed: usually for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// Most bytes of a request's head: a question in a URL, percent-encoded, and headers.
const HEAD_BYTES: usize = 128 << 10;

/// Why the server ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The setup is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be listened on.
    #[error("{address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The index or the encoder cannot be loaded.
    #[error("loading failed: {0}")]
    Load(#[source] Box<dyn Error + Send + Sync>),
    /// Threads, signals or figures cannot be set up.
    #[error("setting up: {0}")]
    Setup(#[source] Box<dyn Error + Send + Sync>),
}

/// Serves until `shutdown` ends, then drains for at most [`ServerConfig::drain_timeout`].
///
/// `load` runs on a blocking thread once the address is bound; `bound` is told the address at
/// once. A search that hangs may outlive the drain on its thread: end the runtime with
/// `shutdown_background`, as [`run`] does.
///
/// # Errors
/// When the setup is refused, the address cannot be bound, or loading fails.
pub async fn serve<E>(
    config: ServerConfig,
    load: impl FnOnce() -> Result<Engine, E> + Send + 'static,
    bound: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError>
where
    E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
{
    config.validate()?;
    let address = config.address;
    let bind = |source| ServeError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let drain_timeout = config.drain_timeout;
    let metrics = Metrics::new().map_err(|e| ServeError::Setup(e.into()))?;
    let app = Arc::new(App::new(config, metrics));
    let mut connections = Connections::new(&app);
    bound(listener.local_addr().map_err(bind)?);

    let mut loading = tokio::task::spawn_blocking(load);
    let mut loaded = false;
    let mut shutdown = pin!(shutdown);
    let mut drained_by: Option<Instant> = None;
    let mut upkeep = interval(UPKEEP);
    loop {
        tokio::select! {
            accepted = connections.accept(&listener) => match accepted {
                Ok((stream, seat)) => connections.spawn(stream, seat),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(ACCEPT_REST).await;
                }
            },
            result = &mut loading, if !loaded => {
                let engine = result.map_err(|e| ServeError::Load(e.into()))?;
                app.install(engine.map_err(|e| ServeError::Load(e.into()))?);
                loaded = true;
                tracing::info!(collection = app.config.collection, "ready");
            }
            () = &mut shutdown, if drained_by.is_none() => {
                tracing::info!("shutting down");
                app.drain();
                drained_by = Some(Instant::now() + drain_timeout);
            }
            () = drained(&app, drained_by) => break,
            _ = upkeep.tick() => {
                app.metrics.upkeep();
                connections.reap();
            }
        }
    }
    drop(listener);
    connections.end(drained_by.unwrap_or_else(Instant::now)).await;
    Ok(())
}

/// [`serve`] on a runtime of its own, until SIGTERM or SIGINT. Blocks.
///
/// # Errors
/// As [`serve`]; and when the runtime or the signals cannot be set up.
pub fn run<E>(
    config: ServerConfig,
    load: impl FnOnce() -> Result<Engine, E> + Send + 'static,
    bound: impl FnOnce(SocketAddr),
) -> Result<(), ServeError>
where
    E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
{
    let setup = |e: io::Error| ServeError::Setup(e.into());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(setup)?;
    let result = runtime.block_on(async {
        let stop = terminated().map_err(setup)?;
        serve(config, load, bound, stop).await
    });
    // A search past its deadline does not hold the process up.
    runtime.shutdown_background();
    result
}

/// Ends once draining has begun and no search is left, or time is up.
async fn drained(app: &App, by: Option<Instant>) {
    match by {
        None => std::future::pending().await,
        Some(by) => tokio::select! {
            () = app.admission.idle() => {}
            () = sleep_until(by) => {}
        },
    }
}

/// Open connections, as many as are allowed.
struct Connections {
    router: Router,
    http: http1::Builder,
    stall_timeout: Duration,
    seats: Arc<Semaphore>,
    tasks: JoinSet<()>,
    graceful: GracefulShutdown,
}

impl Connections {
    fn new(app: &Arc<App>) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(app.config.head_timeout)
            .max_buf_size(HEAD_BYTES);
        Self {
            router: router(app.clone()),
            http,
            stall_timeout: app.config.stall_timeout,
            seats: Arc::new(Semaphore::new(
                app.config.connections.get().min(Semaphore::MAX_PERMITS),
            )),
            tasks: JoinSet::new(),
            graceful: GracefulShutdown::new(),
        }
    }

    /// Waits for room, then for a connection.
    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let seat = self.seats.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        Ok((stream, seat))
    }

    fn spawn(&mut self, stream: TcpStream, seat: OwnedSemaphorePermit) {
        // Answers are written whole; waiting to fill packets only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let io = TokioIo::new(Stalling::new(stream, self.stall_timeout));
        let service = TowerToHyperService::new(self.router.clone());
        let connection = self.graceful.watch(self.http.serve_connection(io, service));
        self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection");
            }
            drop(seat);
        });
        self.reap();
    }

    /// Forgets connections that ended.
    fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }

    /// Lets requests in progress end, at most until `by`; then cuts what is left.
    async fn end(self, by: Instant) {
        let Self { graceful, tasks, .. } = self;
        if timeout_at(by, graceful.shutdown()).await.is_err() {
            tracing::warn!(connections = tasks.len(), "cut after the time to drain");
        }
    }
}
