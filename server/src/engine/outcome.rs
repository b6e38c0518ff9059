//! What comes of a change.

use crate::api::ApiError;

/// What came of a change that was made: an answer or a refusal, perhaps that of before again.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    pub(crate) answer: Result<T, ApiError>,
    /// Whether it was made before, under the same key.
    pub(crate) replayed: bool,
}
