//! The description of all routes, with the schemas of answers and errors.

use std::collections::BTreeMap;

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::routes;
use crate::api::ErrorBody;

/// Where the description is served.
pub(crate) const OPENAPI_PATH: &str = "/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(title = "Quarry", description = "A search engine for learned sparse retrieval."),
    paths(
        routes::livez,
        routes::readyz,
        routes::metrics,
        routes::openapi_json,
        routes::collections,
        routes::collection,
        routes::search_get,
        routes::search_post,
        routes::document,
    ),
    components(schemas(ErrorBody)),
    security(("bearer" = []), ("api_key" = [])),
    modifiers(&Keys)
)]
struct Description;

/// The description as an OpenAPI document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Description::openapi()
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

/// Errors of every route.
pub(crate) struct StateErrors;
/// Errors of routes that read the index.
pub(crate) struct ReadErrors;
/// Errors of searches.
pub(crate) struct SearchErrors;

const STATE: &[u16] = &[400, 401, 404, 405, 503];
const READ: &[u16] = &[400, 401, 404, 405, 422, 429, 500, 503, 504];
const SEARCH: &[u16] = &[400, 401, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504];

impl IntoResponses for StateErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors(STATE)
    }
}

impl IntoResponses for ReadErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors(READ)
    }
}

impl IntoResponses for SearchErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors(SEARCH)
    }
}

fn errors(statuses: &[u16]) -> BTreeMap<String, RefOr<Response>> {
    let response = |status: u16| {
        let schema = Ref::from_schema_name("ErrorBody");
        let content = ContentBuilder::new().schema(Some(schema)).build();
        ResponseBuilder::new()
            .description(meaning(status))
            .content("application/json", content)
            .build()
    };
    statuses.iter().map(|s| (s.to_string(), RefOr::T(response(*s)))).collect()
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "No JSON, an unknown name, or a value out of range.",
        401 => "The key is missing or wrong.",
        404 => "No such route, collection or document.",
        405 => "The route does not have this method.",
        408 => "The body did not arrive in time.",
        413 => "The body is too large.",
        415 => "The body is not declared as JSON.",
        422 => {
            "Understood, but not possible with this index or not yet, or the answer is too large."
        }
        429 => "Too many searches are waiting, or connections at work; see Retry-After.",
        503 => "Loading or shutting down; see Retry-After.",
        504 => "The search did not end within timeout_ms.",
        _ => "A fault of the server.",
    }
}
