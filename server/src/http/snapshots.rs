//! The handlers of routes about snapshots. All need the scope `admin` for the collection.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use quarry_engine::store::CollectionName;

use super::errors::WriteErrors;
use super::routes::{Parts, Shared, no_parameters, parts};
use super::streams::written;
use super::work::Unhurried;
use super::writing::{named, settings_body};
use crate::api::{
    ApiError, RemovedSnapshotResponse, SnapshotInput, SnapshotResponse, SnapshotsResponse,
};
use crate::engine::shown_snapshot;

/// The type of an archive.
const TAR: &str = "application/x-tar";

/// Make a snapshot of a collection as it is now: a moment's work that takes no space until the collection changes.
#[utoipa::path(post, path = "/v1/collections/{collection}/snapshots", tag = "snapshots",
    params(("collection" = String, Path, description = "Name of the collection.")),
    request_body = SnapshotInput,
    responses((status = 201, description = "The snapshot.", body = SnapshotResponse), WriteErrors))]
pub(crate) async fn make_snapshot(
    State(app): Shared,
    name: Parts<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let name = parts(name)?;
    no_parameters(request.uri())?;
    let (store, of) = (app.store()?, named(&name)?);
    let body = settings_body(&app, request).await?;
    let input = SnapshotInput::from_json(&body.bytes)?;
    let pass = app.writes.seat(body.room)?;
    let name = input.name.as_deref().map(str::parse::<CollectionName>).transpose();
    let name = name.map_err(|message| ApiError::invalid("name", message))?;
    let made = app.write(pass, move || Ok(store.make_snapshot(&of, name.as_ref())?)).await?;
    Ok((StatusCode::CREATED, Json(shown_snapshot(&made))).into_response())
}

/// The snapshots of a collection, oldest first; also of one that was removed.
#[utoipa::path(get, path = "/v1/collections/{collection}/snapshots", tag = "snapshots",
    params(("collection" = String, Path, description = "Name of the collection.")),
    responses((status = 200, description = "The snapshots.", body = SnapshotsResponse), WriteErrors))]
pub(crate) async fn list_snapshots(
    State(app): Shared,
    name: Parts<String>,
    uri: Uri,
) -> Result<Json<SnapshotsResponse>, ApiError> {
    let name = parts(name)?;
    no_parameters(&uri)?;
    let (store, of) = (app.store()?, named(&name)?);
    let all = tokio::task::spawn_blocking(move || store.snapshots(&of)).await;
    let all = all.map_err(ApiError::change_failed)??;
    Ok(Json(SnapshotsResponse { snapshots: all.iter().map(shown_snapshot).collect() }))
}

/// A snapshot as a tar archive: `snapshot.json`, the files of the index, and `SHA256SUMS`. It has its length; one that cannot
/// be read to its end breaks off. Ranges are not given.
#[utoipa::path(get, path = "/v1/collections/{collection}/snapshots/{id}", tag = "snapshots",
    params(("collection" = String, Path, description = "Name of the collection."),
        ("id" = String, Path, description = "Name of the snapshot.")),
    responses((status = 200, description = "The archive.", content_type = "application/x-tar", body = Vec<u8>), WriteErrors))]
pub(crate) async fn read_snapshot(
    State(app): Shared,
    path: Parts<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let (of, name) = parts(path)?;
    no_parameters(request.uri())?;
    let (store, of) = (app.store()?, named(&of)?);
    let name = snapshot_named(&name)?;
    let seat = app.streams.enter(request.extensions().get::<Unhurried>())?;
    let packing = tokio::task::spawn_blocking(move || store.pack_snapshot(&of, &name)).await;
    let packing = packing.map_err(ApiError::change_failed)??;
    let record = packing.record();
    let file = format!("attachment; filename=\"{}-{}.tar\"", record.collection, record.name);
    let bytes = packing.bytes();
    let body = written(seat, move |out| packing.write(out));
    let mut answer =
        ([(header::CONTENT_TYPE, TAR), (header::ACCEPT_RANGES, "none")], body).into_response();
    answer.headers_mut().insert(header::CONTENT_LENGTH, bytes.into());
    // Names of collections and snapshots are plain.
    if let Ok(file) = HeaderValue::from_str(&file) {
        answer.headers_mut().insert(header::CONTENT_DISPOSITION, file);
    }
    Ok(answer)
}

/// Remove a snapshot.
#[utoipa::path(delete, path = "/v1/collections/{collection}/snapshots/{id}", tag = "snapshots",
    params(("collection" = String, Path, description = "Name of the collection."),
        ("id" = String, Path, description = "Name of the snapshot.")),
    responses((status = 200, description = "It is gone.", body = RemovedSnapshotResponse), WriteErrors))]
pub(crate) async fn remove_snapshot(
    State(app): Shared,
    path: Parts<(String, String)>,
    uri: Uri,
) -> Result<Json<RemovedSnapshotResponse>, ApiError> {
    let (of, removed) = parts(path)?;
    no_parameters(&uri)?;
    let (store, of) = (app.store()?, named(&of)?);
    let name = snapshot_named(&removed)?;
    let pass = app.writes.enter(0)?;
    app.write(pass, move || Ok(store.remove_snapshot(&of, &name)?)).await?;
    Ok(Json(RemovedSnapshotResponse { removed }))
}

fn snapshot_named(name: &str) -> Result<CollectionName, ApiError> {
    name.parse().map_err(|message: String| ApiError::invalid("id", message))
}
