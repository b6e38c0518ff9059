//! Aliases: other names of collections.

use quarry_engine::store::{AliasAction, CollectionName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiError;
use super::json::from_json;

/// Most actions of a request.
const MOST: usize = 1000;

/// Changes of aliases, all of them or none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AliasesRequest {
    /// What to do, in order; 1 to 1000.
    pub actions: Vec<AliasInput>,
}

/// A change of an alias: `alias` with `collection`, or `remove`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AliasInput {
    /// The alias to make or to switch: a name as collections have, that none has.
    #[serde(default)]
    pub alias: Option<String>,
    /// The collection that it names from now on.
    #[serde(default)]
    pub collection: Option<String>,
    /// The alias to remove.
    #[serde(default)]
    pub remove: Option<String>,
}

impl AliasesRequest {
    /// Parses a body.
    ///
    /// # Errors
    /// If it is not JSON, has a name that is not known, or a value of another type.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        let places: Vec<String> = (0..MOST).map(|at| format!("/actions/{at}")).collect();
        let mut objects: Vec<&str> = places.iter().map(String::as_str).collect();
        objects.push("");
        from_json(bytes, &objects)
    }

    /// The actions.
    pub(crate) fn actions(&self) -> Result<Vec<AliasAction>, ApiError> {
        let count = self.actions.len();
        if count == 0 || count > MOST {
            let message = format!("{count} actions, 1 to {MOST} were expected");
            return Err(ApiError::invalid("actions", message));
        }
        self.actions.iter().enumerate().map(|(at, one)| one.action(at)).collect()
    }
}

impl AliasInput {
    fn action(&self, at: usize) -> Result<AliasAction, ApiError> {
        let name = |param: &str, name: &str| {
            name.parse::<CollectionName>()
                .map_err(|message| ApiError::invalid(format!("actions[{at}].{param}"), message))
        };
        match (&self.alias, &self.collection, &self.remove) {
            (Some(alias), Some(collection), None) => Ok(AliasAction::Set {
                alias: name("alias", alias)?,
                collection: name("collection", collection)?,
            }),
            (None, None, Some(alias)) => Ok(AliasAction::Remove(name("remove", alias)?)),
            _ => {
                let message = "give `alias` and `collection`, or `remove` alone";
                Err(ApiError::invalid(format!("actions[{at}]"), message))
            }
        }
    }
}

/// Aliases with their collections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AliasesResponse {
    /// By name.
    pub aliases: Vec<Alias>,
}

/// An alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Alias {
    /// Its name.
    pub alias: String,
    /// The collection that it names.
    pub collection: String,
}
