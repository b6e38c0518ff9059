//! The handlers of routes about many documents at once.

use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::access::{Caller, GET};
use super::conditions::{Keyed, answered, no_condition};
use super::errors::{SearchErrors, WriteErrors};
use super::patching::patch_documents;
use super::routes::{Parts, Shared, no_parameters, parts};
use super::writing::ack_alone;
use crate::Engine;
use crate::api::{ApiError, DeleteRequest, DeleteResponse, ErrorCode, GetRequest, GetResponse};
use crate::engine::{delete, would_delete};

/// Time limit of getting many documents.
const GET_TIME: Duration = Duration::from_secs(10);
const DELETE: &str = "delete";
const PATCH: &str = "patch";

/// What is posted to in place of a document of this id. No routes of their own, which would hide the documents of these
/// ids.
pub(crate) async fn act(
    state: Shared,
    path: Parts<(String, String)>,
    caller: Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let (name, action) = parts(path)?;
    match action.as_str() {
        GET => get_documents(state, caller, (name, request)).await,
        DELETE => delete_documents(state, (name, request)).await,
        PATCH => patch_documents(state, (name, request)).await,
        _ => {
            let message = "the route does not have this method";
            Err(ApiError::new(ErrorCode::MethodNotAllowed, message))
        }
    }
}

/// Get many documents of one generation, by their ids or by a filter.
#[utoipa::path(post, path = "/v1/collections/{collection}/documents/get", tag = "documents",
    params(("collection" = String, Path, description = "Name of the collection.")),
    request_body = GetRequest,
    responses((status = 200, description = "The documents; ids that no document has are named.", body = GetResponse), SearchErrors))]
pub(crate) async fn get_documents(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    (name, request): (String, Request),
) -> Result<Response, ApiError> {
    let engine = app.engine(&name)?;
    no_parameters(request.uri())?;
    let (head, body) = request.into_parts();
    let body = app.bodies.json(&head.headers, body, app.config.body_timeout).await?;
    let request = GetRequest::from_json(&body.bytes)?;
    request.wanted()?;
    let answers = app.answers.clone();
    let job = move |engine: &Engine, deadline| {
        let found = engine.documents(&request, caller.filter(), Some(deadline))?;
        drop(body);
        answers.write(&found)
    };
    Ok(app.run(engine, GET_TIME, job).await?.into_response())
}

/// Delete documents by their ids, or those that match a filter.
#[utoipa::path(post, path = "/v1/collections/{collection}/documents/delete", tag = "documents",
    params(
        ("collection" = String, Path, description = "Name of the collection."),
        ("ack" = Option<String>, Query, description = "As for documents that are added."),
        ("Idempotency-Key" = Option<String>, Header, description = "As for documents that are added."),
    ),
    request_body = DeleteRequest,
    responses((status = 200, description = "What was deleted; ids that no document has are named.", body = DeleteResponse), WriteErrors))]
pub(crate) async fn delete_documents(
    State(app): Shared,
    (name, request): (String, Request),
) -> Result<Response, ApiError> {
    let live = app.live(&name)?;
    let ack = ack_alone(request.uri())?;
    let (head, body) = request.into_parts();
    no_condition(&head.headers)?;
    let body = app.writes.bodies()?.json(&head.headers, body, app.config.body_timeout).await?;
    let request = DeleteRequest::from_json(&body.bytes)?;
    let dry_run = request.dry_run;
    let selection = request.selection()?;
    let (body, room) = (body.bytes, body.room);
    let key = Keyed { method: &head.method, uri: &head.uri, headers: &head.headers, body: &body }
        .key()?;
    let pass = app.writes.seat(room)?;
    let answer = app.write(pass, move || match dry_run {
        true => would_delete(&live, &selection),
        false => delete(&live, selection, (ack, key)),
    });
    Ok(answered(answer.await?))
}
