//! The handler of the route that makes a collection of another one's documents, encoded anew.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use quarry_engine::store::{CollectionName, StoreError};

use super::access::{Caller, forbidden};
use super::body::json_body;
use super::errors::WriteErrors;
use super::routes::{Parts, Shared, no_parameters, parts};
use super::tasks::accepted;
use super::writing::named;
use crate::Engine;
use crate::api::{ApiError, CollectionResponse, CopyInput, MAX_BODY_BYTES, TaskResponse};
use crate::engine::changed_settings;

/// Make a collection of another one's documents, with other settings: a task that encodes their texts anew, and makes again what
/// changes meanwhile. The collection is there when it is level with the other one. If no setting differs, it is a copy, and
/// there at once.
#[utoipa::path(post, path = "/v1/collections/{collection}", tag = "collections",
    params(("collection" = String, Path, description = "Name of the new collection.")),
    request_body = CopyInput,
    responses((status = 202, description = "The task that makes it.", body = TaskResponse),
        (status = 201, description = "It was made.", body = CollectionResponse), WriteErrors))]
pub(crate) async fn copy_collection(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    name: Parts<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let name = parts(name)?;
    let store = app.store()?;
    no_parameters(request.uri())?;
    let name = named(&name)?;
    let (head, body) = request.into_parts();
    let pass = app.writes.enter(MAX_BODY_BYTES)?;
    let body = json_body(&head.headers, body, app.config.body_timeout).await?;
    let input = CopyInput::from_json(&body)?;
    if !caller.reaches(&input.from) {
        return Err(forbidden());
    }
    let old = app.live(&input.from)?;
    let from: CollectionName =
        input.from.parse().map_err(|message: String| ApiError::invalid("from", message))?;
    app.write(pass, move || {
        let before = old.settings().ok_or_else(|| StoreError::NotOurs {
            name: from.to_string(),
            found: "it has no collection.json".to_owned(),
        })?;
        let settings = changed_settings(input, before)?;
        if settings != *before {
            return Ok(accepted(store.begin_copy(&name, (&from, &settings))?));
        }
        let made = store.copy(&name, &from)?;
        let described = Engine::new(made.live.collection().clone()).describe(name.as_str());
        Ok((StatusCode::CREATED, Json(described)).into_response())
    })
    .await
}
