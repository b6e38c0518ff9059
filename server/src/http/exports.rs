//! The limit on exports.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::{ApiError, ErrorCode};

/// Exports that run at the same time.
const AT_ONCE: usize = 4;

/// How many exports run.
#[derive(Debug)]
pub(crate) struct Exports(Arc<Semaphore>);

impl Default for Exports {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Exports {
    /// Admits an export, or refuses it at once; dropping what is given makes room for the next.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.0.clone().try_acquire_owned().map_err(|_| {
            let message = format!("{AT_ONCE} exports are running, the most at the same time");
            ApiError::new(ErrorCode::Overloaded, message)
                .hint("try again after the seconds in Retry-After")
        })
    }
}
