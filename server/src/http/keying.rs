//! The handlers of routes that list, make and remove keys.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::body::json_body;
use super::errors::WriteErrors;
use super::routes::{Parts, Shared, no_parameters, parts};
use crate::api::{
    ApiError, ErrorCode, KeyInput, KeyResponse, KeysResponse, NewKeyResponse, RemovedKeyResponse,
};
use crate::keys::{KeyFileError, KeyRecord, KeyRequest, KeyRing, NewKey, parse_time, time_text};

/// All keys, without what clients send.
#[utoipa::path(get, path = "/v1/keys", tag = "keys",
    responses((status = 200, description = "The keys.", body = KeysResponse), WriteErrors))]
pub(crate) async fn list_keys(
    State(app): Shared,
    uri: Uri,
) -> Result<Json<KeysResponse>, ApiError> {
    no_parameters(&uri)?;
    let keys = ring(&app)?.records().into_iter().map(shown).collect();
    Ok(Json(KeysResponse { keys }))
}

/// Make a key. The answer is the only time that it is shown.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = KeyInput,
    responses((status = 201, description = "The key.", body = NewKeyResponse), WriteErrors))]
pub(crate) async fn make_key(State(app): Shared, request: Request) -> Result<Response, ApiError> {
    no_parameters(request.uri())?;
    let ring = ring(&app)?;
    let (head, body) = request.into_parts();
    let body = json_body(&head.headers, body, app.config.body_timeout).await?;
    let made = NewKey::make(wanted(KeyInput::from_json(&body)?)?)
        .map_err(|fault| ApiError::invalid(fault.param, fault.message))?;
    let made = blocking(move || ring.add(&made).map(|()| made)).await?;
    let answer = NewKeyResponse { key: made.key, record: shown(made.record) };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Remove a key; it is refused from then on.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key's id, as the list has it.")),
    responses((status = 200, description = "It is gone.", body = RemovedKeyResponse), WriteErrors))]
pub(crate) async fn remove_key(
    State(app): Shared,
    id: Parts<String>,
    uri: Uri,
) -> Result<Json<RemovedKeyResponse>, ApiError> {
    no_parameters(&uri)?;
    let (id, ring) = (parts(id)?, ring(&app)?);
    let message = format!("no key has the id `{id}`");
    let removed = id.clone();
    match blocking(move || ring.remove(&id)).await? {
        true => Ok(Json(RemovedKeyResponse { removed })),
        false => Err(ApiError::new(ErrorCode::KeyNotFound, message).param("id")),
    }
}

fn ring(app: &App) -> Result<Arc<KeyRing>, ApiError> {
    app.keys.clone().ok_or_else(|| {
        ApiError::not_supported("keys", "this server has no file of keys")
            .hint("start it with --keys FILE")
    })
}

fn wanted(input: KeyInput) -> Result<KeyRequest, ApiError> {
    let KeyInput { name, scopes, collections, filter, expires_at, rate } = input;
    let expires_at = expires_at.as_deref().map(parse_time).transpose();
    let expires_at = expires_at.map_err(|message| ApiError::invalid("expires_at", message))?;
    let none = || ApiError::invalid("rate", "0 is not 1 or more");
    let rate = rate.map(|rate| NonZeroU32::new(rate).ok_or_else(none)).transpose()?;
    Ok(KeyRequest { name, scopes, collections, filter, expires_at, rate })
}

fn shown(record: KeyRecord) -> KeyResponse {
    let expired = record.is_expired(time::OffsetDateTime::now_utc());
    KeyResponse {
        id: record.id,
        name: record.name,
        scopes: record.scopes,
        collections: record.collections,
        filter: record.filter,
        expires_at: record.expires_at.map(time_text),
        expired,
        rate: record.rate.map(NonZeroU32::get),
        created_at: time_text(record.created_at),
    }
}

async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, KeyFileError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(job).await {
        Ok(done) => done.map_err(ApiError::change_failed),
        Err(panicked) => Err(ApiError::change_failed(panicked)),
    }
}
