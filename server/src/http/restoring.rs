//! A collection made of an archive in a request's body.

use axum::Json;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use quarry_engine::store::CollectionName;

use super::app::App;
use super::streams::reading;
use super::work::Unhurried;
use crate::Engine;
use crate::api::ApiError;

/// Makes a collection of an archive in the body.
pub(super) async fn restored(
    app: &App,
    name: CollectionName,
    request: Request,
) -> Result<Response, ApiError> {
    let store = app.store()?;
    let seat = app.streams.enter(request.extensions().get::<Unhurried>())?;
    let described = reading((seat, request.into_body(), app.config.body_timeout), move |archive| {
        let live = store.restore_archive(&name, archive)?;
        Ok(Engine::new(live.collection().clone()).describe(name.as_str()))
    });
    Ok((StatusCode::CREATED, Json(described.await?)).into_response())
}
