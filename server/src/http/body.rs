//! Reads request bodies, with checks of type, size and time.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::api::{ApiError, ErrorCode, MAX_BODY_BYTES};
use crate::engine::Form;

/// A body that is too large is still read so far beyond its limit, so that a client that writes all of it before
/// reading sees the error.
const MAX_DISCARDED: usize = 7 * MAX_BODY_BYTES;

/// Number of bodies of the largest size that searches may hold at the same time, while they are read and wait.
const AT_ONCE: usize = 64;
/// Bytes per unit of that limit.
const UNIT: usize = 1 << 10;

/// The limit on the bodies of all searches together.
#[derive(Debug)]
pub(crate) struct Bodies {
    room: Arc<Semaphore>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(AT_ONCE * MAX_BODY_BYTES / UNIT)) }
    }
}

/// A body, which counts towards the limit until it is dropped.
#[derive(Debug)]
pub(crate) struct HeldBody {
    pub(crate) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// [`json_body`] of a search. Bytes count as they arrive, so that who only declares a long body takes no room.
    pub(crate) async fn json(
        &self,
        headers: &HeaderMap,
        body: Body,
        time: Duration,
    ) -> Result<HeldBody, ApiError> {
        let mut held: Option<OwnedSemaphorePermit> = None;
        let grow = |bytes: usize| {
            let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
            let more = self.room.clone().try_acquire_many_owned(units).map_err(|_| {
                ApiError::new(ErrorCode::Overloaded, "too many long requests are being read")
                    .hint("try again after the seconds in Retry-After")
            })?;
            match &mut held {
                Some(held) => held.merge(more),
                none => *none = Some(more),
            }
            Ok(())
        };
        json_body_of(headers)?;
        let bytes = read(body, Bounds { most: MAX_BODY_BYTES, time }, grow).await?;
        Ok(HeldBody { bytes, _room: held })
    }
}

/// Reads the whole body, which must be declared as JSON.
pub(crate) async fn json_body(
    headers: &HeaderMap,
    body: Body,
    time: Duration,
) -> Result<Bytes, ApiError> {
    json_body_of(headers)?;
    read_body(body, MAX_BODY_BYTES, time).await
}

/// Refuses a body that is not declared as JSON.
pub(super) fn json_body_of(headers: &HeaderMap) -> Result<(), ApiError> {
    if is_json(headers) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::UnsupportedMediaType, "the body must be JSON")
        .hint("send the header Content-Type: application/json"))
}

/// How the documents of a body are declared.
pub(crate) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    if is_json(headers) {
        return Ok(Form::List);
    }
    if is(headers, "application/x-ndjson") {
        return Ok(Form::Lines);
    }
    let message = "the body must be a JSON list, or one JSON object a line";
    Err(ApiError::new(ErrorCode::UnsupportedMediaType, message)
        .hint("send the header Content-Type: application/json or application/x-ndjson"))
}

/// Reads the whole body, of at most `most` bytes.
pub(crate) async fn read_body(body: Body, most: usize, time: Duration) -> Result<Bytes, ApiError> {
    read(body, Bounds { most, time }, |_| Ok(())).await
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Bytes.
    most: usize,
    time: Duration,
}

/// Calls `grow` with the length of each part before it is kept.
async fn read(
    body: Body,
    bounds: Bounds,
    mut grow: impl FnMut(usize) -> Result<(), ApiError>,
) -> Result<Bytes, ApiError> {
    let Bounds { most, time } = bounds;
    let read = async {
        let mut body = Limited::new(body, most.saturating_add(MAX_DISCARDED));
        let mut bytes = Vec::new();
        let mut total = 0usize;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            total += data.len();
            if total <= most {
                grow(data.len())?;
                bytes.extend_from_slice(&data);
            } else {
                bytes = Vec::new();
            }
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((total <= most).then_some(bytes))
    };
    let too_large = || {
        let message = format!("the body has more than {most} bytes");
        ApiError::new(ErrorCode::BodyTooLarge, message)
    };
    match timeout(time, read).await {
        Err(_) => Err(ApiError::new(
            ErrorCode::BodyTimeout,
            format!("the body did not arrive within {} ms", time.as_millis()),
        )),
        Ok(Ok(Some(bytes))) => Ok(bytes.into()),
        Ok(Ok(None)) => Err(too_large()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(match error.downcast::<ApiError>() {
            Ok(error) => *error,
            Err(_) => ApiError::new(
                ErrorCode::InvalidJson,
                "the body broke off, or is not what its Content-Encoding says",
            ),
        }),
    }
}

/// Whether a body is declared as a tar archive.
pub(crate) fn is_tar(headers: &HeaderMap) -> bool {
    is(headers, "application/x-tar")
}

fn is_json(headers: &HeaderMap) -> bool {
    is(headers, "application/json")
}

fn is(headers: &HeaderMap, media_type: &str) -> bool {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let mut parts = declared.unwrap_or_default().split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    // JSON is UTF-8; a charset parameter that says so is accepted.
    let charset = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim_matches('"');
        !name.eq_ignore_ascii_case("charset")
            || ["utf-8", "utf8"].iter().any(|known| value.eq_ignore_ascii_case(known))
    };
    essence.eq_ignore_ascii_case(media_type) && parts.all(charset)
}
