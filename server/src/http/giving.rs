//! The handlers of routes that followers ask: which generations are sealed, and their files.
//!
//! All need the scope `admin`: a follower has every document. What was given out stays a while, so that its files can be fetched.

use std::io;

use axum::extract::{Request, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use quarry_engine::store::{CollectionName, Store};

use super::access::Caller;
use super::errors::WriteErrors;
use super::routes::{Parts, Shared, no_parameters, parts};
use super::streams::written;
use super::work::Unhurried;
use super::writing::named;
use crate::api::{
    ApiError, CollectionGeneration, ErrorCode, GenerationResponse, GenerationsResponse,
    IndexVersion,
};
use crate::engine::shown_generation;

/// The sealed generations of the collections that the key is for; followers compare them with theirs.
#[utoipa::path(get, path = "/v1/generations", tag = "followers",
    responses((status = 200, description = "The generations.", body = GenerationsResponse), WriteErrors))]
pub(crate) async fn generations(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<GenerationsResponse>, ApiError> {
    no_parameters(&uri)?;
    let store = app.many()?;
    let generations = blocking(move || {
        let all = store.collections().into_iter().filter(|(name, _)| caller.reaches(name.as_str()));
        all.map(|(name, _)| {
            let (given, _lease) = store.give(&name)?;
            let index = IndexVersion { id: given.index.to_string(), generation: given.generation };
            Ok(CollectionGeneration { collection: name.to_string(), index, seq: given.sequence })
        })
        .collect::<Result<Vec<_>, ApiError>>()
    });
    Ok(Json(GenerationsResponse { generations: generations.await? }))
}

/// The sealed generation of a collection, with its files. These stay for five minutes after this answer, and longer if they are
/// part of a later generation.
#[utoipa::path(get, path = "/v1/collections/{collection}/generation", tag = "followers",
    params(("collection" = String, Path, description = "Name of the collection.")),
    responses((status = 200, description = "The generation.", body = GenerationResponse), WriteErrors))]
pub(crate) async fn generation(
    State(app): Shared,
    name: Parts<String>,
    uri: Uri,
) -> Result<Json<GenerationResponse>, ApiError> {
    let name = parts(name)?;
    no_parameters(&uri)?;
    // One that cannot be opened is not gone.
    drop(app.engine(&name)?);
    let (store, name) = (app.many()?, named(&name)?);
    let answer = blocking(move || {
        let (given, lease) = store.give(&name)?;
        app.given_out.keep(&name, given.generation, lease);
        Ok(shown_generation(given))
    });
    Ok(Json(answer.await?))
}

/// A file of a generation.
#[utoipa::path(get, path = "/v1/collections/{collection}/files/{id}", tag = "followers",
    params(("collection" = String, Path, description = "Name of the collection."),
        ("id" = String, Path, description = "Name of the file.")),
    responses((status = 200, description = "Its bytes.", content_type = "application/octet-stream", body = Vec<u8>), WriteErrors))]
pub(crate) async fn generation_file(
    State(app): Shared,
    path: Parts<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let (name, file) = parts(path)?;
    no_parameters(request.uri())?;
    let (store, name) = (app.many()?, named(&name)?);
    let seat = app.streams.enter(request.extensions().get::<Unhurried>())?;
    let Some((mut file, bytes)) = blocking(move || found(&store, &name, &file)).await? else {
        let message = "no generation has this file";
        return Err(ApiError::new(ErrorCode::FileNotFound, message).param("id"));
    };
    let body = written(seat, move |mut out| match io::copy(&mut file, &mut out)? == bytes {
        true => Ok(()),
        false => Err(io::Error::other("a file changed its length while it was sent")),
    });
    let mut answer = ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response();
    answer.headers_mut().insert(header::CONTENT_LENGTH, bytes.into());
    Ok(answer)
}

fn found(
    store: &Store,
    name: &CollectionName,
    file: &str,
) -> Result<Option<(std::fs::File, u64)>, ApiError> {
    Ok(store.give_file(name, file)?)
}

async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(job).await.map_err(ApiError::change_failed)?
}
