//! Wraps every request: its id, the key, a log line, metrics, and error bodies.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::error::Error;
use std::sync::Arc;

use super::app::App;
use crate::api::{ApiError, ErrorBody, ErrorCode};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Longest request id that is accepted from a client.
const LONGEST_ID: usize = 128;
/// Status in the log for a request whose client disconnected before the answer.
const ABANDONED: u16 = 499;
/// Seconds after which a refused client may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

impl IntoResponse for ApiError {
    /// Sets only the status; the layer `observe` writes the body, which needs the request's id.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code().status());
        let mut response = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

pub(crate) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut record = Record::new(app.clone(), &request);
    let response = match authorize(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let mut response = record.shape(response);
    if let Ok(id) = HeaderValue::from_str(&record.id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    record.status = response.status().as_u16();
    response
}

fn authorize(app: &App, request: &Request) -> Result<(), ApiError> {
    let Some(key) = &app.config.key else { return Ok(()) };
    if matches!(request.uri().path(), "/livez" | "/readyz") {
        return Ok(());
    }
    let headers = request.headers();
    let bearer = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).and_then(|v| {
        let (scheme, rest) = v.split_at_checked("Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then(|| rest.trim_ascii())
    });
    match bearer.or_else(|| headers.get(API_KEY).map(HeaderValue::as_bytes)) {
        Some(given) if key.matches(given) => Ok(()),
        given => {
            let what = if given.is_some() { "the key is wrong" } else { "a key is needed" };
            Err(ApiError::new(ErrorCode::Unauthorized, what)
                .hint("send Authorization: Bearer KEY, or X-API-Key: KEY"))
        }
    }
}

/// Logs and counts a request when it is dropped, so also if its client disconnects.
struct Record {
    app: Arc<App>,
    id: String,
    method: &'static str,
    route: String,
    started: Instant,
    status: u16,
}

impl Record {
    fn new(app: Arc<App>, request: &Request) -> Self {
        let matched = request.extensions().get::<MatchedPath>();
        Self {
            app,
            id: request_id(request.headers()),
            method: method_name(request.method()),
            route: matched.map_or_else(|| "unmatched".to_owned(), |m| m.as_str().to_owned()),
            started: Instant::now(),
            status: ABANDONED,
        }
    }

    /// Gives an error its body and headers.
    fn shape(&self, mut response: Response) -> Response {
        let Some(error) = response.extensions_mut().remove::<ApiError>() else {
            return response;
        };
        match error.code() {
            ErrorCode::Overloaded => self.app.metrics.rejected(),
            ErrorCode::IngestOverloaded => self.app.metrics.write_rejected(),
            ErrorCode::Internal => {
                let cause = error.source().map(ToString::to_string);
                tracing::error!(request_id = self.id, cause, "{error}");
            }
            _ => {}
        }
        let headers = response.headers_mut();
        match error.code() {
            ErrorCode::Overloaded | ErrorCode::IngestOverloaded | ErrorCode::NotReady => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            ErrorCode::Unauthorized => {
                let scheme = HeaderValue::from_static("Bearer");
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            // The rest of such a body may never arrive.
            ErrorCode::BodyTimeout | ErrorCode::BodyTooLarge => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        headers.remove(header::CONTENT_LENGTH);
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let body = ErrorBody { error: error.detail().clone(), request_id: self.id.clone() };
        // Strings and enums always serialise.
        *response.body_mut() = Body::from(serde_json::to_vec(&body).unwrap_or_default());
        response
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let time = self.started.elapsed();
        self.app.metrics.request(&self.route, self.method, self.status, time);
        tracing::info!(
            method = self.method,
            route = self.route,
            status = self.status,
            micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
            request_id = self.id,
            "request"
        );
    }
}

/// The client's id for the request if it is short and printable, otherwise a new one.
fn request_id(headers: &HeaderMap) -> String {
    let sane = |id: &&str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
        (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(plain)
    };
    let given = headers.get(REQUEST_ID).and_then(|v| v.to_str().ok()).filter(sane);
    given.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

/// A closed set of methods, so that clients cannot create metric labels.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
