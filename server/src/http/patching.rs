//! The handlers of patches.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use super::body::json_body_of;
use super::conditions::{Keyed, answered, condition, etag, no_condition};
use super::errors::WriteErrors;
use super::routes::{Parts, Shared, parts};
use super::writing::ack_alone;
use crate::api::{ApiError, PatchRequest, PatchResponse, PatchedResponse};
use crate::engine::{OneSent, patch_many, patch_one};

/// Change some fields of a document by a JSON merge patch (RFC 7396). Where neither title nor text changes, nothing is
/// encoded.
#[utoipa::path(patch, path = "/v1/collections/{collection}/documents/{id}", tag = "documents",
    params(
        ("collection" = String, Path, description = "Name of the collection."),
        ("id" = String, Path, description = "The document's id, percent-encoded."),
        ("ack" = Option<String>, Query, description = "As for documents that are added."),
        ("If-Match" = Option<String>, Header, description = "Only if the document has one of these versions, as `ETag` has them. Else 412 with the version that it has."),
        ("Idempotency-Key" = Option<String>, Header, description = "As for documents that are added."),
    ),
    request_body(
        content((Object = "application/json"), (Object = "application/merge-patch+json")),
        description = "`title`, `text` and other fields with their new values; `null` removes one."),
    responses((status = 200, description = "It is patched.", body = PatchedResponse,
        headers(("ETag" = String, description = "Its version in quotes."))), WriteErrors))]
pub(crate) async fn patch_document(
    State(app): Shared,
    path: Parts<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let (name, id) = parts(path)?;
    let live = app.live(&name)?;
    let ack = ack_alone(request.uri())?;
    let (head, body) = request.into_parts();
    let condition = condition(&head.headers)?;
    if !is_merge_patch(&head.headers) {
        json_body_of(&head.headers)?;
    }
    let most = app.config.document_bytes.get();
    let body = app.writes.bodies()?.read(body, most, app.config.body_timeout).await?;
    let (body, room) = (body.bytes, body.room);
    let pass = app.writes.seat(room)?;
    let key = Keyed { method: &head.method, uri: &head.uri, headers: &head.headers, body: &body }
        .key()?;
    let sent = move || patch_one(&live, &OneSent { id, body: &body, ack, condition, key, most });
    let outcome = app.write(pass, sent).await?;
    let version = outcome.answer.as_ref().ok().map(|patched: &PatchedResponse| patched.version);
    let mut response = answered(outcome);
    if let Some(version) = version {
        response.headers_mut().insert(header::ETAG, etag(version));
    }
    Ok(response)
}

/// Patch many documents: those of some ids, or those that match a filter.
#[utoipa::path(post, path = "/v1/collections/{collection}/documents/patch", tag = "documents",
    params(
        ("collection" = String, Path, description = "Name of the collection."),
        ("ack" = Option<String>, Query, description = "As for documents that are added."),
        ("Idempotency-Key" = Option<String>, Header, description = "As for documents that are added."),
    ),
    request_body = PatchRequest,
    responses((status = 200, description = "What was patched; ids that no document has are named.", body = PatchResponse), WriteErrors))]
pub(super) async fn patch_documents(
    State(app): Shared,
    (name, request): (String, Request),
) -> Result<Response, ApiError> {
    let live = app.live(&name)?;
    let ack = ack_alone(request.uri())?;
    let most = app.config.document_bytes.get();
    let (head, body) = request.into_parts();
    no_condition(&head.headers)?;
    let body = app.writes.bodies()?.json(&head.headers, body, app.config.body_timeout).await?;
    let (body, room) = (body.bytes, body.room);
    let pass = app.writes.seat(room)?;
    let wanted = PatchRequest::from_json(&body)?;
    let key = Keyed { method: &head.method, uri: &head.uri, headers: &head.headers, body: &body }
        .key()?;
    Ok(answered(app.write(pass, move || patch_many(&live, (wanted, most), (ack, key))).await?))
}

fn is_merge_patch(headers: &HeaderMap) -> bool {
    let declared = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    declared.is_some_and(|declared| declared.eq_ignore_ascii_case(b"application/merge-patch+json"))
}
