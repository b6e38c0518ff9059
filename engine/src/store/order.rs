//! Keeps changes of one id in the order in which they came, while they are encoded beside each other.
//!
//! 1. a change takes a number, and its place in the line of each of its ids  2. before it is made, it waits until it is
//!    the first in all of these  3. when it was made, or is given up, it leaves them
//!
//! A change waits for those with lower numbers only, so that none waits for ever.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The lines of ids.
#[derive(Debug, Default)]
pub(super) struct Order {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// The changes of each id, in their order.
    lines: HashMap<String, VecDeque<u64>>,
}

impl Order {
    /// Takes a place for a change of these ids. Changes are in order of these calls.
    pub(super) fn enter<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Place<'_> {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        let mut own = Vec::new();
        for id in ids {
            let line = state.lines.entry(id.to_owned()).or_default();
            if line.back() != Some(&number) {
                line.push_back(number);
                own.push(id.to_owned());
            }
        }
        Place { order: self, number, ids: own }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change's place; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    order: &'a Order,
    number: u64,
    ids: Vec<String>,
}

impl Place<'_> {
    /// Waits until no earlier change of one of the ids is left.
    pub(super) fn wait(&self) {
        let mut state = self.order.state();
        for id in &self.ids {
            // Once it is the first, it stays that.
            while state.lines.get(id).and_then(VecDeque::front) != Some(&self.number) {
                let waited = self.order.moved.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.order.state();
        for id in &self.ids {
            let Some(line) = state.lines.get_mut(id) else { continue };
            line.retain(|number| *number != self.number);
            if line.is_empty() {
                state.lines.remove(id);
            }
        }
        drop(state);
        self.order.moved.notify_all();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn changes_of_one_id_follow_each_other() {
        let order = Order::default();
        let (told, made) = channel();
        std::thread::scope(|scope| {
            let first = order.enter(["a", "b", "a"]);
            let given_up = order.enter(["b", "c"]);
            let second = order.enter(["b", "c"]);
            let other = order.enter(["x"]);
            first.wait();
            other.wait();
            let told_second = told.clone();
            scope.spawn(move || {
                second.wait();
                told_second.send("second").unwrap();
            });
            told.send("first").unwrap();
            drop(given_up);
            drop(first);
            drop(other);
            assert_eq!([made.recv().unwrap(), made.recv().unwrap()], ["first", "second"]);
        });
        assert!(order.state().lines.is_empty());
    }
}
