//! The OpenAPI description of all routes, and the route that serves it.

use axum::Json;
use axum::http::Uri;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::errors::StateErrors;
use super::routes::no_parameters;
use super::{
    aliases, copying, document, exporting, giving, keying, many, patching, routes, snapshots,
    tasks, writing,
};
use crate::api::{ApiError, ErrorBody};

/// Path of the description.
pub(crate) const OPENAPI_PATH: &str = "/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(title = "Quarry", description = "A search engine for learned sparse retrieval."),
    paths(
        routes::livez,
        routes::readyz,
        routes::metrics,
        openapi_json,
        routes::collections,
        routes::collection,
        routes::search_get,
        routes::search_post,
        document::document,
        document::put_document,
        writing::make_collection,
        copying::copy_collection,
        writing::remove_collection,
        writing::put_documents,
        document::delete_document,
        patching::patch_document,
        patching::patch_documents,
        aliases::list_aliases,
        aliases::change_aliases,
        exporting::export,
        many::get_documents,
        many::delete_documents,
        routes::slow,
        keying::list_keys,
        keying::make_key,
        keying::remove_key,
        snapshots::make_snapshot,
        snapshots::list_snapshots,
        snapshots::read_snapshot,
        snapshots::remove_snapshot,
        giving::generations,
        giving::generation,
        giving::generation_file,
        tasks::list_tasks,
        tasks::task,
        tasks::cancel_task,
        tasks::merge,
    ),
    components(schemas(ErrorBody)),
    security(("bearer" = []), ("api_key" = [])),
    modifiers(&Keys, &UrlSearch)
)]
struct Description;

/// The description as an OpenAPI document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "health",
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = Object), StateErrors))]
pub(crate) async fn openapi_json(uri: Uri) -> Result<Json<utoipa::openapi::OpenApi>, ApiError> {
    no_parameters(&uri)?;
    Ok(Json(openapi()))
}

struct UrlSearch;

impl Modify for UrlSearch {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        super::url_search::describe(openapi);
    }
}

struct Keys;

impl Modify for Keys {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let header = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(header));
    }
}
