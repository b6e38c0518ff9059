//! The handlers of all routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::app::App;
use super::body::json_body;
use super::errors::{ReadErrors, SearchErrors, StateErrors};
use super::params::search_request;
use crate::Engine;
use crate::api::{
    ApiError, CollectionResponse, CollectionsResponse, DEFAULT_TIMEOUT_MS, DocumentResponse,
    ErrorCode, SearchRequest, SearchResponse,
};

pub(super) type Shared = State<Arc<App>>;
/// Path parameters; one that is not UTF-8 is an error.
pub(super) type Parts<T> = Result<Path<T>, PathRejection>;

/// The server's state.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `live` or `ready`.
    pub(crate) status: &'static str,
    /// Number of collections whose newest generation cannot be opened, so that an older one is served; absent if
    /// there is none. The log says why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stale: Option<usize>,
}

/// Whether the process is running.
#[utoipa::path(get, path = "/livez", tag = "health", security(()),
    responses((status = 200, description = "It is running.", body = Health)))]
pub(crate) async fn livez() -> Json<Health> {
    Json(Health { status: "live", stale: None })
}

/// Whether searches are accepted: not while the index is loading or the server is shutting down.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "Searches are accepted.", body = Health), StateErrors))]
pub(crate) async fn readyz(State(app): Shared) -> Result<Json<Health>, ApiError> {
    let stale = Some(app.watch.stale()).filter(|stale| *stale > 0);
    app.ready().map(|()| Json(Health { status: "ready", stale }))
}

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "The metrics.", body = String), StateErrors))]
pub(crate) async fn metrics(State(app): Shared) -> impl IntoResponse {
    let text = app.metrics.render(&app.admission, &app.writes, &app.served());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// All collections served.
#[utoipa::path(get, path = "/v1/collections", tag = "collections",
    responses((status = 200, description = "The collections.", body = CollectionsResponse), StateErrors))]
pub(crate) async fn collections(State(app): Shared) -> Result<Json<CollectionsResponse>, ApiError> {
    app.ready()?;
    let served = app.served();
    let collections = served.iter().map(|one| one.engine.describe(&one.name)).collect();
    Ok(Json(CollectionsResponse { collections }))
}

/// A collection and its capabilities.
#[utoipa::path(get, path = "/v1/collections/{collection}", tag = "collections",
    params(("collection" = String, Path, description = "Name of the collection.")),
    responses((status = 200, description = "The collection.", body = CollectionResponse), StateErrors))]
pub(crate) async fn collection(
    State(app): Shared,
    name: Parts<String>,
) -> Result<Json<CollectionResponse>, ApiError> {
    let name = parts(name)?;
    Ok(Json(app.engine(&name)?.describe(&name)))
}

/// Search with a query in the URL.
#[utoipa::path(get, path = "/v1/collections/{collection}/search", tag = "search",
    params(
        ("collection" = String, Path, description = "Name of the collection."),
        ("q" = String, Query, description = "The query, as text."),
        ("k" = Option<u32>, Query, description = "Number of results; 10 if absent."),
        ("channels" = Option<String>, Query, description = "`sparse` (if absent), `bm25`, or several, separated by commas; also as `channel`."),
        ("method" = Option<String>, Query, description = "`auto` (if absent), `impact`, `clusters`, `seismic`, `exact` or `scan`."),
        ("overlap" = Option<f32>, Query, description = "Target overlap@k with the exact search, above 0 and at most 1; 0.98 if absent."),
        ("fields" = Option<String>, Query, description = "Stored fields to return, separated by commas."),
        ("explain" = Option<bool>, Query, description = "Whether each hit lists its matched tokens."),
        ("timeout_ms" = Option<u64>, Query, description = "Milliseconds the search may take; 1000 if absent."),
        ("postings" = Option<u32>, Query, description = "Impact, clusters: number of postings to accumulate."),
        ("candidates" = Option<u32>, Query, description = "Impact: documents scored exactly; clusters: clusters whose documents are scored exactly."),
        ("query_cut" = Option<u32>, Query, description = "Seismic: query terms whose lists are visited."),
        ("heap_factor" = Option<f32>, Query, description = "Seismic: above 0 and at most 1; smaller is slower and more accurate."),
        ("dense_method" = Option<String>, Query, description = "How dense vectors are searched: `exact` or `graph`."),
        ("dense_beam" = Option<u32>, Query, description = "Graph: rows kept during the walk."),
        ("fusion" = Option<String>, Query, description = "With several channels: `max`, `minmax`, `z` or `rrf`, with the defaults of `FusionInput`."),
        ("filter" = Option<String>, Query, description = "Restricts the search to documents whose fields match, in tantivy's query syntax."),
        ("rerank" = Option<bool>, Query, description = "Whether hits are reranked by MaxSim over token embeddings, with the defaults of `RerankInput`."),
    ),
    responses((status = 200, description = "The hits.", body = SearchResponse), SearchErrors))]
pub(crate) async fn search_get(
    State(app): Shared,
    name: Parts<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let engine = app.engine(&parts(name)?)?;
    search(&app, engine, search_request(request.uri())?).await
}

/// Search.
#[utoipa::path(post, path = "/v1/collections/{collection}/search", tag = "search",
    params(("collection" = String, Path, description = "Name of the collection.")),
    request_body = SearchRequest,
    responses((status = 200, description = "The hits.", body = SearchResponse), SearchErrors))]
pub(crate) async fn search_post(
    State(app): Shared,
    name: Parts<String>,
    request: Request,
) -> Result<Response, ApiError> {
    // Taken before the body is read: a request that has begun is answered, even if the signal to stop
    // arrives before its body.
    let engine = app.engine(&parts(name)?)?;
    no_parameters(request.uri())?;
    let (head, body) = request.into_parts();
    let body = json_body(&head.headers, body, app.config.body_timeout).await?;
    search(&app, engine, SearchRequest::from_json(&body)?).await
}

async fn search(
    app: &App,
    engine: Arc<Engine>,
    request: SearchRequest,
) -> Result<Response, ApiError> {
    let time = request.timeout()?;
    let answers = app.answers.clone();
    let (timings, answer) = app
        .run(engine, time, move |engine, deadline| {
            let answer = engine.search(&request, Some(deadline))?;
            Ok((answer.timings_us, answers.write(&answer)?))
        })
        .await?;
    app.metrics.stage("encode", Duration::from_micros(timings.encode));
    app.metrics.stage("search", Duration::from_micros(timings.search));
    Ok(answer.into_response())
}

/// A stored document.
#[utoipa::path(get, path = "/v1/collections/{collection}/documents/{id}", tag = "documents",
    params(
        ("collection" = String, Path, description = "Name of the collection."),
        ("id" = String, Path, description = "The document's id in the collection, percent-encoded."),
    ),
    responses((status = 200, description = "The document.", body = DocumentResponse), ReadErrors))]
pub(crate) async fn document(
    State(app): Shared,
    path: Parts<(String, String)>,
) -> Result<Response, ApiError> {
    let (name, id) = parts(path)?;
    let engine = app.engine(&name)?;
    let time = Duration::from_millis(DEFAULT_TIMEOUT_MS);
    let answers = app.answers.clone();
    let job = move |engine: &Engine, _| answers.write(&engine.document(&id)?);
    Ok(app.run(engine, time, job).await?.into_response())
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
