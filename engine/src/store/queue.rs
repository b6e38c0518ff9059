//! Lets one caller apply the changes of all who wait, in their order.
//!
//! 1. leave the change in the queue  2. wait for the turn  3. if another caller applied it meanwhile, take the answer;
//!    otherwise apply all that wait, and hand out the answers
//!
//! So there is one writer at a time, and changes that arrive while one is written share the next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::StoreError;
use super::change::{Ack, Change, Changed};
use super::guard::Guard;
use super::head::Texts;

type Outcome = Result<Changed, StoreError>;

/// A change that is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) change: Change,
    pub(super) texts: Texts,
    pub(super) guard: Guard,
    pub(super) ack: Ack,
}

/// The changes that wait, and the turn to write.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Vec<Waiting>>,
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Waiting {
    change: Asked,
    answer: Arc<Mutex<Option<Outcome>>>,
}

impl Queue {
    /// Applies `change`, alone or with others. `apply` gives an outcome for each change, in order.
    pub(super) fn run(
        &self,
        change: Asked,
        apply: impl FnOnce(Vec<Asked>) -> Vec<Outcome>,
    ) -> Outcome {
        let answer = Arc::new(Mutex::new(None));
        locked(&self.waiting).push(Waiting { change, answer: Arc::clone(&answer) });
        let _turn = self.turn();
        if let Some(outcome) = locked(&answer).take() {
            return outcome;
        }
        let waiting = std::mem::take(&mut *locked(&self.waiting));
        let (changes, answers): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|w| (w.change, w.answer)).unzip();
        for (answer, outcome) in answers.iter().zip(apply(changes)) {
            *locked(answer) = Some(outcome);
        }
        // Without an answer: another caller took this change, and panicked.
        locked(&answer).take().unwrap_or(Err(StoreError::Interrupted))
    }

    /// The turn, if nobody has it.
    pub(super) fn free_turn(&self) -> Option<MutexGuard<'_, ()>> {
        match self.turn.try_lock() {
            Ok(turn) => Some(turn),
            Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Waits until no change is written, and keeps others waiting.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        locked(&self.turn)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
