//! The handlers of one document's route, and what they share with those of many: conditions, keys, entity tags.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use std::time::Duration;

use super::access::Caller;
use super::body::json_body_of;
use super::conditions::{Keyed, answered, condition, etag, has_it};
use super::errors::{ReadErrors, WriteErrors};
use super::routes::{Parts, Shared, no_parameters, parts};
use super::writing::ack_alone;
use crate::Engine;
use crate::api::{ApiError, DEFAULT_TIMEOUT_MS, DeleteResponse, DocumentResponse, WrittenResponse};
use crate::engine::{OneSent, Outcome, delete_one, put_one};

/// A stored document.
#[utoipa::path(get, path = "/v1/collections/{collection}/documents/{id}", tag = "documents",
    params(
        ("collection" = String, Path, description = "Name of the collection."),
        ("id" = String, Path, description = "The document's id in the collection, percent-encoded."),
        ("If-None-Match" = Option<String>, Header, description = "Versions that are known, as `ETag` has them: 304 if it is one of them."),
    ),
    responses((status = 200, description = "The document.", body = DocumentResponse,
            headers(("ETag" = String, description = "Its version in quotes."))),
        (status = 304, description = "It has a version that is known."), ReadErrors))]
pub(crate) async fn document(
    State(app): Shared,
    path: Parts<(String, String)>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (name, id) = parts(path)?;
    no_parameters(&uri)?;
    let engine = app.engine(&name)?;
    let time = Duration::from_millis(DEFAULT_TIMEOUT_MS);
    let answers = app.answers.clone();
    let job = move |engine: &Engine, _| {
        let found = match caller.filter() {
            Some(filter) => engine.document_within(&id, filter)?,
            None => engine.document(&id)?,
        };
        let tag = [(header::ETAG, etag(found.version))];
        if has_it(&headers, found.version)? {
            return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
        }
        Ok((tag, answers.write(&found)?).into_response())
    };
    app.run(engine, time, job).await
}

/// Write a document, in place of the one of its id if there is one.
#[utoipa::path(put, path = "/v1/collections/{collection}/documents/{id}", tag = "documents",
    params(
        ("collection" = String, Path, description = "Name of the collection."),
        ("id" = String, Path, description = "The document's id, percent-encoded."),
        ("ack" = Option<String>, Query, description = "As for documents that are added."),
        ("If-Match" = Option<String>, Header, description = "Only if the document has one of these versions, as `ETag` has them; `*`: if it is there. Else 412 with the version that it has."),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if no document of this id is there."),
        ("Idempotency-Key" = Option<String>, Header, description = "As for documents that are added."),
    ),
    request_body(content = Object, description = "The document with `title`, `text`, `vector` and any other fields; an `id` in it must be that of the URL."),
    responses((status = 201, description = "It is new.", body = WrittenResponse,
            headers(("ETag" = String, description = "Its version in quotes."))),
        (status = 200, description = "It replaced one.", body = WrittenResponse,
            headers(("ETag" = String, description = "Its version in quotes."))), WriteErrors))]
pub(crate) async fn put_document(
    State(app): Shared,
    path: Parts<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let (name, id) = parts(path)?;
    let live = app.live(&name)?;
    let ack = ack_alone(request.uri())?;
    let (head, body) = request.into_parts();
    let condition = condition(&head.headers)?;
    json_body_of(&head.headers)?;
    let most = app.config.document_bytes.get();
    let body = app.writes.bodies()?.read(body, most, app.config.body_timeout).await?;
    let (body, room) = (body.bytes, body.room);
    let pass = app.writes.seat(room)?;
    let key = Keyed { method: &head.method, uri: &head.uri, headers: &head.headers, body: &body }
        .key()?;
    let sent = move || put_one(&live, &OneSent { id, body: &body, ack, condition, key, most });
    Ok(written(app.write(pass, sent).await?))
}

/// Delete a document.
#[utoipa::path(delete, path = "/v1/collections/{collection}/documents/{id}", tag = "documents",
    params(
        ("collection" = String, Path, description = "Name of the collection."),
        ("id" = String, Path, description = "The document's id, percent-encoded."),
        ("ack" = Option<String>, Query, description = "As for documents that are added."),
        ("If-Match" = Option<String>, Header, description = "Only if the document has one of these versions, as `ETag` has them; `*`: if it is there. Else 412 with the version that it has."),
        ("Idempotency-Key" = Option<String>, Header, description = "As for documents that are added."),
    ),
    responses((status = 200, description = "It is deleted.", body = DeleteResponse), WriteErrors))]
pub(crate) async fn delete_document(
    State(app): Shared,
    path: Parts<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let (name, id) = parts(path)?;
    let live = app.live(&name)?;
    let ack = ack_alone(request.uri())?;
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let condition = condition(headers)?;
    let key = Keyed { method, uri, headers, body: b"" }.key()?;
    let pass = app.writes.enter(id.len())?;
    let sent = move || delete_one(&live, &OneSent { id, body: b"", ack, condition, key, most: 0 });
    Ok(answered(app.write(pass, sent).await?))
}

/// An answer that has the document's version.
pub(super) fn written(outcome: Outcome<WrittenResponse>) -> Response {
    let of = outcome.answer.as_ref().ok().map(|written| (written.version, written.created));
    let mut response = answered(outcome);
    if let Some((version, created)) = of {
        response.headers_mut().insert(header::ETAG, etag(version));
        if created {
            *response.status_mut() = StatusCode::CREATED;
        }
    }
    response
}
