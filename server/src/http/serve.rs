//! The life of the server, from binding to shutdown.
//!
//! 1. bind: the server is live, and answers searches with 503  2. load on a blocking thread: ready; from then on
//!    look for newer generations
//! 3. at the signal to stop: not ready; new searches and writes are refused, running and waiting ones are answered;
//!    connections are still accepted, so that probes see the state
//! 4. when no search is left or time is up: stop accepting, close connections after their answers

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

use super::app::App;
use super::config::ServerConfig;
use super::connections::Connections;
use super::error::ServeError;
use super::following;
use super::metrics::Metrics;
use super::signal::{reload_at_hangup, terminated};
use super::watch::LOOK;
use crate::Hosted;

/// Interval between upkeeps of the metrics.
const UPKEEP: Duration = Duration::from_secs(5);
/// Pause after a failed accept, usually for lack of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Serves until `shutdown` completes, then drains for at most [`ServerConfig::drain_timeout`].
///
/// `load` runs on a blocking thread after the address is bound, which it is given; `bound` is called with the address
/// as soon as it is bound. A hanging search may outlive the drain on its thread: end the runtime with
/// `shutdown_background`, as [`run`] does.
///
/// # Errors
/// If the configuration is invalid, the address cannot be bound, or loading fails.
pub async fn serve<H, E>(
    config: ServerConfig,
    load: impl FnOnce(SocketAddr) -> Result<H, E> + Send + 'static,
    bound: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError>
where
    H: Into<Hosted> + 'static,
    E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
{
    config.validate()?;
    let address = config.address;
    let bind = |source| ServeError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let drain_timeout = config.drain_timeout;
    let metrics = Metrics::new().map_err(|e| ServeError::Setup(e.into()))?;
    let app = Arc::new(App::new(config, metrics)?);
    let mut connections = Connections::new(&app);
    let address = listener.local_addr().map_err(bind)?;
    bound(address);

    let loaded_into = app.clone();
    let mut loading = tokio::task::spawn_blocking(move || {
        load(address).map(|hosted| loaded_into.install(hosted.into()))
    });
    let mut loaded = false;
    let mut shutdown = pin!(shutdown);
    let mut drained_by: Option<Instant> = None;
    let mut watching = JoinSet::new();
    let mut upkeep = interval(UPKEEP);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.spawn(stream),
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    connections.yield_one();
                    sleep(ACCEPT_REST).await;
                }
            },
            result = &mut loading, if !loaded => {
                let installed = result.map_err(|e| ServeError::Load(e.into()))?;
                installed.map_err(|e| ServeError::Load(e.into()))?;
                loaded = true;
                watching.spawn(watch(app.clone()));
                if app.following.is_some() {
                    watching.spawn(follow(app.clone()));
                }
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
    watching.abort_all();
    connections.end(drained_by.unwrap_or_else(Instant::now)).await;
    if let Err(error) = tokio::task::spawn_blocking(move || app.close()).await {
        tracing::error!(%error, "sealing failed");
    }
    Ok(())
}

/// Runs [`serve`] on a runtime of its own until SIGTERM or SIGINT; SIGHUP makes it look for newer generations at
/// once. Blocks.
///
/// # Errors
/// The errors of [`serve`]; also if the runtime or the signal handlers cannot be set up.
pub fn run<H, E>(
    config: ServerConfig,
    load: impl FnOnce(SocketAddr) -> Result<H, E> + Send + 'static,
    bound: impl FnOnce(SocketAddr),
) -> Result<(), ServeError>
where
    H: Into<Hosted> + 'static,
    E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
{
    let setup = |e: io::Error| ServeError::Setup(e.into());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(setup)?;
    let result = runtime.block_on(async {
        let stop = terminated().map_err(setup)?;
        reload_at_hangup(config.reload.clone()).map_err(setup)?;
        serve(config, load, bound, stop).await
    });
    // Do not wait for searches that run past their deadline.
    runtime.shutdown_background();
    result
}

/// Completes when draining has begun and no search or write is left, or when time is up.
async fn drained(app: &App, by: Option<Instant>) {
    match by {
        None => std::future::pending().await,
        Some(by) => tokio::select! {
            () = async { tokio::join!(app.admission.idle(), app.writes.idle()); } => {}
            () = sleep_until(by) => {}
        },
    }
}

/// Looks until the task is aborted.
async fn watch(app: Arc<App>) {
    let reload = app.config.reload.clone();
    loop {
        let at_once = timeout(LOOK, reload.asked()).await.is_ok();
        let app = app.clone();
        let looked = tokio::task::spawn_blocking(move || app.reload(at_once)).await;
        if let Err(error) = looked {
            tracing::error!(%error, "looking for newer generations failed");
        }
    }
}

/// Follows the leader until the task is aborted.
async fn follow(app: Arc<App>) {
    loop {
        let following = app.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || following.follow()).await {
            tracing::error!(%error, "following the leader failed");
        }
        sleep(following::LOOK).await;
    }
}
