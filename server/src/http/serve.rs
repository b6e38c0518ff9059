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

use tokio::net::TcpListener;
use tokio::time::{Instant, interval, sleep, sleep_until};

use super::app::App;
use super::config::{ConfigError, ServerConfig};
use super::connections::Connections;
use super::metrics::Metrics;
use super::signal::terminated;
use crate::Engine;

/// Time between two upkeeps of the figures.
const UPKEEP: Duration = Duration::from_secs(5);
/// Rest after an accept that failed: usually for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);

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
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.spawn(stream),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    connections.yield_one();
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
