//! Maps paths to routes.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state, map_request_with_state};
use axum::routing::{delete, get, post};

use super::aliases::{change_aliases, list_aliases, resolve};
use super::app::App;
use super::copying::copy_collection;
use super::document::{delete_document, document, put_document};
use super::exporting::export;
use super::giving::{generation, generation_file, generations};
use super::keying::{list_keys, make_key, remove_key};
use super::layers::{compressing, inflate, origins};
use super::many::act;
use super::observe::observe;
use super::openapi::{OPENAPI_PATH, openapi_json};
use super::patching::patch_document;
use super::routes::{
    collection, collections, livez, metrics, readyz, search_get, search_post, slow,
};
use super::snapshots::{list_snapshots, make_snapshot, read_snapshot, remove_snapshot};
use super::tasks::{cancel_task, list_tasks, merge, task};
use super::writing::{make_collection, put_documents, remove_collection};
use crate::api::{ApiError, ErrorCode};

/// All routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route(OPENAPI_PATH, get(openapi_json))
        .route("/v1/slow", get(slow))
        .route("/v1/keys", get(list_keys).post(make_key))
        .route("/v1/keys/{id}", delete(remove_key))
        .route("/v1/aliases", get(list_aliases).post(change_aliases))
        .route("/v1/tasks", get(list_tasks))
        .route("/v1/tasks/{id}", get(task).delete(cancel_task))
        .route("/v1/generations", get(generations))
        .route("/v1/collections", get(collections))
        .route(
            "/v1/collections/{collection}",
            get(collection).put(make_collection).post(copy_collection).delete(remove_collection),
        )
        .route("/v1/collections/{collection}/search", get(search_get).post(search_post))
        .route("/v1/collections/{collection}/merge", post(merge))
        .route("/v1/collections/{collection}/generation", get(generation))
        .route("/v1/collections/{collection}/files/{id}", get(generation_file))
        .route("/v1/collections/{collection}/snapshots", get(list_snapshots).post(make_snapshot))
        .route(
            "/v1/collections/{collection}/snapshots/{id}",
            get(read_snapshot).delete(remove_snapshot),
        )
        .route("/v1/collections/{collection}/documents", get(export).post(put_documents))
        .route(
            "/v1/collections/{collection}/documents/{id}",
            get(document).put(put_document).delete(delete_document).post(act).patch(patch_document),
        )
        .method_not_allowed_fallback(|| async {
            ApiError::new(ErrorCode::MethodNotAllowed, "the route does not have this method")
        })
        .fallback(|| async {
            ApiError::new(ErrorCode::RouteNotFound, "no such route")
                .hint(format!("GET {OPENAPI_PATH} lists them"))
        })
        .layer(from_fn(inflate))
        .layer(from_fn_with_state(app.clone(), observe))
        .layer(compressing());
    // The configuration was validated.
    let routes = match origins(&app.config.cors_origins) {
        Ok(Some(cors)) => routes.layer(cors),
        Ok(None) | Err(_) => routes,
    };
    // Around all of it, since it changes which route a path is.
    let routes = Router::new().fallback_service(routes.with_state(app.clone()));
    routes.layer(map_request_with_state(app, resolve))
}

/// The routes that are answered when all connections are busy.
pub(crate) fn probes(app: Arc<App>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(|| async {
            ApiError::new(ErrorCode::Overloaded, "all connections are busy")
                .hint("try again after the seconds in Retry-After")
        })
        .layer(from_fn_with_state(app.clone(), observe))
        .with_state(app)
}
