//! What each route does.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header;
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

type Shared = State<Arc<App>>;
/// Parts of a path; a part that is not UTF-8 is refused.
type Parts<T> = Result<Path<T>, PathRejection>;

/// Whether the server works.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `live` or `ready`.
    pub(crate) status: &'static str,
}

/// Whether the process runs.
#[utoipa::path(get, path = "/livez", tag = "health", security(()),
    responses((status = 200, description = "It runs.", body = Health)))]
pub(crate) async fn livez() -> Json<Health> {
    Json(Health { status: "live" })
}

/// Whether searches are taken: not while the index is loaded, nor while the server shuts down.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "They are.", body = Health), StateErrors))]
pub(crate) async fn readyz(State(app): Shared) -> Result<Json<Health>, ApiError> {
    app.engine().map(|_| Json(Health { status: "ready" }))
}

/// Figures in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Figures.", body = String), StateErrors))]
pub(crate) async fn metrics(State(app): Shared) -> impl IntoResponse {
    let text = app.metrics.render(&app.admission, app.loaded().as_deref());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// Every collection served.
#[utoipa::path(get, path = "/v1/collections", tag = "collections",
    responses((status = 200, description = "The collections.", body = CollectionsResponse), StateErrors))]
pub(crate) async fn collections(State(app): Shared) -> Result<Json<CollectionsResponse>, ApiError> {
    let described = app.engine()?.describe(&app.config.collection);
    Ok(Json(CollectionsResponse { collections: vec![described] }))
}

/// A collection and what can be asked of it.
#[utoipa::path(get, path = "/v1/collections/{collection}", tag = "collections",
    params(("collection" = String, Path, description = "Name of the collection.")),
    responses((status = 200, description = "The collection.", body = CollectionResponse), StateErrors))]
pub(crate) async fn collection(
    State(app): Shared,
    name: Parts<String>,
) -> Result<Json<CollectionResponse>, ApiError> {
    let name = parts(name)?;
    let name = app.collection(&name)?;
    Ok(Json(app.engine()?.describe(name)))
}

/// Search with a query in the URL.
#[utoipa::path(get, path = "/v1/collections/{collection}/search", tag = "search",
    params(
        ("collection" = String, Path, description = "Name of the collection."),
        ("q" = String, Query, description = "The query, as text."),
        ("k" = Option<u32>, Query, description = "Results wanted; 10 if absent."),
        ("channels" = Option<String>, Query, description = "`sparse` (if absent), `bm25`, or several, separated by commas; also as `channel`."),
        ("method" = Option<String>, Query, description = "`auto` (if absent), `impact`, `clusters`, `seismic`, `exact` or `scan`."),
        ("overlap" = Option<f32>, Query, description = "overlap@k with the exact search to aim at, above 0 and at most 1; 0.98 if absent."),
        ("fields" = Option<String>, Query, description = "Stored fields wanted, separated by commas."),
        ("explain" = Option<bool>, Query, description = "Whether each hit tells its matched tokens."),
        ("timeout_ms" = Option<u64>, Query, description = "Milliseconds the search may take; 1000 if absent."),
        ("postings" = Option<u32>, Query, description = "Impact, clusters: postings added up."),
        ("candidates" = Option<u32>, Query, description = "Impact: documents scored exactly; clusters: clusters whose documents are."),
        ("query_cut" = Option<u32>, Query, description = "Seismic: query terms whose lists are visited."),
        ("heap_factor" = Option<f32>, Query, description = "Seismic: above 0 and at most 1; less is slower and more accurate."),
        ("fusion" = Option<String>, Query, description = "With several channels: `max`, `minmax`, `z` or `rrf`, with the defaults of `FusionInput`."),
        ("filter" = Option<String>, Query, description = "Which documents may be found, by their other fields, in tantivy's query syntax."),
        ("rerank" = Option<bool>, Query, description = "Whether what is found is rescored by MaxSim over token embeddings, with the defaults of `RerankInput`."),
    ),
    responses((status = 200, description = "The hits.", body = SearchResponse), SearchErrors))]
pub(crate) async fn search_get(
    State(app): Shared,
    name: Parts<String>,
    request: Request,
) -> Result<Response, ApiError> {
    app.collection(&parts(name)?)?;
    let engine = app.engine()?;
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
    app.collection(&parts(name)?)?;
    if let Some(query) = request.uri().query().filter(|q| !q.is_empty()) {
        let name = query.split(['=', '&']).next().unwrap_or(query).to_owned();
        let message = "a search in a body has no parameters in its URL";
        return Err(ApiError::new(ErrorCode::UnknownField, message).param(name));
    }
    // Taken before the body: a request that has begun is answered, even if the signal to stop comes
    // while its body is on the way.
    let engine = app.engine()?;
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
        ("id" = String, Path, description = "The collection's own name of the document, percent-encoded."),
    ),
    responses((status = 200, description = "The document.", body = DocumentResponse), ReadErrors))]
pub(crate) async fn document(
    State(app): Shared,
    path: Parts<(String, String)>,
) -> Result<Response, ApiError> {
    let (name, id) = parts(path)?;
    app.collection(&name)?;
    let time = Duration::from_millis(DEFAULT_TIMEOUT_MS);
    let answers = app.answers.clone();
    let job = move |engine: &Engine, _| answers.write(&engine.document(&id)?);
    Ok(app.run(app.engine()?, time, job).await?.into_response())
}

fn parts<T>(path: Parts<T>) -> Result<T, ApiError> {
    match path {
        Ok(Path(parts)) => Ok(parts),
        Err(error) => Err(ApiError::new(ErrorCode::InvalidValue, error.body_text())),
    }
}
