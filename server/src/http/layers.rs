//! What stands around all routes: other origins, and compressed bodies.
//!
//! Bodies of requests are inflated as they are read, so that every limit counts what comes out: one that inflates to more
//! is refused when it has done so much.

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::TryStreamExt;
use tokio_util::io::{ReaderStream, StreamReader};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::api::{ApiError, ErrorCode};

/// Shortest answer that is worth compressing.
const LEAST_BYTES: u64 = 1 << 10;

/// Inflates the body of a request: all of it, also where it has several members or frames one after another.
pub(super) async fn inflate(request: Request, next: Next) -> Response {
    let gzip = match request.headers().get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        Some(b"gzip") => true,
        Some(b"zstd") => false,
        // Others are refused where bodies are read.
        _ => return next.run(request).await,
    };
    let (mut head, body) = request.into_parts();
    head.headers.remove(header::CONTENT_ENCODING);
    head.headers.remove(header::CONTENT_LENGTH);
    // Its length is unknown from here on.
    head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    let packed = StreamReader::new(body.into_data_stream().map_err(std::io::Error::other));
    let body = if gzip {
        let mut plain = GzipDecoder::new(packed);
        plain.multiple_members(true);
        Body::from_stream(ReaderStream::new(plain))
    } else {
        let mut plain = ZstdDecoder::new(packed);
        plain.multiple_members(true);
        Body::from_stream(ReaderStream::new(plain))
    };
    next.run(Request::from_parts(head, body)).await
}

/// Refuses bodies in encodings that are not inflated.
pub(super) fn check_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let known = |value: &HeaderValue| matches!(value.as_bytes(), b"gzip" | b"zstd" | b"identity");
    let mut all = headers.get_all(header::CONTENT_ENCODING).iter();
    let (first, more) = (all.next(), all.next());
    if first.is_none_or(known) && more.is_none() {
        return Ok(());
    }
    let message = "the body's Content-Encoding is neither gzip nor zstd";
    Err(ApiError::new(ErrorCode::UnsupportedMediaType, message)
        .hint("compress it with one of them, or not at all"))
}

/// Compresses answers for clients that take it, quickly rather than well.
pub(super) fn compressing() -> CompressionLayer<SizeAbove> {
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(LEAST_BYTES))
}

/// An origin that no browser sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "origin `{0}`: `https://HOST`, with a port if it is not the usual one and without a path, was expected; or `*` alone"
)]
pub struct BadOrigin(pub String);

/// Lets pages of these origins ask; `None` if there are none.
pub(super) fn origins(origins: &[String]) -> Result<Option<CorsLayer>, BadOrigin> {
    let allowed = match origins {
        [] => return Ok(None),
        [any] if any == "*" => AllowOrigin::any(),
        listed => AllowOrigin::list(
            listed.iter().map(|text| origin(text)).collect::<Result<Vec<_>, _>>()?,
        ),
    };
    let own = |name| HeaderName::from_static(name);
    let cors = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            own("idempotency-key"),
            own("x-api-key"),
            own("x-request-id"),
        ])
        .expose_headers([
            header::ETAG,
            header::RETRY_AFTER,
            own("idempotency-replayed"),
            own("x-request-id"),
        ]);
    Ok(Some(cors))
}

/// An origin as browsers send it: `scheme://host`, with a port where it is not the scheme's own.
fn origin(text: &str) -> Result<HeaderValue, BadOrigin> {
    let refuse = || BadOrigin(text.to_owned());
    let (scheme, rest) = text.split_once("://").ok_or_else(refuse)?;
    let plain =
        |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'*' | b',' | b'?' | b'#' | b'@');
    let host = !rest.is_empty() && rest.bytes().all(|b| plain(b) && !b.is_ascii_uppercase());
    let named = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    if !(host && named) {
        return Err(refuse());
    }
    HeaderValue::from_str(text).map_err(|_| refuse())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        let found = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(|&origin| origin.to_owned()).collect();
            origins(&list)
        };
        assert!(matches!(found(&[]), Ok(None)));
        for good in ["*", "https://docs.example", "http://localhost:3000", "http://[::1]:80"] {
            assert!(matches!(found(&[good]), Ok(Some(_))), "{good}");
        }
        for wrong in
            ["", "docs.example", "https://", "https://a/", "https://A", "https://*.a", "a b"]
        {
            assert!(matches!(found(&[wrong]), Err(BadOrigin(_))), "{wrong}");
        }
        assert!(found(&["*", "https://a"]).is_err());
    }
}
