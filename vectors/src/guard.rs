//! Calls into libraries that panic on input that they do not expect, where the input comes from outside.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread now becomes an error: a program's panic hook need not tell of it.
#[must_use]
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Makes the call. What it works on must not be used again after a panic, or be left whole by one.
///
/// # Errors
/// What a panic of it said.
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            GUARDED.set(self.0);
        }
    }
    let restore = Restore(GUARDED.replace(true));
    let result = catch_unwind(AssertUnwindSafe(call));
    drop(restore);
    result.map_err(|panic| words(&*panic).to_owned())
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason was given")
}
