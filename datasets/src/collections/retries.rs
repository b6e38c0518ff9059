//! How long a transfer is tried.

use std::time::Duration;

/// When a transfer that breaks is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Attempts in a row without a new byte.
    pub attempts: usize,
    /// The pause between two attempts.
    pub pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 5, pause: Duration::from_secs(2) }
    }
}
