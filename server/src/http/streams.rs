//! Bodies that may be long, and take their time: written and read by jobs that block, a piece at a time.
//!
//! A few go on at the same time ([`AT_ONCE`]), each holding a few pieces in memory. None has a time limit as a whole
//! ([`Unhurried`]); one whose client stops reading or sending ends.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::work::Unhurried;
use crate::api::{ApiError, ErrorCode};

/// Long bodies at the same time.
const AT_ONCE: usize = 8;
/// Bytes of a piece that is written.
const PIECE: usize = 1 << 17;
/// Pieces that wait.
const PIECES: usize = 4;
/// Bytes of a body that are still read when nobody wants them, so that a client that sends first sees the answer.
const DISCARDED: usize = 8 << 20;

/// The limit on long bodies.
#[derive(Debug)]
pub(crate) struct Streams {
    seats: Arc<Semaphore>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { seats: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// The permission for a long body.
#[derive(Debug)]
pub(crate) struct Seat {
    _seat: OwnedSemaphorePermit,
}

impl Streams {
    /// Admits a request, which then has no time limit, or refuses it.
    pub(crate) fn enter(&self, request: Option<&Unhurried>) -> Result<Seat, ApiError> {
        let seat = self.seats.clone().try_acquire_owned().map_err(|_| {
            ApiError::new(ErrorCode::Overloaded, "too many files are being read or sent")
                .hint("try again after the seconds in Retry-After")
        })?;
        if let Some(request) = request {
            request.take_time();
        }
        Ok(Seat { _seat: seat })
    }
}

/// A body that `job` writes on a thread of its own. Where it fails, the body breaks off.
pub(crate) fn written(
    seat: Seat,
    job: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Body {
    let (send, receive) = channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let mut out = Pieces { send, piece: Vec::with_capacity(PIECE) };
        let written = job(&mut out).and_then(|()| out.flush());
        if let Err(error) = written {
            // A client that went away needs no error; others see that the body ends too early.
            if error.kind() != io::ErrorKind::BrokenPipe {
                tracing::error!(%error, "an answer broke off");
            }
            let _ = out.send.blocking_send(Err(error));
        }
        drop(seat);
    });
    Body::from_stream(futures_util::stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|piece| (piece, receive))
    }))
}

/// Sends what is written in pieces.
struct Pieces {
    send: Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.send.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Runs `job` on a thread of its own while it reads a body. `silence`: longest time between two pieces of it.
pub(crate) async fn reading<T: Send + 'static>(
    (seat, body, silence): (Seat, Body, Duration),
    job: impl FnOnce(Incoming) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let (send, receive) = channel(PIECES);
    let span = tracing::Span::current();
    let job = tokio::task::spawn_blocking(move || {
        let done = span.in_scope(|| job(Incoming { receive, piece: Bytes::new() }));
        drop(seat);
        done
    });
    let ((), done) = tokio::join!(pump(body, send, silence), job);
    done.map_err(ApiError::change_failed)?
}

/// Hands a body on until it ends, stalls, or nobody wants more.
async fn pump(mut body: Body, send: Sender<io::Result<Bytes>>, silence: Duration) {
    let mut discarded = 0;
    loop {
        let piece = match timeout(silence, body.frame()).await {
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
            Ok(None) => return,
            Ok(Some(Err(error))) => Err(io::Error::other(error)),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Ok(data),
                Err(_) => continue,
            },
        };
        let bytes = piece.as_ref().map_or(DISCARDED, Bytes::len);
        let ended = piece.is_err();
        if send.send(piece).await.is_err() {
            discarded += bytes;
            if discarded >= DISCARDED {
                return;
            }
        }
        if ended {
            return;
        }
    }
}

/// A body, for a job that reads it.
pub(crate) struct Incoming {
    receive: Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receive.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.piece = piece?,
            }
        }
        let count = self.piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}
