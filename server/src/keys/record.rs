//! A key as it is kept, and the making of one.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};
use utoipa::ToSchema;

use super::pattern::Pattern;

/// Most bytes of a name and of a filter.
const MOST_TEXT: usize = 4096;
/// Most patterns of a key.
const MOST_PATTERNS: usize = 256;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Search, get documents, and describe collections.
    Search,
    /// Add, replace and delete documents.
    Write,
    /// Read the metrics, which name all collections.
    Metrics,
    /// Everything: also make and remove collections, and manage keys.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Search, Self::Write, Self::Metrics, Self::Admin];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Write => "write",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }
}

/// What a key shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRequest {
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The collections on which it may do that: names, with `*` for any characters.
    pub collections: Vec<String>,
    /// A filter that every search with this key has; other documents are as if they were not there.
    pub filter: Option<String>,
    /// When it ends.
    pub expires_at: Option<OffsetDateTime>,
    /// Most requests a second.
    pub rate: Option<NonZeroU32>,
}

/// A key as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// What it is called in lists and in the log; no secret.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// SHA-256 of the key, in hexadecimal digits. The key has 244 random bits, so that a slow hash would add nothing.
    hash: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Names of collections, with `*`.
    pub collections: Vec<String>,
    /// Filter of every search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// When it ends.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_at: Option<OffsetDateTime>,
    /// Most requests a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<NonZeroU32>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A new key: the only time that it can be read.
#[derive(Clone)]
pub struct NewKey {
    /// What clients send.
    pub key: String,
    /// What is kept.
    pub record: KeyRecord,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("record", &self.record).finish_non_exhaustive()
    }
}

impl NewKey {
    /// Makes a key of the system's random numbers.
    ///
    /// # Errors
    /// What is wrong with the request: the parameter and a message.
    pub fn make(request: KeyRequest) -> Result<Self, Fault> {
        let random = || uuid::Uuid::new_v4().simple().to_string();
        let id = random()[..12].to_owned();
        let key = format!("qk_{id}_{}{}", random(), random());
        let KeyRequest { name, scopes, collections, filter, expires_at, rate } = request;
        let created_at = OffsetDateTime::now_utc();
        // To the second: nothing finer is of use to anyone.
        let created_at = created_at.replace_nanosecond(0).unwrap_or(created_at);
        let hash = hex(&hash_of(key.as_bytes()));
        let record =
            KeyRecord { id, name, hash, scopes, collections, filter, expires_at, rate, created_at };
        record.check()?;
        let all = record.collections.iter().filter_map(|text| Pattern::new(text));
        if record.scopes.contains(&Scope::Metrics) && !all.into_iter().any(|p| p.matches_all()) {
            let message = "the metrics are of every collection, so a key with the scope metrics is for `*`; \
                           make another key for the other scopes";
            return Err(Fault::new("collections", message));
        }
        if record.expires_at.is_some_and(|end| end <= created_at) {
            return Err(Fault::new("expires_at", "it has passed already"));
        }
        Ok(Self { key, record })
    }
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{param}: {message}")]
pub struct Fault {
    /// The field.
    pub param: &'static str,
    /// What is wrong, and what was expected.
    pub message: String,
}

impl Fault {
    fn new(param: &'static str, message: impl Into<String>) -> Self {
        Self { param, message: message.into() }
    }
}

impl KeyRecord {
    /// Checks what a file or a request says.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let plain = |text: &str| text.len() <= MOST_TEXT && !text.chars().any(char::is_control);
        if !plain(&self.name) {
            let message = format!("at most {MOST_TEXT} bytes without control characters");
            return Err(Fault::new("name", message));
        }
        if self.id.is_empty() || !self.id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Fault::new("id", "letters and digits were expected"));
        }
        if self.digest().is_none() {
            return Err(Fault::new("hash", "64 hexadecimal digits were expected"));
        }
        if self.scopes.is_empty() {
            return Err(Fault::new("scopes", "give at least one of search, write, metrics, admin"));
        }
        if self.collections.is_empty() || self.collections.len() > MOST_PATTERNS {
            let message = format!("1 to {MOST_PATTERNS} names of collections were expected");
            return Err(Fault::new("collections", message));
        }
        if let Some(wrong) = self.collections.iter().find(|text| Pattern::new(text).is_none()) {
            let message = format!(
                "`{}` is no name of a collection: letters, digits, `-`, `_`, `.`, and `*` for any of them",
                wrong.escape_debug()
            );
            return Err(Fault::new("collections", message));
        }
        let Some(filter) = &self.filter else { return Ok(()) };
        if filter.len() > MOST_TEXT {
            return Err(Fault::new("filter", format!("at most {MOST_TEXT} bytes")));
        }
        quarry_engine::check_filter(filter).map_err(|message| Fault::new("filter", message))?;
        match self.scopes.iter().all(|scope| *scope == Scope::Search) {
            true => Ok(()),
            false => Err(Fault::new(
                "filter",
                "a key with a filter can have the scope search only: nothing else heeds it",
            )),
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    pub(super) fn patterns(&self) -> Vec<Pattern> {
        self.collections.iter().filter_map(|text| Pattern::new(text)).collect()
    }

    /// The hash; `None` if it is none.
    pub(super) fn digest(&self) -> Option<[u8; 32]> {
        let digits = self.hash.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(bytes)
    }
}

pub(super) fn hash_of(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A moment, as `2027-01-31T12:00:00Z` or `2027-01-31` (midnight, UTC).
///
/// # Errors
/// What was expected.
pub fn parse_time(text: &str) -> Result<OffsetDateTime, String> {
    let day = time::format_description::parse_borrowed::<2>("[year]-[month]-[day]");
    let date = day.ok().and_then(|day| Date::parse(text, &day).ok());
    let date = date.map(|date| date.midnight().assume_utc());
    date.or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok())
        .ok_or_else(|| "a time such as 2027-01-31T12:00:00Z, or a day, was expected".to_owned())
}

/// The same the other way.
#[must_use]
pub fn time_text(time: OffsetDateTime) -> String {
    // Only years beyond 9999 cannot be written so.
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn request() -> KeyRequest {
        KeyRequest {
            name: "tests".into(),
            scopes: vec![Scope::Search],
            collections: vec!["docs-*".into()],
            filter: Some("tenant:a".into()),
            expires_at: Some(parse_time("9000-01-31").unwrap()),
            rate: NonZeroU32::new(5),
        }
    }

    #[test]
    fn the_key_is_not_in_the_record() {
        let made = NewKey::make(request()).unwrap();
        let kept = serde_json::to_string(&made.record).unwrap();
        let secret = made.key.rsplit('_').next().unwrap();
        assert_eq!((secret.len(), kept.contains(secret)), (64, false));
        assert!(!format!("{made:?}").contains(secret));
        let read: KeyRecord = serde_json::from_str(&kept).unwrap();
        assert_eq!(read, made.record);
        assert_eq!(read.digest(), Some(hash_of(made.key.as_bytes())));
        assert_ne!(NewKey::make(request()).unwrap().key, made.key);
    }

    #[test]
    fn faults_are_named() {
        type Change = fn(&mut KeyRequest);
        let changes: [(&str, Change); 6] = [
            ("name", |r| r.name = "a\nb".into()),
            ("scopes", |r| r.scopes.clear()),
            ("collections", |r| r.collections.clear()),
            ("collections", |r| r.collections = vec!["a/b".into()]),
            ("filter", |r| r.scopes.push(Scope::Write)),
            ("filter", |r| r.filter = Some("tenant:(".into())),
        ];
        for (param, change) in changes {
            let mut request = request();
            change(&mut request);
            assert_eq!(NewKey::make(request).unwrap_err().param, param);
        }
        let past = KeyRequest { expires_at: Some(parse_time("1999-01-01").unwrap()), ..request() };
        assert_eq!(NewKey::make(past).unwrap_err().param, "expires_at");
        for wrong in ["", "tomorrow", "2027-13-01", "2027-01-01T00:00"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
        assert_eq!(time_text(parse_time("2027-01-31").unwrap()), "2027-01-31T00:00:00Z");
    }
}
