//! Signals that ask the server to stop or to look for newer generations.

use std::io;

use super::reload::Reload;

/// A future that completes when the process receives SIGTERM or SIGINT. Both are caught from this call
/// on, not only while the future is awaited.
///
/// # Errors
/// If the handlers cannot be installed. Needs a tokio runtime.
#[cfg(unix)]
pub fn terminated() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// A future that completes when the process is interrupted.
///
/// # Errors
/// None on this platform. Needs a tokio runtime.
#[cfg(not(unix))]
pub fn terminated() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// Asks for a reload at each SIGHUP, from this call on.
///
/// # Errors
/// If the handler cannot be installed. Needs a tokio runtime.
#[cfg(unix)]
pub(super) fn reload_at_hangup(reload: Reload) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload.ask();
        }
    });
    Ok(())
}

/// Does nothing: this platform has no SIGHUP.
///
/// # Errors
/// None on this platform.
#[cfg(not(unix))]
pub(super) fn reload_at_hangup(_: Reload) -> io::Result<()> {
    Ok(())
}
