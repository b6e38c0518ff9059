//! Wraps every request: its id, who asks, a log line, metrics, and error bodies.

use std::time::Instant;

use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::error::Error;
use std::sync::Arc;

use tracing::Instrument;

use super::access::{Asked, Caller};
use super::app::App;
use super::layers::check_encoding;
use crate::api::{ApiError, ErrorBody, ErrorCode};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is accepted from a client.
const LONGEST_ID: usize = 128;
/// Status in the log for a request whose client disconnected before the answer.
const ABANDONED: u16 = 499;
/// Seconds after which a client may ask again, if nothing measured says more.
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

/// The id of a request, for its handler.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

pub(crate) async fn observe(
    State(app): State<Arc<App>>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut record = Record::new(app.clone(), &request);
    let span = tracing::info_span!("request", request_id = &*record.id);
    let asked = caller(&app, &params, &request)
        .and_then(|caller| check_encoding(request.headers()).map(|()| caller));
    let response = match asked {
        Ok(caller) => {
            record.key = caller.id().map(str::to_owned);
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(RequestId(Arc::clone(&record.id)));
            next.run(request).instrument(span).await
        }
        Err(error) => error.into_response(),
    };
    let mut response = record.shape(response);
    if let Ok(id) = HeaderValue::from_str(&record.id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    record.status = response.status().as_u16();
    response
}

/// Who asks, for the collection that the handler will read from the same parameters.
fn caller(
    app: &App,
    params: &Result<RawPathParams, RawPathParamsRejection>,
    request: &Request,
) -> Result<Caller, ApiError> {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    // Parameters that are not UTF-8 are no name.
    let unreadable = params.is_err() && route.is_some_and(|route| route.contains('{'));
    let named = |wanted: &str| {
        let mut named = params.as_ref().ok().into_iter().flatten();
        named.find(|(name, _)| *name == wanted).map(|(_, value)| value)
    };
    let collection = named("collection").or(unreadable.then_some(""));
    let (method, document) = (request.method(), named("id"));
    Caller::of(app, request.headers(), Asked { route, method, collection, document })
}

/// Logs and counts a request when it is dropped, so also if its client disconnects.
struct Record {
    app: Arc<App>,
    id: Arc<str>,
    /// The id of the key.
    key: Option<String>,
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
            id: request_id(request.headers()).into(),
            key: None,
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
                tracing::error!(request_id = &*self.id, cause, "{error}");
            }
            _ => {}
        }
        let headers = response.headers_mut();
        match error.code() {
            ErrorCode::Overloaded => {
                headers.insert(header::RETRY_AFTER, self.app.admission.retry_after().into());
            }
            ErrorCode::IngestOverloaded => {
                let measured = || self.app.writes.retry_after();
                let after = error.retry_after().unwrap_or_else(measured);
                headers.insert(header::RETRY_AFTER, after.into());
            }
            // A rate is at least one a second.
            ErrorCode::NotReady | ErrorCode::RateLimited => {
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
        let body = ErrorBody { error: error.detail().clone(), request_id: self.id.to_string() };
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
            request_id = &*self.id,
            key = self.key,
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
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
