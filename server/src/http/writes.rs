//! Limits on writes: how many wait, and how many bytes they hold. Both count from before a body is read until the
//! write ends, not until its caller gives up.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::pace::{Pace, Waiting};
use crate::api::{ApiError, ErrorCode};

/// Number of bodies of the largest size that may be held at the same time.
const AT_ONCE: usize = 4;
/// Bytes per unit of the limit.
const UNIT: usize = 1 << 10;

/// The limits on writes.
#[derive(Debug)]
pub(crate) struct Writes {
    seats: Arc<Semaphore>,
    room: Arc<Semaphore>,
    seat_count: u32,
    room_units: u32,
    pace: Arc<Pace>,
}

/// The permission to write; dropping it makes room for the next.
#[derive(Debug)]
pub(crate) struct WritePass {
    _seat: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
    began: Instant,
    pace: Arc<Pace>,
}

impl Drop for WritePass {
    fn drop(&mut self) {
        self.pace.record(self.began.elapsed());
    }
}

impl Writes {
    pub(crate) fn new(most: NonZeroUsize, body_bytes: NonZeroUsize) -> Self {
        let seat_count = u32::try_from(most.get().min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let room = body_bytes.get().div_ceil(UNIT).saturating_mul(AT_ONCE);
        let room = room.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        let room_units = u32::try_from(room).unwrap_or(u32::MAX);
        Self {
            seats: Arc::new(Semaphore::new(usize::try_from(seat_count).unwrap_or(usize::MAX))),
            room: Arc::new(Semaphore::new(room)),
            seat_count,
            room_units,
            pace: Arc::default(),
        }
    }

    /// Admits a write with a body of at most this many bytes, or refuses it at once. One that needs more room than
    /// there is in all is admitted alone.
    pub(crate) fn enter(&self, bytes: usize) -> Result<WritePass, ApiError> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.room_units);
        let seat = self.seats.clone().try_acquire_owned();
        let room = self.room.clone().try_acquire_many_owned(units);
        match (seat, room) {
            (Ok(seat), Ok(room)) => {
                let (began, pace) = (Instant::now(), Arc::clone(&self.pace));
                Ok(WritePass { _seat: seat, _room: room, began, pace })
            }
            _ => Err(ApiError::new(ErrorCode::IngestOverloaded, "too many writes are waiting")
                .hint("try again after the seconds in Retry-After")),
        }
    }

    /// Waits until nothing is written.
    pub(crate) async fn idle(&self) {
        // The semaphore is never closed, so there is no error to report.
        drop(self.seats.acquire_many(self.seat_count).await);
    }

    /// Seconds after which a refused client may try again: a write takes as long as those that it waits for, too, so
    /// that is how long one took lately.
    pub(crate) fn retry_after(&self) -> u64 {
        self.pace.retry_after(Waiting { pieces: 1, at_once: 1 })
    }

    /// Number of writes that run or wait.
    pub(crate) fn waiting(&self) -> usize {
        let seats = usize::try_from(self.seat_count).unwrap_or(usize::MAX);
        seats.saturating_sub(self.seats.available_permits())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn number_and_bytes_are_limited() {
        let number = |n| NonZeroUsize::new(n).unwrap();
        let writes = Writes::new(number(3), number(1 << 20));
        let held: Vec<WritePass> = (0..3).map(|_| writes.enter(10).unwrap()).collect();
        assert_eq!(writes.enter(10).unwrap_err().code(), ErrorCode::IngestOverloaded);
        assert_eq!(writes.waiting(), 3);
        drop(held);
        let writes = Writes::new(number(100), number(1 << 20));
        let held: Vec<WritePass> = (0..4).map(|_| writes.enter(1 << 20).unwrap()).collect();
        assert_eq!(writes.enter(1).unwrap_err().code(), ErrorCode::IngestOverloaded);
        drop(held);
        let whole = writes.enter(100 << 20).unwrap();
        assert!(writes.enter(1).is_err());
        drop(whole);
        writes.enter(1).unwrap();
    }
}
