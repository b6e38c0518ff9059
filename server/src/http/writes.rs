//! Limits on writes: how many bytes they hold, and how many wait. Bytes count as they arrive; a seat is taken when the body is
//! there, so that slow bodies keep nobody out. Both are held until the write ends, not until its caller gives up.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::{Bodies, HeldRoom};
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
    bodies: Bodies,
    seat_count: u32,
    room_units: u32,
    pace: Arc<Pace>,
}

/// The permission to write; dropping it makes room for the next.
#[derive(Debug)]
pub(crate) struct WritePass {
    _seat: OwnedSemaphorePermit,
    _room: HeldRoom,
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
        let room = Arc::new(Semaphore::new(room));
        Self {
            seats: Arc::new(Semaphore::new(usize::try_from(seat_count).unwrap_or(usize::MAX))),
            bodies: Bodies::of_writes(Arc::clone(&room)),
            room,
            seat_count,
            room_units,
            pace: Arc::default(),
        }
    }

    /// Reads bodies of writes; [`Self::seat`] takes their room. An error at once if a write would not be admitted now.
    pub(crate) fn bodies(&self) -> Result<&Bodies, ApiError> {
        match self.seats.available_permits() {
            0 => Err(overloaded()),
            _ => Ok(&self.bodies),
        }
    }

    /// Admits a write whose body was read, or refuses it at once.
    pub(crate) fn seat(&self, room: HeldRoom) -> Result<WritePass, ApiError> {
        let seat = self.seats.clone().try_acquire_owned().map_err(|_| overloaded())?;
        let (began, pace) = (Instant::now(), Arc::clone(&self.pace));
        Ok(WritePass { _seat: seat, _room: room, began, pace })
    }

    /// Admits a write that holds this many bytes, or refuses it at once. One that needs more room than there is in all is
    /// admitted alone.
    pub(crate) fn enter(&self, bytes: usize) -> Result<WritePass, ApiError> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.room_units);
        let room = self.room.clone().try_acquire_many_owned(units).map_err(|_| overloaded())?;
        self.seat(Some(room))
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

fn overloaded() -> ApiError {
    ApiError::new(ErrorCode::IngestOverloaded, "too many writes are waiting")
        .hint("try again after the seconds in Retry-After")
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

    #[tokio::test]
    async fn bytes_count_as_they_arrive() {
        let number = |n| NonZeroUsize::new(n).unwrap();
        let writes = Writes::new(number(2), number(1 << 20));
        let time = std::time::Duration::from_secs(60);
        let read = |bytes: usize| {
            let body = axum::body::Body::from(vec![b'x'; bytes]);
            writes.bodies().unwrap().read(body, 1 << 20, time)
        };
        let long: Vec<_> =
            [read(1 << 20).await, read(1 << 20).await, read(1 << 20).await, read(1 << 20).await]
                .into_iter()
                .map(|body| body.unwrap().room)
                .collect();
        // No room but for short ones, and a seat for each.
        assert_eq!(read(1 << 20).await.unwrap_err().code(), ErrorCode::IngestOverloaded);
        let short = read(60_000).await.unwrap();
        assert_eq!(short.bytes.len(), 60_000);
        let first = writes.seat(short.room).unwrap();
        let second = writes.seat(None).unwrap();
        assert_eq!(writes.seat(None).unwrap_err().code(), ErrorCode::IngestOverloaded);
        assert!(writes.bodies().is_err());
        drop((first, second));
        drop(long);
        read(1 << 20).await.unwrap();
    }
}
