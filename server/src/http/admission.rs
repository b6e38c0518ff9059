//! Which searches run, which wait, and which are refused.
//!
//! 1. a search takes a seat; all seats together bound what waiting searches hold. If none is left it is refused at once
//! 2. it waits for a slot, first come, first served, until its own deadline or the limit of the queue's time
//! 3. if by the measured time of searches (`pace`) those before it alone take longer than that limit, it is refused at
//!    once as well: waiting in vain helps nobody
//!
//! Seat and slot are released when the search ends, not when its caller gives up, so an abandoned search still counts.
//! Writes have limits of their own (`writes`), and probes have none: neither waits behind searches.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::pace::{Pace, Waiting};
use crate::api::{ApiError, ErrorCode};

#[derive(Debug)]
pub(crate) struct Admission {
    seats: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    seat_count: u32,
    slot_count: usize,
    queue_time: Duration,
    pace: Arc<Pace>,
}

/// The limits on searches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SearchLimits {
    /// Most that run.
    pub(crate) in_flight: NonZeroUsize,
    /// Most that wait.
    pub(crate) queue: usize,
    /// Longest that one waits.
    pub(crate) queue_time: Duration,
}

/// The permission to run; dropping it releases seat and slot, and measures the search.
#[derive(Debug)]
pub(crate) struct Pass {
    _slot: OwnedSemaphorePermit,
    _seat: OwnedSemaphorePermit,
    began: Instant,
    pace: Arc<Pace>,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.pace.record(self.began.elapsed());
    }
}

impl Admission {
    pub(crate) fn new(limits: SearchLimits) -> Self {
        let slot_count = limits.in_flight.get().min(Semaphore::MAX_PERMITS / 2);
        let seats = slot_count.saturating_add(limits.queue).min(Semaphore::MAX_PERMITS);
        let seat_count = u32::try_from(seats).unwrap_or(u32::MAX);
        Self {
            seats: Arc::new(Semaphore::new(usize::try_from(seat_count).unwrap_or(seats))),
            slots: Arc::new(Semaphore::new(slot_count)),
            seat_count,
            slot_count,
            queue_time: limits.queue_time,
            pace: Arc::default(),
        }
    }

    /// Waits until the search may run, at most until `deadline`.
    pub(crate) async fn enter(&self, deadline: Instant) -> Result<Pass, ApiError> {
        // The searches before this one, without it: those that run are about half done.
        let before = Waiting { pieces: self.queued(), at_once: self.slot_count };
        if before.pieces > 0 && self.pace.time_of(before) > Some(self.queue_time) {
            return Err(overloaded("the searches that wait will take longer than one may wait"));
        }
        let seat = self.seats.clone().try_acquire_owned();
        let seat = seat.map_err(|_| overloaded("too many searches are waiting"))?;
        let longest = Instant::now() + self.queue_time;
        match timeout_at(deadline.min(longest), self.slots.clone().acquire_owned()).await {
            Ok(Ok(slot)) => {
                let (began, pace) = (Instant::now(), Arc::clone(&self.pace));
                Ok(Pass { _slot: slot, _seat: seat, began, pace })
            }
            Ok(Err(closed)) => Err(ApiError::internal(closed)),
            Err(_) if deadline <= longest => Err(ApiError::timeout()),
            Err(_) => {
                let most = self.queue_time.as_millis();
                Err(overloaded(format!("no search could begin within {most} ms")))
            }
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

    /// Seconds after which a refused client may try again: when what runs and waits will be done.
    pub(crate) fn retry_after(&self) -> u64 {
        let pieces = self.queued().saturating_add(self.in_flight());
        self.pace.retry_after(Waiting { pieces, at_once: self.slot_count })
    }
}

fn overloaded(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::Overloaded, message).hint("try again after the seconds in Retry-After")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn limits(queue: usize, queue_time: Duration) -> SearchLimits {
        SearchLimits { in_flight: NonZeroUsize::MIN, queue, queue_time }
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[tokio::test]
    async fn waiting_has_a_limit_of_its_own() {
        let admission = Admission::new(limits(10, Duration::from_millis(20)));
        let held = admission.enter(later()).await.unwrap();
        let error = admission.enter(later()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Overloaded);
        let soon = Instant::now() + Duration::from_millis(1);
        assert_eq!(admission.enter(soon).await.unwrap_err().code(), ErrorCode::Timeout);
        drop(held);
        drop(admission.enter(later()).await.unwrap());
        admission.idle().await;
    }

    #[tokio::test]
    async fn a_queue_that_takes_too_long_is_not_joined() {
        let admission = Arc::new(Admission::new(limits(10, Duration::from_secs(60))));
        admission.pace.record(Duration::from_secs(100));
        let held = admission.enter(later()).await.unwrap();
        let next = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.enter(later()).await.map(drop) }
        });
        while admission.queued() == 0 {
            tokio::task::yield_now().await;
        }
        let error = admission.enter(later()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Overloaded);
        assert_eq!(admission.retry_after(), 60, "of the measured time");
        drop(held);
        next.await.unwrap().unwrap();
    }
}
