//! The handlers of all routes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Caller;
use super::app::App;
use super::errors::{ReadErrors, SearchErrors, StateErrors};
use super::observe::RequestId;
use super::params::search_request;
use super::slow::Answered;
use super::store_metrics::of_store;
use crate::Engine;
use crate::api::{
    ApiError, CollectionResponse, CollectionsResponse, ErrorCode, SearchRequest, SearchResponse,
    SlowResponse,
};

pub(super) type Shared = State<Arc<App>>;
/// Path parameters; one that is not UTF-8 is an error.
pub(super) type Parts<T> = Result<Path<T>, PathRejection>;

/// Time between two looks for a change that a search waits for.
const UNSEEN_REST: Duration = Duration::from_millis(2);

/// The server's state.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `live` or `ready`.
    pub(crate) status: &'static str,
    /// Number of collections whose newest generation cannot be opened, so that an older one is served; absent if
    /// there is none. The log says why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stale: Option<usize>,
    /// Seconds since this server was known to have all that its leader had sealed; absent if it follows none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) behind_seconds: Option<u64>,
    /// `disk` or `memory`, while so little of it is free that no documents are taken; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) read_only: Option<&'static str>,
    /// Number of collections with logged changes that searches do not see, since the disk was full at the start; absent if
    /// there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) behind: Option<usize>,
}

/// Whether the process is running.
#[utoipa::path(get, path = "/livez", tag = "health", security(()),
    responses((status = 200, description = "It is running.", body = Health)))]
pub(crate) async fn livez() -> Json<Health> {
    Json(Health {
        status: "live",
        stale: None,
        behind_seconds: None,
        read_only: None,
        behind: None,
    })
}

/// Whether searches are accepted: not while the index is loading or the server is shutting down.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "Searches are accepted.", body = Health), StateErrors))]
pub(crate) async fn readyz(State(app): Shared) -> Result<Json<Health>, ApiError> {
    let stale = Some(app.watch.stale()).filter(|stale| *stale > 0);
    let behind_seconds = app.following.as_ref().map(|following| following.behind().as_secs());
    app.ready()?;
    let written = app.written();
    let read_only = written.and_then(|store| store.room().low()).map(|low| low.resource.name());
    let behind = written.map_or(0, |store| {
        store.collections().iter().filter(|(_, live)| live.unmade() > 0).count()
    });
    let behind = Some(behind).filter(|behind| *behind > 0);
    Ok(Json(Health { status: "ready", stale, behind_seconds, read_only, behind }))
}

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "The metrics.", body = String), StateErrors))]
pub(crate) async fn metrics(State(app): Shared, uri: Uri) -> Result<Response, ApiError> {
    no_parameters(&uri)?;
    if let Some(following) = &app.following {
        app.metrics.behind(following.behind());
    }
    let text = app.metrics.render(&app.admission, &app.writes, &app.served())
        + &app.written().map(of_store).unwrap_or_default();
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// The collections served, as far as the key is for them.
#[utoipa::path(get, path = "/v1/collections", tag = "collections",
    responses((status = 200, description = "The collections.", body = CollectionsResponse), StateErrors))]
pub(crate) async fn collections(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<CollectionsResponse>, ApiError> {
    no_parameters(&uri)?;
    app.ready()?;
    let served = app.served();
    let shown = served.iter().filter(|one| caller.reaches(&one.name));
    let collections = shown.map(|one| app.describe(&one.name, &one.engine)).collect();
    Ok(Json(CollectionsResponse { collections }))
}

/// A collection: its capabilities, and the fields of its documents with their kinds, number and examples.
#[utoipa::path(get, path = "/v1/collections/{collection}", tag = "collections",
    params(("collection" = String, Path, description = "Name of the collection.")),
    responses((status = 200, description = "The collection.", body = CollectionResponse), ReadErrors))]
pub(crate) async fn collection(
    State(app): Shared,
    name: Parts<String>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<CollectionResponse>, ApiError> {
    let name = parts(name)?;
    no_parameters(&uri)?;
    let engine = app.engine(&name)?;
    let mut described = app.describe(&name, &engine);
    let job = move || {
        // A key whose filter names a field that no document has yet sees none.
        match engine.describe_fields(&mut described, caller.filter()) {
            Err(error) if error.code() == ErrorCode::Internal => Err(error),
            _ => Ok(described),
        }
    };
    Ok(Json(app.aside(job).await?))
}

/// Search with a query in the URL.
#[utoipa::path(get, path = "/v1/collections/{collection}/search", tag = "search",
    params(("collection" = String, Path, description = "Name of the collection.")),
    responses((status = 200, description = "The hits.", body = SearchResponse), SearchErrors))]
pub(crate) async fn search_get(
    State(app): Shared,
    name: Parts<String>,
    Extension(caller): Extension<Caller>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let name = parts(name)?;
    let engine = app.engine(&name)?;
    let request = search_request(request.uri())?;
    search(&app, Asking { name, id, engine, caller, request }).await
}

/// Search.
#[utoipa::path(post, path = "/v1/collections/{collection}/search", tag = "search",
    params(("collection" = String, Path, description = "Name of the collection.")),
    request_body = SearchRequest,
    responses((status = 200, description = "The hits.", body = SearchResponse), SearchErrors))]
pub(crate) async fn search_post(
    State(app): Shared,
    name: Parts<String>,
    Extension(caller): Extension<Caller>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let name = parts(name)?;
    // Taken before the body is read: a request that has begun is answered, even if the signal to stop
    // arrives before its body.
    let engine = app.engine(&name)?;
    no_parameters(request.uri())?;
    let (head, body) = request.into_parts();
    let body = app.bodies.json(&head.headers, body, app.config.body_timeout).await?;
    let request = SearchRequest::from_json(&body.bytes)?;
    search(&app, Asking { name, id, engine, caller, request }).await
}

/// A search, and who asks.
struct Asking {
    /// The collection.
    name: String,
    id: RequestId,
    engine: Arc<Engine>,
    caller: Caller,
    request: SearchRequest,
}

async fn search(app: &App, asking: Asking) -> Result<Response, ApiError> {
    let Asking { name, id, engine, caller, request } = asking;
    let (time, started, request) = (request.timeout()?, Instant::now(), Arc::new(request));
    // Before the search takes a slot, which others would wait for as well.
    while !engine.sees(request.min_seq)? {
        if started.elapsed() >= time {
            return Err(engine.unseen());
        }
        tokio::time::sleep(UNSEEN_REST).await;
    }
    let time = time.saturating_sub(started.elapsed());
    let (answers, asked, key) = (app.answers.clone(), Arc::clone(&request), caller.clone());
    let found = app
        .run(engine, time, move |engine, deadline| {
            let answer = engine.search_within(&asked, Some(deadline), caller.filter())?;
            Ok((answer.timings_us, answers.write(&answer)?))
        })
        .await;
    app.slow.note(&Answered {
        request: &request,
        collection: &name,
        request_id: &id.0,
        key: key.id(),
        total: started.elapsed(),
        result: found.as_ref().map(|found| found.0).map_err(ApiError::code),
    });
    let (timings, answer) = found?;
    app.metrics.search_stages(&timings);
    Ok(answer.into_response())
}

/// The searches that took longest, if the server notes them.
#[utoipa::path(get, path = "/v1/slow", tag = "health",
    responses((status = 200, description = "The last 100.", body = SlowResponse), StateErrors))]
pub(crate) async fn slow(State(app): Shared, uri: Uri) -> Result<Json<SlowResponse>, ApiError> {
    no_parameters(&uri)?;
    Ok(Json(app.slow.noted()))
}

/// Refuses parameters in the URL of a request whose body has all of it.
pub(super) fn no_parameters(uri: &Uri) -> Result<(), ApiError> {
    let Some(query) = uri.query().filter(|q| !q.is_empty()) else { return Ok(()) };
    let name = query.split(['=', '&']).next().unwrap_or(query).to_owned();
    let message = "this request has no parameters in its URL";
    Err(ApiError::new(ErrorCode::UnknownField, message).param(name))
}

pub(super) fn parts<T>(path: Parts<T>) -> Result<T, ApiError> {
    match path {
        Ok(Path(parts)) => Ok(parts),
        Err(error) => Err(ApiError::new(ErrorCode::InvalidValue, error.body_text())),
    }
}
