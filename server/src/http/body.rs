//! Reads request bodies, with checks of type, size and time.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::time::Duration;
use tokio::time::timeout;

use crate::api::{ApiError, ErrorCode, MAX_BODY_BYTES};

/// A body that is too large is still read up to this size, so that a client that writes all of it before
/// reading sees the error.
const MAX_DISCARDED: usize = 8 * MAX_BODY_BYTES;

/// Reads the whole body, which must be declared as JSON.
pub(crate) async fn json_body(
    headers: &HeaderMap,
    body: Body,
    time: Duration,
) -> Result<Bytes, ApiError> {
    if !is_json(headers) {
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, "the body must be JSON")
            .hint("send the header Content-Type: application/json"));
    }
    let read = async {
        let mut body = Limited::new(body, MAX_DISCARDED);
        let mut bytes = Vec::new();
        let mut total = 0usize;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            total += data.len();
            if total <= MAX_BODY_BYTES {
                bytes.extend_from_slice(&data);
            } else {
                bytes = Vec::new();
            }
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
            (total <= MAX_BODY_BYTES).then_some(bytes),
        )
    };
    let too_large = || {
        let message = format!("the body has more than {MAX_BODY_BYTES} bytes");
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
        Ok(Err(_)) => Err(ApiError::new(ErrorCode::InvalidJson, "the body broke off")),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
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
    essence.eq_ignore_ascii_case("application/json") && parts.all(charset)
}
