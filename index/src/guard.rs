//! Calls into tantivy over a text part that is not to be trusted.
//!
//! A file with the right checksum may still hold what tantivy does not expect, and there it panics. Its
//! reader is given a shared view of bytes that nobody changes, so nothing is left half done: the panic
//! becomes an error, and the part is not read on.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tantivy::TantivyError;

use crate::IndexError;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread now becomes an error: a program's panic hook need not tell of it.
#[must_use]
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Makes a call that reads the text part at `path`.
///
/// # Errors
/// Those of the call; [`IndexError::Text`] when it panics.
pub fn guarded<T, E: From<IndexError>>(
    path: &Path,
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            GUARDED.set(self.0);
        }
    }
    let restore = Restore(GUARDED.replace(true));
    let result = catch_unwind(AssertUnwindSafe(call));
    drop(restore);
    result.unwrap_or_else(|panic| {
        let what = format!("it cannot be read: {}", words(&*panic));
        Err(IndexError::text(path)(TantivyError::InternalError(what)).into())
    })
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason was given")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_of_the_text_part() {
        let path = Path::new("x/text.qry");
        let fine = guarded(path, || Ok::<_, IndexError>(is_guarded()));
        assert!(fine.unwrap() && !is_guarded());
        let inner = || guarded::<(), IndexError>(path, || panic!("postings of {}", 7));
        let both = guarded::<(), IndexError>(path, || {
            let error = inner().unwrap_err();
            assert!(is_guarded(), "the outer call still is");
            Err(error)
        });
        let error = both.unwrap_err();
        assert!(matches!(&error, IndexError::Text { path, .. } if path.ends_with("text.qry")));
        assert!(error.to_string().contains("postings of 7"), "{error}");
        assert!(!is_guarded());
    }
}
