//! Calls into tantivy over a text part that is not to be trusted.
//!
//! A file with the right checksum may still hold what tantivy does not expect, and there it panics. Its
//! reader is given a shared view of bytes that nobody changes, so nothing is left half done: the panic
//! becomes an error, and the part is not read on.

use std::path::Path;

use quarry_vectors::caught;
use tantivy::TantivyError;

use crate::error::IndexError;

/// Makes a call that reads the text part at `path`.
///
/// # Errors
/// Those of the call; [`IndexError::Text`] when it panics.
pub fn guarded<T, E: From<IndexError>>(
    path: &Path,
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    caught(call).unwrap_or_else(|panic| {
        let what = format!("it cannot be read: {panic}");
        Err(IndexError::text(path)(TantivyError::InternalError(what)).into())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use quarry_vectors::is_guarded;

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
