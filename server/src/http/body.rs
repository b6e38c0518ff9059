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
/// Bytes of each body of a write that are always read: at most as many bodies are read as there are connections.
const FREE: usize = 64 << 10;
/// Bytes per unit of that limit.
const UNIT: usize = 1 << 10;

/// A limit on the bodies of all requests of a kind together.
#[derive(Debug)]
pub(crate) struct Bodies {
    room: Arc<Semaphore>,
    /// Bytes of each body that do not count, so that a few long ones that arrive slowly never keep short ones out.
    free: usize,
    /// What is said when there is no room.
    full: ErrorCode,
}

/// A body, which counts towards the limit until it is dropped.
#[derive(Debug)]
pub(crate) struct HeldBody {
    pub(crate) bytes: Bytes,
    pub(crate) room: HeldRoom,
}

/// The room that a body takes.
pub(crate) type HeldRoom = Option<OwnedSemaphorePermit>;

impl Bodies {
    /// The limit of searches.
    pub(crate) fn of_searches() -> Self {
        let room = Arc::new(Semaphore::new(AT_ONCE * MAX_BODY_BYTES / UNIT));
        Self { room, free: 0, full: ErrorCode::Overloaded }
    }

    /// The limit of writes: a room in units of 1 KiB, beside 64 KiB of each body.
    pub(crate) fn of_writes(room: Arc<Semaphore>) -> Self {
        Self { room, free: FREE, full: ErrorCode::IngestOverloaded }
    }

    /// [`json_body`] whose bytes count.
    pub(crate) async fn json(
        &self,
        headers: &HeaderMap,
        body: Body,
        time: Duration,
    ) -> Result<HeldBody, ApiError> {
        json_body_of(headers)?;
        self.read(body, MAX_BODY_BYTES, time).await
    }

    /// Reads the whole body, of at most `most` bytes. They count as they arrive, so that who only declares a long body takes
    /// no room.
    pub(crate) async fn read(
        &self,
        body: Body,
        most: usize,
        time: Duration,
    ) -> Result<HeldBody, ApiError> {
        let (mut room, mut total, mut counted): (HeldRoom, usize, usize) = (None, 0, 0);
        let grow = |bytes: usize| {
            total += bytes;
            let wanted = total.saturating_sub(self.free).div_ceil(UNIT);
            let units = u32::try_from(wanted.saturating_sub(counted)).unwrap_or(u32::MAX);
            let more = self.room.clone().try_acquire_many_owned(units).map_err(|_| {
                ApiError::new(self.full, "too many long requests are being read")
                    .hint("try again after the seconds in Retry-After")
            })?;
            counted = wanted.max(counted);
            match &mut room {
                Some(room) => room.merge(more),
                none => *none = Some(more),
            }
            Ok(())
        };
        let bytes = read(body, Bounds { most, time }, grow).await?;
        Ok(HeldBody { bytes, room })
    }
}

/// Reads the whole body, which must be declared as JSON.
pub(crate) async fn json_body(
    headers: &HeaderMap,
    body: Body,
    time: Duration,
) -> Result<Bytes, ApiError> {
    json_body_of(headers)?;
    read(body, Bounds { most: MAX_BODY_BYTES, time }, |_| Ok(())).await
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
