//! Limits on running and waiting searches. A search first takes a seat (if none is left it is refused at
//! once), then waits for a slot (first come, first served). Both are released when the search ends, not
//! when its caller gives up, so an abandoned search still counts.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::api::{ApiError, ErrorCode};

#[derive(Debug)]
pub(crate) struct Admission {
    seats: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    seat_count: u32,
    slot_count: usize,
}

/// The permission to run; dropping it releases seat and slot.
#[derive(Debug)]
pub(crate) struct Pass {
    _slot: OwnedSemaphorePermit,
    _seat: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(in_flight: NonZeroUsize, queue: usize) -> Self {
        let slot_count = in_flight.get().min(Semaphore::MAX_PERMITS / 2);
        let seats = slot_count.saturating_add(queue).min(Semaphore::MAX_PERMITS);
        let seat_count = u32::try_from(seats).unwrap_or(u32::MAX);
        Self {
            seats: Arc::new(Semaphore::new(usize::try_from(seat_count).unwrap_or(seats))),
            slots: Arc::new(Semaphore::new(slot_count)),
            seat_count,
            slot_count,
        }
    }

    /// Waits until the search may run.
    pub(crate) async fn enter(&self, deadline: Instant) -> Result<Pass, ApiError> {
        let seat = self.seats.clone().try_acquire_owned().map_err(|_| {
            ApiError::new(ErrorCode::Overloaded, "too many searches are waiting")
                .hint("try again after the seconds in Retry-After")
        })?;
        match timeout_at(deadline, self.slots.clone().acquire_owned()).await {
            Ok(Ok(slot)) => Ok(Pass { _slot: slot, _seat: seat }),
            Ok(Err(closed)) => Err(ApiError::internal(closed)),
            Err(_) => Err(ApiError::timeout()),
        }
    }

    /// Waits until no search runs or waits.
    pub(crate) async fn idle(&self) {
        // The semaphore is never closed, so there is no error to report.
        drop(self.seats.acquire_many(self.seat_count).await);
    }

    /// Number of running searches.
    pub(crate) fn in_flight(&self) -> usize {
        self.slot_count.saturating_sub(self.slots.available_permits())
    }

    /// Number of waiting searches.
    pub(crate) fn queued(&self) -> usize {
        let seats = usize::try_from(self.seat_count).unwrap_or(usize::MAX);
        let taken = seats.saturating_sub(self.seats.available_permits());
        taken.saturating_sub(self.in_flight())
    }
}
