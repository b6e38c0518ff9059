//! The handlers of routes about tasks: begin, look, wait, cancel.
//!
//! A key sees the tasks of its collections, with the scope `write`, and cancels them with `admin`; others are as if they
//! were not there.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use quarry_engine::store::Task;
use tokio::time::Instant;

use super::access::Caller;
use super::app::App;
use super::errors::WriteErrors;
use super::routes::{Parts, Shared, no_parameters, parts};
use super::writing::{named, parameters};
use crate::api::{ApiError, ErrorCode, MAX_TIMEOUT_MS, TaskResponse, TasksResponse};
use crate::engine::shown_task;

/// Time between two looks at a task that is waited for.
const REST: Duration = Duration::from_millis(10);

/// The tasks of the collections that the key is for, newest first.
#[utoipa::path(get, path = "/v1/tasks", tag = "tasks",
    responses((status = 200, description = "Those that wait or run, and the last 200 that ended.", body = TasksResponse), WriteErrors))]
pub(crate) async fn list_tasks(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<TasksResponse>, ApiError> {
    no_parameters(&uri)?;
    let tasks = app.store()?.tasks().into_iter().filter(|task| caller.reaches(&task.collection));
    Ok(Json(TasksResponse { tasks: tasks.map(shown_task).collect() }))
}

/// A task.
#[utoipa::path(get, path = "/v1/tasks/{id}", tag = "tasks",
    params(
        ("id" = String, Path, description = "The task's id."),
        ("wait_ms" = Option<u64>, Query, description = "Milliseconds to wait for its end, at most 60000; then it is answered as it is."),
    ),
    responses((status = 200, description = "The task.", body = TaskResponse), WriteErrors))]
pub(crate) async fn task(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    id: Parts<String>,
    uri: Uri,
) -> Result<Json<TaskResponse>, ApiError> {
    let id = parts(id)?;
    let [wait] = parameters(&uri, ["wait_ms"])?;
    let wait = match wait.as_deref().map(str::parse::<u64>) {
        None => 0,
        Some(Ok(wait)) if wait <= MAX_TIMEOUT_MS => wait,
        Some(_) => {
            let message = format!("a whole number up to {MAX_TIMEOUT_MS} was expected");
            return Err(ApiError::invalid("wait_ms", message));
        }
    };
    let until = Instant::now() + Duration::from_millis(wait);
    loop {
        let task = found(&app, &caller, &id)?;
        if task.state.is_end() || Instant::now() >= until {
            return Ok(Json(shown_task(task)));
        }
        tokio::time::sleep(REST).await;
    }
}

/// Cancel a task: one that waits ends at once, one that runs as soon as it can, and changes nothing. One that has ended
/// stays as it is.
#[utoipa::path(delete, path = "/v1/tasks/{id}", tag = "tasks",
    params(("id" = String, Path, description = "The task's id.")),
    responses((status = 200, description = "The task, which may still be ending.", body = TaskResponse), WriteErrors))]
pub(crate) async fn cancel_task(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    id: Parts<String>,
    uri: Uri,
) -> Result<Json<TaskResponse>, ApiError> {
    let id = parts(id)?;
    no_parameters(&uri)?;
    found(&app, &caller, &id)?;
    let store = app.store()?;
    // It writes to the disk, to be known after a start.
    let cancelled = tokio::task::spawn_blocking(move || store.cancel_task(&id).ok_or(id)).await;
    match cancelled.map_err(ApiError::change_failed)? {
        Ok(task) => Ok(Json(shown_task(task))),
        Err(id) => Err(not_found(&id)),
    }
}

/// Merge all segments of a collection into one, without what was deleted; changes go on meanwhile.
#[utoipa::path(post, path = "/v1/collections/{collection}/merge", tag = "tasks",
    params(("collection" = String, Path, description = "Name of the collection.")),
    responses((status = 202, description = "The task that does it.", body = TaskResponse), WriteErrors))]
pub(crate) async fn merge(
    State(app): Shared,
    name: Parts<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let name = parts(name)?;
    no_parameters(&uri)?;
    drop(app.live(&name)?);
    let (store, name) = (app.store()?, named(&name)?);
    let begun = tokio::task::spawn_blocking(move || store.begin_merge(&name)).await;
    let task = begun.map_err(ApiError::change_failed)??;
    Ok(accepted(task))
}

/// The answer to a request that began a task.
pub(super) fn accepted(task: Task) -> Response {
    (StatusCode::ACCEPTED, Json(shown_task(task))).into_response()
}

fn found(app: &App, caller: &Caller, id: &str) -> Result<Task, ApiError> {
    let task = app.store()?.task(id).filter(|task| caller.reaches(&task.collection));
    task.ok_or_else(|| not_found(id))
}

fn not_found(id: &str) -> ApiError {
    ApiError::new(ErrorCode::TaskNotFound, format!("no task has the id `{id}`"))
        .param("id")
        .hint("GET /v1/tasks lists them; of those that ended, the last 200 are known")
}
