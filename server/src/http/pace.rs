//! How long one of several pieces of work takes, measured, and how long a queue of them lasts.
//!
//! A mean that moves: each piece counts an eighth, so that it follows a change within a dozen of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the newest piece counts: one part in so many.
const SHARE: u64 = 8;
/// Longest time that is told to a client.
const LONGEST: Duration = Duration::from_secs(60);

/// The measured time of a piece of work.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Microseconds; 0 before the first.
    mean: AtomicU64,
}

/// Work that waits, and how many pieces of it are done at the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) pieces: usize,
    pub(crate) at_once: usize,
}

impl Pace {
    /// Counts a piece that took this long.
    pub(crate) fn record(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let moved = |mean: u64| match mean {
            0 => Some(took),
            // Both parts are below the whole, so that their sum is no larger than the larger.
            _ => Some((mean - mean / SHARE).saturating_add(took / SHARE).max(1)),
        };
        // The change is never refused.
        let _ = self.mean.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
    }

    /// How long what waits will take; `None` before anything was measured.
    pub(crate) fn time_of(&self, waiting: Waiting) -> Option<Duration> {
        let mean = self.mean.load(Ordering::Relaxed);
        let pieces = u64::try_from(waiting.pieces).unwrap_or(u64::MAX);
        let at_once = u64::try_from(waiting.at_once.max(1)).unwrap_or(u64::MAX);
        (mean > 0).then(|| Duration::from_micros(mean.saturating_mul(pieces) / at_once))
    }

    /// Whole seconds after which the queue will be empty: 1 to 60.
    pub(crate) fn retry_after(&self, waiting: Waiting) -> u64 {
        let time = self.time_of(waiting).unwrap_or_default().min(LONGEST);
        time.as_millis().div_ceil(1000).try_into().unwrap_or(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_follows() {
        let pace = Pace::default();
        let queue = Waiting { pieces: 10, at_once: 2 };
        assert_eq!((pace.time_of(queue), pace.retry_after(queue)), (None, 1));
        pace.record(Duration::from_millis(800));
        assert_eq!(pace.time_of(queue), Some(Duration::from_secs(4)));
        assert_eq!(pace.retry_after(queue), 4);
        (0..100).for_each(|_| pace.record(Duration::from_millis(8)));
        assert!(pace.time_of(queue) < Some(Duration::from_millis(45)));
        assert_eq!(pace.retry_after(queue), 1);
        (0..100).for_each(|_| pace.record(Duration::MAX));
        assert_eq!(pace.retry_after(queue), 60);
        pace.record(Duration::ZERO);
    }
}
