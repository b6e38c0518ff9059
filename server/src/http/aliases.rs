//! Aliases: the routes that list and change them, and what makes them names of collections in paths.
//!
//! A path is rewritten before it is routed, once for each request. So whoever asks is compared with the collection's own name,
//! and all that handles the request sees the same collection, even if the alias is switched meanwhile.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{Method, Uri};
use axum::{Extension, Json};
use quarry_engine::store::CollectionName;

use super::access::Caller;
use super::app::App;
use super::errors::{StateErrors, WriteErrors};
use super::routes::{Shared, no_parameters};
use crate::api::{Alias, AliasesRequest, AliasesResponse, ApiError};

const COLLECTIONS: &str = "/v1/collections/";

/// The aliases of the collections that the key is for.
#[utoipa::path(get, path = "/v1/aliases", tag = "collections",
    responses((status = 200, description = "The aliases.", body = AliasesResponse), StateErrors))]
pub(crate) async fn list_aliases(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<AliasesResponse>, ApiError> {
    no_parameters(&uri)?;
    let all = app.store()?.aliases();
    let seen = all.into_iter().filter(|(_, collection)| caller.reaches(collection.as_str()));
    Ok(Json(shown(seen)))
}

/// Make, switch and remove aliases: all at once, or none if one cannot be.
#[utoipa::path(post, path = "/v1/aliases", tag = "collections", request_body = AliasesRequest,
    responses((status = 200, description = "All aliases after that.", body = AliasesResponse), WriteErrors))]
pub(crate) async fn change_aliases(
    State(app): Shared,
    request: Request,
) -> Result<Json<AliasesResponse>, ApiError> {
    let store = app.store()?;
    no_parameters(request.uri())?;
    let (head, body) = request.into_parts();
    let body = app.writes.bodies()?.json(&head.headers, body, app.config.body_timeout).await?;
    let actions = AliasesRequest::from_json(&body.bytes)?.actions()?;
    let pass = app.writes.seat(body.room)?;
    let after = app.write(pass, move || Ok(store.change_aliases(&actions)?)).await?;
    Ok(Json(shown(after)))
}

fn shown(aliases: impl IntoIterator<Item = (CollectionName, CollectionName)>) -> AliasesResponse {
    let one = |(alias, of): (CollectionName, CollectionName)| Alias {
        alias: alias.to_string(),
        collection: of.to_string(),
    };
    AliasesResponse { aliases: aliases.into_iter().map(one).collect() }
}

/// Puts the name of a collection in the place of its alias. A request that makes or removes a collection says its own name.
pub(super) async fn resolve(State(app): State<Arc<App>>, mut request: Request) -> Request {
    if let Some(uri) = resolved(&app, request.method(), request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn resolved(app: &App, method: &Method, uri: &Uri) -> Option<Uri> {
    let rest = uri.path().strip_prefix(COLLECTIONS)?;
    let (name, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if rest.is_empty() && !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let collection = app.named_by(name)?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path: PathAndQuery = format!("{COLLECTIONS}{collection}{rest}{query}").parse().ok()?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}
