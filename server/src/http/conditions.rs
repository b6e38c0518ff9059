//! Headers under whose conditions documents are read and changed: `If-Match`, `If-None-Match` and `Idempotency-Key`.

use std::fmt::Write;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use quarry_engine::store::{Condition, RequestKey};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::api::ApiError;
use crate::engine::Outcome;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Most characters of a key.
const LONGEST_KEY: usize = 255;
/// Most versions in a header.
const MOST_VERSIONS: usize = 64;

/// A document's version as an entity tag.
pub(super) fn etag(version: u64) -> HeaderValue {
    // Digits and quotes are a header.
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// What entity tags say.
#[derive(Debug, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<u64>),
}

/// What must hold of a document for it to be changed.
pub(super) fn condition(headers: &HeaderMap) -> Result<Option<Condition>, ApiError> {
    let wanted = tags(headers, &header::IF_MATCH, false)?;
    match (wanted, tags(headers, &header::IF_NONE_MATCH, false)?) {
        (Some(_), Some(_)) => {
            let message = "If-Match and If-None-Match together were sent; one says all there is";
            Err(ApiError::invalid("If-None-Match", message))
        }
        (Some(Tags::Any), None) => Ok(Some(Condition::There)),
        (Some(Tags::These(versions)), None) => Ok(Some(Condition::OneOf(versions))),
        (None, Some(Tags::Any)) => Ok(Some(Condition::Absent)),
        (None, Some(Tags::These(_))) => {
            let message = "for a change this is `*`: only if no document of this id is there";
            Err(ApiError::invalid("If-None-Match", message))
        }
        (None, None) => Ok(None),
    }
}

/// Refuses conditions where many documents are changed, each of which may have its own.
pub(super) fn no_condition(headers: &HeaderMap) -> Result<(), ApiError> {
    for name in [&header::IF_MATCH, &header::IF_NONE_MATCH] {
        if headers.contains_key(name) {
            let message = "it is about one document, PUT, PATCH or DELETE .../documents/{id}; documents in a batch may have `if_version`";
            return Err(ApiError::invalid(header_name(name), message));
        }
    }
    Ok(())
}

/// Whether who asks has a document of this version already.
pub(super) fn has_it(headers: &HeaderMap, version: u64) -> Result<bool, ApiError> {
    Ok(match tags(headers, &header::IF_NONE_MATCH, true)? {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::These(versions)) => versions.contains(&version),
    })
}

/// Tags of a header; weak ones count where only the content is compared, and else match nothing.
fn tags(headers: &HeaderMap, name: &HeaderName, weak: bool) -> Result<Option<Tags>, ApiError> {
    let wrong = || {
        let message = "`*` or versions in quotes, as an ETag has them, were expected";
        ApiError::invalid(header_name(name), message)
    };
    let mut versions = None;
    let all = headers.get_all(name).iter().map(|value| value.to_str().map_err(|_| wrong()));
    for tag in all.collect::<Result<Vec<&str>, _>>()?.into_iter().flat_map(|v| v.split(',')) {
        let tag = tag.trim();
        if tag == "*" && versions.is_none() {
            versions = Some(Tags::Any);
            continue;
        }
        let Tags::These(these) = versions.get_or_insert(Tags::These(Vec::new())) else {
            return Err(wrong());
        };
        if these.len() == MOST_VERSIONS {
            let message = format!("more than {MOST_VERSIONS} versions");
            return Err(ApiError::invalid(header_name(name), message));
        }
        let (strong, tag) = tag.strip_prefix("W/").map_or((true, tag), |tag| (false, tag));
        let opaque = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        let opaque = opaque.filter(|opaque| !opaque.contains('"')).ok_or_else(wrong)?;
        // A tag that is none of ours is that of no document; 0 is none's.
        let version = opaque.parse::<u64>().ok().filter(|version| *version > 0);
        these.extend(version.filter(|_| strong || weak));
    }
    Ok(versions)
}

fn header_name(name: &HeaderName) -> &'static str {
    if *name == header::IF_MATCH { "If-Match" } else { "If-None-Match" }
}

/// A request that may have a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyed<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

impl Keyed<'_> {
    /// The request's key, with a hash of all that the request asks for.
    pub(super) fn key(&self) -> Result<Option<RequestKey>, ApiError> {
        let mut all = self.headers.get_all(IDEMPOTENCY_KEY).iter();
        let (Some(key), None) = (all.next(), all.next()) else {
            return match self.headers.contains_key(IDEMPOTENCY_KEY) {
                true => Err(ApiError::invalid("Idempotency-Key", "given more than once")),
                false => Ok(None),
            };
        };
        let plain = |key: &&str| {
            (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
        };
        let key = key.to_str().ok().filter(plain).ok_or_else(|| {
            let message = format!("1 to {LONGEST_KEY} visible characters were expected");
            ApiError::invalid("Idempotency-Key", message)
        })?;
        let mut hash = Sha256::new();
        let value = |name| self.headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
        let query = self.uri.query().unwrap_or_default();
        for part in [
            self.method.as_str().as_bytes(),
            self.uri.path().as_bytes(),
            query.as_bytes(),
            value(header::IF_MATCH),
            value(header::IF_NONE_MATCH),
            value(header::CONTENT_TYPE),
            self.body,
        ] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut digest = String::new();
        for byte in &hash.finalize()[..16] {
            // Writing to a string does not fail.
            let _ = write!(digest, "{byte:02x}");
        }
        Ok(Some(RequestKey { key: key.to_owned(), digest }))
    }
}

/// An answer to a change, which may be the answer of before again.
pub(super) fn answered<T: Serialize>(outcome: Outcome<T>) -> Response {
    let mut response = match outcome.answer {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => error.into_response(),
    };
    if outcome.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(HeaderName, &'static str)| {
            (name.clone(), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn conditions_as_headers_say_them() {
        let of = |name: HeaderName, value| condition(&headers(&[(name, value)]));
        for (value, expected) in [
            ("*", Condition::There),
            ("\"7\"", Condition::OneOf(vec![7])),
            ("\"7\" , \"9\"", Condition::OneOf(vec![7, 9])),
            // Weak tags and those of others match nothing.
            ("W/\"7\"", Condition::OneOf(vec![])),
            ("\"x\", \"0\"", Condition::OneOf(vec![])),
        ] {
            assert_eq!(of(header::IF_MATCH, value).unwrap(), Some(expected), "{value}");
        }
        assert_eq!(of(header::IF_NONE_MATCH, "*").unwrap(), Some(Condition::Absent));
        assert_eq!(condition(&headers(&[])).unwrap(), None);
        for wrong in ["", "7", "\"7", "\"7\" \"8\"", "*, \"7\"", "\"7\", *", "\"a\"b\""] {
            assert!(of(header::IF_MATCH, wrong).is_err(), "{wrong}");
        }
        assert!(of(header::IF_NONE_MATCH, "\"7\"").is_err());
        let both = headers(&[(header::IF_MATCH, "*"), (header::IF_NONE_MATCH, "*")]);
        assert!(condition(&both).is_err());
        let many = "\"1\",".repeat(65);
        assert!(of(header::IF_MATCH, many.leak()).is_err());
    }

    #[test]
    fn who_has_it_is_not_sent_it_again() {
        let has =
            |value, version| has_it(&headers(&[(header::IF_NONE_MATCH, value)]), version).unwrap();
        assert!(has("\"7\"", 7) && has("W/\"7\"", 7) && has("*", 7) && has("\"6\", \"7\"", 7));
        assert!(!has("\"6\"", 7) && !has_it(&headers(&[]), 7).unwrap());
        assert_eq!(etag(7), "\"7\"");
    }

    #[test]
    fn a_key_stands_for_all_that_is_asked() {
        let uri: Uri = "/v1/collections/c/documents?mode=insert".parse().unwrap();
        let key = |headers: &HeaderMap, body: &[u8]| {
            Keyed { method: &Method::POST, uri: &uri, headers, body }.key()
        };
        let plain = headers(&[(IDEMPOTENCY_KEY, "k-1")]);
        let first = key(&plain, b"[]").unwrap().unwrap();
        assert_eq!((first.key.as_str(), first.digest.len()), ("k-1", 32));
        assert_eq!(key(&plain, b"[]").unwrap().unwrap(), first);
        assert_ne!(key(&plain, b"[ ]").unwrap().unwrap(), first);
        let other = headers(&[(IDEMPOTENCY_KEY, "k-1"), (header::IF_MATCH, "*")]);
        assert_ne!(key(&other, b"[]").unwrap().unwrap(), first);
        assert_eq!(key(&headers(&[]), b"").unwrap(), None);
        for wrong in ["", "a b", "a".repeat(256).leak()] {
            assert!(key(&headers(&[(IDEMPOTENCY_KEY, wrong)]), b"").is_err());
        }
        let mut twice = plain;
        twice.append(IDEMPOTENCY_KEY, HeaderValue::from_static("k-2"));
        assert!(key(&twice, b"").is_err());
    }
}
