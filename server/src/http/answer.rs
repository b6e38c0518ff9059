//! Limits on answers whose length depends on documents: on each, and on all of them together, including
//! those that clients are slow to read.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::{ApiError, ErrorCode};

/// Number of answers of the largest size that may be held at the same time.
const AT_ONCE: usize = 8;
/// Bytes per unit of the limit.
const UNIT: usize = 1 << 10;

/// The limits on answers.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    most: usize,
    room: Arc<Semaphore>,
}

/// A serialised answer. It counts towards the limit until its last byte is handed to the system.
#[derive(Debug)]
pub(crate) struct Answer(Held);

#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Answers {
    pub(crate) fn new(most: NonZeroUsize) -> Self {
        let room = most.get().div_ceil(UNIT).saturating_mul(AT_ONCE);
        let room = room.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Self { most: most.get(), room: Arc::new(Semaphore::new(room)) }
    }

    /// Serialises an answer as JSON.
    pub(crate) fn write(&self, answer: &impl Serialize) -> Result<Answer, ApiError> {
        let mut bytes = Bounded { bytes: Vec::new(), most: self.most, over: false };
        if let Err(error) = serde_json::to_writer(&mut bytes, answer) {
            return Err(match bytes.over {
                true => ApiError::answer_too_large(self.most),
                false => ApiError::internal(error),
            });
        }
        let bytes = bytes.bytes;
        let units = u32::try_from(bytes.len().div_ceil(UNIT)).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(units).map_err(|_| {
            ApiError::new(ErrorCode::Overloaded, "too many long answers are being read")
                .hint("try again after the seconds in Retry-After, or ask for less")
        })?;
        Ok(Answer(Held { bytes, _room: room }))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], Bytes::from_owner(self.0)).into_response()
    }
}

/// Collects bytes up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
    over: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(bytes.len()) > self.most {
            self.over = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn single_answers_and_all_together_have_a_limit() {
        let answers = Answers::new(NonZeroUsize::new(1 << 20).unwrap());
        let text = |bytes: usize| "x".repeat(bytes - 2);
        let error = answers.write(&text((1 << 20) + 1)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::AnswerTooLarge);
        let mut held: Vec<Bytes> = (0..AT_ONCE)
            .map(|_| Bytes::from_owner(answers.write(&text(1 << 20)).unwrap().0))
            .collect();
        assert_eq!(held[0].len(), 1 << 20);
        assert_eq!(answers.write(&1).unwrap_err().code(), ErrorCode::Overloaded);
        // A part of an answer that is still held keeps all its room.
        let part = held.pop().unwrap().slice(..1);
        assert!(answers.write(&1).is_err());
        drop(part);
        answers.write(&text(1 << 20)).unwrap();
    }
}
