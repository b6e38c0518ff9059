//! The route that streams all documents of a collection.
//!
//! 1. the generation and the filter are taken, and what cannot be done is refused, as for a search  2. a thread reads
//!    document after document into parts of some size, and waits while two of them are not yet sent: memory is bounded, and
//!    the generation's files stay until the end  3. a client that reads nothing is disconnected, which ends the thread
//!
//! No writer waits for it. Where reading fails the connection is cut, so that the client sees no regular end.

use std::io;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use quarry_engine::{DocumentLine, Listing};
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::Instant;

use super::access::Caller;
use super::errors::ReadErrors;
use super::routes::{Parts, Shared, parts};
use super::work::Streams;
use super::writing::parameters;
use crate::Engine;
use crate::api::{ApiError, MAX_TIMEOUT_MS};

/// Bytes after which a part is sent.
const PART: usize = 64 << 10;
/// Parts that wait to be sent.
const WAITING: usize = 2;

/// All documents of one generation, one a line, as they can be added again. An answer that breaks off has no regular end.
#[utoipa::path(get, path = "/v1/collections/{collection}/documents", tag = "documents",
    params(
        ("collection" = String, Path, description = "Name of the collection."),
        ("filter" = Option<String>, Query, description = "What documents must match, as `filter` of a search."),
        ("vectors" = Option<bool>, Query, description = "`true`: with their vectors, as the index stores them; not where texts are split into passages. A collection whose documents bring their vectors takes them again; where a model makes them, leave it out."),
    ),
    responses((status = 200, description = "Documents, one JSON object a line.", body = String, content_type = "application/x-ndjson"), ReadErrors))]
pub(crate) async fn export(
    State(app): Shared,
    name: Parts<String>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let engine = app.engine(&parts(name)?)?;
    let [filter, vectors] = parameters(request.uri(), ["filter", "vectors"])?;
    let vectors = match vectors.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            let message = format!("`{other}` is neither true nor false");
            return Err(ApiError::invalid("vectors", message));
        }
    };
    let permit = app.exports.enter()?;
    let time = std::time::Duration::from_millis(MAX_TIMEOUT_MS);
    let prepare = move |engine: &Engine, deadline| {
        let within = caller.filter();
        let filters = [filter.as_deref(), within].into_iter().flatten();
        let snapshot = engine.collection().snapshot();
        Listing::open(snapshot, filters, vectors, Some(deadline)).map_err(|error| {
            let error = ApiError::from(error);
            // Names of fields may be those of documents outside the filter.
            if within.is_some() { error.without_list() } else { error }
        })
    };
    let listing = app.run(engine, time, prepare).await?;
    let (send, receive) = channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        match produce(&listing, &send) {
            Ok(documents) => tracing::info!(documents, took = ?started.elapsed(), "exported"),
            Err(error) => {
                tracing::error!(%error, "an export broke off");
                // Told to the client by a connection that is cut.
                let _ = send.blocking_send(Err(error));
            }
        }
        drop(permit);
    });
    let body =
        unfold(
            receive,
            |mut receive| async move { receive.recv().await.map(|part| (part, receive)) },
        );
    let mut response = Body::from_stream(body).into_response();
    let lines = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, lines);
    response.extensions_mut().insert(Streams);
    Ok(response)
}

/// Sends all documents; gives their number. Ends early where nobody receives.
fn produce(listing: &Listing, send: &Sender<io::Result<Bytes>>) -> io::Result<u64> {
    let (mut part, mut count) = (Vec::with_capacity(PART), 0);
    for document in listing.documents() {
        let document = document.map_err(io::Error::other)?;
        serde_json::to_writer(&mut part, &DocumentLine(&document))?;
        part.push(b'\n');
        count += 1;
        if part.len() >= PART {
            let whole = std::mem::replace(&mut part, Vec::with_capacity(PART));
            if send.blocking_send(Ok(whole.into())).is_err() {
                return Ok(count);
            }
        }
    }
    if !part.is_empty() {
        // Who does not receive any more does not care.
        let _ = send.blocking_send(Ok(part.into()));
    }
    Ok(count)
}
