//! Signals that ask the server to stop.

use std::io;

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
