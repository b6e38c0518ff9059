//! Who asks, and what they may.
//!
//! 1. the key that was sent is looked for (`keys`), and counted towards its rate
//! 2. its scopes and collections are compared with the route, before anything is looked up: a refusal is the same
//!    whether what was asked for is there or not
//! 3. a key with a filter reaches only the routes that heed it, which are listed here; so a route that is new is closed
//!    to it until someone adds it
//!
//! A route that is new needs the scope `write` under a collection, and else `admin` and every collection.

use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use time::OffsetDateTime;

use super::app::App;
use crate::api::{ApiError, ErrorCode};
use crate::keys::{HeldKey, Refusal, Scope};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const COLLECTION: &str = "/v1/collections/{collection}";
/// What is posted to in the place of a document, and reads only.
pub(super) const GET: &str = "get";

/// Who sent a request, and may make it.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// `None` may do everything: no key is needed, or it is the server's own.
    key: Option<Arc<HeldKey>>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The route, if there is one for the path.
    pub(crate) route: Option<&'a str>,
    pub(crate) method: &'a Method,
    /// The collection in the path, as the handler reads it.
    pub(crate) collection: Option<&'a str>,
    /// The document in the path, or what is posted to in its place.
    pub(crate) document: Option<&'a str>,
}

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Any key.
    Key,
    /// The scope, for the collection in the path if there is one.
    Scope(Scope),
    /// The scope, for every collection.
    Everywhere(Scope),
}

impl Caller {
    /// Finds out who asks.
    pub(crate) fn of(app: &App, headers: &HeaderMap, asked: Asked<'_>) -> Result<Self, ApiError> {
        let everyone = Self { key: None };
        let open = app.config.key.is_none() && app.keys.is_none();
        if open || matches!(asked.route, Some("/livez" | "/readyz")) {
            return Ok(everyone);
        }
        let Some(given) = given(headers) else { return Err(unauthorized("a key is needed")) };
        if app.config.key.as_ref().is_some_and(|key| key.matches(given)) {
            return Ok(everyone);
        }
        let wrong = || unauthorized("the key is wrong, or has ended");
        let ring = app.keys.as_ref().ok_or_else(wrong)?;
        let key = ring.find(given, OffsetDateTime::now_utc()).map_err(|_| wrong())?;
        if ring.count(&key, Instant::now()) == Err(Refusal::TooOften) {
            let message = "the key has asked more often than it may";
            return Err(ApiError::new(ErrorCode::RateLimited, message)
                .hint("try again after the seconds in Retry-After"));
        }
        let caller = Self { key: Some(key) };
        caller.check(asked).map(|()| caller)
    }

    fn check(&self, asked: Asked<'_>) -> Result<(), ApiError> {
        let need = need(asked);
        let enough = match need {
            Need::Key => true,
            Need::Scope(scope) => {
                self.has(scope) && asked.collection.is_none_or(|c| self.reaches(c))
            }
            Need::Everywhere(scope) => self.has(scope) && self.reaches_all(),
        };
        if enough && (self.filter().is_none() || heeds_filters(asked)) {
            return Ok(());
        }
        let hint = match need {
            Need::Key => "a key with a filter can only search, and get documents".to_owned(),
            Need::Scope(scope) => format!(
                "this needs a key with the scope `{}` for the collection, and without a filter unless it searches",
                scope.name()
            ),
            Need::Everywhere(scope) => {
                format!("this needs a key with the scope `{}` for every collection", scope.name())
            }
        };
        Err(forbidden().hint(hint))
    }

    fn has(&self, scope: Scope) -> bool {
        let holds = |key: &Arc<HeldKey>| {
            key.record.scopes.iter().any(|held| *held == scope || *held == Scope::Admin)
        };
        self.key.as_ref().is_none_or(holds)
    }

    /// Whether the key is for this collection.
    pub(crate) fn reaches(&self, collection: &str) -> bool {
        let matches = |key: &Arc<HeldKey>| key.patterns.iter().any(|p| p.matches(collection));
        self.key.as_ref().is_none_or(matches)
    }

    fn reaches_all(&self) -> bool {
        let all = |key: &Arc<HeldKey>| key.patterns.iter().any(|p| p.matches_all());
        self.key.as_ref().is_none_or(all)
    }

    /// The filter that each of its searches has.
    pub(crate) fn filter(&self) -> Option<&str> {
        self.key.as_ref()?.record.filter.as_deref()
    }

    /// The key's name in the log; no secret.
    pub(crate) fn id(&self) -> Option<&str> {
        Some(self.key.as_ref()?.record.id.as_str())
    }
}

/// The refusal of what a key may not do, whether it is there or not.
pub(super) fn forbidden() -> ApiError {
    ApiError::new(ErrorCode::Forbidden, "this key may not do that")
}

fn reads(asked: Asked<'_>) -> bool {
    matches!(*asked.method, Method::GET | Method::HEAD)
        || (*asked.method == Method::POST && asked.document == Some(GET))
}

fn need(asked: Asked<'_>) -> Need {
    let reads = reads(asked);
    let Some(route) = asked.route else { return Need::Key };
    match (route, route.strip_prefix(COLLECTION)) {
        ("/openapi.json", _) => Need::Key,
        ("/metrics", _) => Need::Everywhere(Scope::Metrics),
        // The handler shows those of the key's collections.
        ("/v1/tasks" | "/v1/tasks/{id}", _) if reads => Need::Scope(Scope::Write),
        ("/v1/tasks/{id}" | "/v1/generations", _) => Need::Scope(Scope::Admin),
        ("/v1/collections" | "/v1/aliases", _) if reads => Need::Scope(Scope::Search),
        // They have every document, and make up what was removed.
        (_, Some("/snapshots" | "/snapshots/{id}" | "/generation" | "/files/{id}")) => {
            Need::Scope(Scope::Admin)
        }
        (_, Some(_)) if reads => Need::Scope(Scope::Search),
        (_, Some("")) => Need::Scope(Scope::Admin),
        (_, Some("/search")) => Need::Scope(Scope::Search),
        (_, Some(_)) => Need::Scope(Scope::Write),
        _ => Need::Everywhere(Scope::Admin),
    }
}

/// Whether the handler of a route asks [`Caller::filter`], or shows no document.
fn heeds_filters(asked: Asked<'_>) -> bool {
    let reads = reads(asked);
    let Some(route) = asked.route else { return true };
    match (route, route.strip_prefix(COLLECTION)) {
        ("/openapi.json" | "/v1/collections" | "/v1/aliases", _) => reads,
        (_, Some("" | "/documents" | "/documents/{id}")) => reads,
        (_, Some("/search")) => reads || *asked.method == Method::POST,
        _ => false,
    }
}

fn given(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).and_then(|v| {
        let (scheme, rest) = v.split_at_checked("Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then(|| rest.trim_ascii())
    });
    bearer.or_else(|| headers.get(API_KEY).map(HeaderValue::as_bytes))
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, message)
        .hint("send Authorization: Bearer KEY, or X-API-Key: KEY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_need_more_the_more_they_change() {
        let one = |rest: &str| format!("{COLLECTION}{rest}");
        for (method, route, wanted, filtered) in [
            (&Method::GET, "/v1/collections".to_owned(), Need::Scope(Scope::Search), true),
            (&Method::GET, "/v1/aliases".to_owned(), Need::Scope(Scope::Search), true),
            (&Method::POST, "/v1/aliases".to_owned(), Need::Everywhere(Scope::Admin), false),
            (&Method::GET, one(""), Need::Scope(Scope::Search), true),
            (&Method::PUT, one(""), Need::Scope(Scope::Admin), false),
            (&Method::DELETE, one(""), Need::Scope(Scope::Admin), false),
            (&Method::POST, one("/search"), Need::Scope(Scope::Search), true),
            (&Method::GET, one("/documents/{id}"), Need::Scope(Scope::Search), true),
            (&Method::DELETE, one("/documents/{id}"), Need::Scope(Scope::Write), false),
            (&Method::POST, one("/documents"), Need::Scope(Scope::Write), false),
            (&Method::GET, one("/documents"), Need::Scope(Scope::Search), true),
            (&Method::GET, one("/new"), Need::Scope(Scope::Search), false),
            (&Method::POST, one("/new"), Need::Scope(Scope::Write), false),
            (&Method::GET, "/metrics".to_owned(), Need::Everywhere(Scope::Metrics), false),
            (&Method::GET, "/v1/tasks".to_owned(), Need::Scope(Scope::Write), false),
            (&Method::GET, "/v1/tasks/{id}".to_owned(), Need::Scope(Scope::Write), false),
            (&Method::DELETE, "/v1/tasks/{id}".to_owned(), Need::Scope(Scope::Admin), false),
            (&Method::GET, one("/snapshots"), Need::Scope(Scope::Admin), false),
            (&Method::GET, "/v1/generations".to_owned(), Need::Scope(Scope::Admin), false),
            (&Method::GET, one("/generation"), Need::Scope(Scope::Admin), false),
            (&Method::GET, one("/files/{id}"), Need::Scope(Scope::Admin), false),
            (&Method::POST, one("/snapshots"), Need::Scope(Scope::Admin), false),
            (&Method::GET, one("/snapshots/{id}"), Need::Scope(Scope::Admin), false),
            (&Method::POST, one("/merge"), Need::Scope(Scope::Write), false),
            (&Method::GET, "/v1/keys".to_owned(), Need::Everywhere(Scope::Admin), false),
            (&Method::GET, "/v1/new".to_owned(), Need::Everywhere(Scope::Admin), false),
        ] {
            let asked = Asked { route: Some(&route), method, collection: None, document: None };
            assert_eq!(need(asked), wanted, "{method} {route}");
            assert_eq!(heeds_filters(asked), filtered, "{method} {route}");
        }
        let route = one("/documents/{id}");
        for (document, wanted) in
            [("get", Scope::Search), ("delete", Scope::Write), ("patch", Scope::Write)]
        {
            let document = Some(document);
            let asked =
                Asked { route: Some(&route), method: &Method::POST, collection: None, document };
            assert_eq!(need(asked), Need::Scope(wanted));
            assert_eq!(heeds_filters(asked), wanted == Scope::Search);
        }
    }
}
