//! The errors of each group of routes, for the OpenAPI description.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

/// Errors of every route.
pub(crate) struct StateErrors;
/// Errors of routes that read the index.
pub(crate) struct ReadErrors;
/// Errors of searches.
pub(crate) struct SearchErrors;
/// Errors of routes that change something.
pub(crate) struct WriteErrors;

const STATE: &[u16] = &[400, 401, 403, 404, 405, 429, 503];
const READ: &[u16] = &[400, 401, 403, 404, 405, 422, 429, 500, 503, 504];
const WRITE: &[u16] =
    &[400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 422, 429, 500, 503, 504, 507];
const SEARCH: &[u16] = &[400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504];

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

impl IntoResponses for WriteErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors(WRITE)
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
        400 => "Invalid JSON, an unknown name, or a value out of range.",
        401 => "The key is missing or wrong.",
        403 => "The key may not do that, whether or not what was asked for is there.",
        404 => "No such route, collection, document, snapshot, alias, key or task.",
        405 => "The route does not support this method, or the server only reads.",
        408 => "The body did not arrive in time.",
        409 => {
            "A collection is there that was made otherwise, or not by a server; or a snapshot; or its model is another; or an alias stands in the way; or another request had this Idempotency-Key."
        }
        412 => "The document has another version: `current`, 0 if it is not there.",
        413 => "The body is too large.",
        415 => {
            "The body is not declared as JSON (documents: or as lines of JSON; a snapshot: as a tar)."
        }
        422 => {
            "This index or this version does not support the request, a document does not fit, the answer is too large, or an archive is damaged."
        }
        429 => {
            "Too many searches, writes or tasks wait, all connections are busy, or the key has asked too often; see Retry-After."
        }
        503 => {
            "Loading or shutting down, see Retry-After; or the collection cannot be opened; or no documents are taken, for want of disk or memory."
        }
        507 => {
            "The disk is full; nothing was changed, or, with `ack=sealed`, the change is made and not sealed: the message says which."
        }
        504 => "The search did not end within timeout_ms; or a write takes long, and goes on.",
        _ => "A fault of the server.",
    }
}
