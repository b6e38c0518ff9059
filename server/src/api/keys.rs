//! Keys of clients: requests and responses.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiError;
use super::json::from_json;
use crate::keys::Scope;

/// A key to make.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyInput {
    /// A name for people; empty if absent.
    #[serde(default)]
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The collections on which it may do that: names, with `*` for any characters; all if absent.
    #[serde(default = "all")]
    #[schema(example = json!(["docs-*"]))]
    pub collections: Vec<String>,
    /// A filter that every search with this key has; other documents are as if they were not there. Only with the
    /// scope `search`.
    #[serde(default)]
    #[schema(example = "tenant:a")]
    pub filter: Option<String>,
    /// When it ends, as `2027-01-31T12:00:00Z` or `2027-01-31`; never if absent.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// Most requests a second; any number if absent.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub rate: Option<u32>,
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

impl KeyInput {
    /// Parses a body.
    ///
    /// # Errors
    /// If it is not JSON, has a name that is not known, or a value of another type.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        from_json(bytes, &[""])
    }
}

/// A key, without what clients send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeyResponse {
    /// What it is called in the log and for removing; no secret.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// On which collections.
    pub collections: Vec<String>,
    /// The filter of its searches.
    pub filter: Option<String>,
    /// When it ends.
    pub expires_at: Option<String>,
    /// Whether it has ended.
    pub expired: bool,
    /// Most requests a second.
    pub rate: Option<u32>,
    /// When it was made.
    pub created_at: String,
}

/// A new key.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NewKeyResponse {
    /// What clients send. It is shown only here.
    pub key: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub record: KeyResponse,
}

impl std::fmt::Debug for NewKeyResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKeyResponse").field("record", &self.record).finish_non_exhaustive()
    }
}

/// All keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeysResponse {
    /// In the order in which they were made.
    pub keys: Vec<KeyResponse>,
}

/// A key that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RemovedKeyResponse {
    /// Its id.
    pub removed: String,
}
