//! Many documents at once: got or deleted, named by ids or by a filter.

use quarry_engine::store::Selection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::json::from_json;
use super::{ApiError, IndexVersion, MAX_DOCUMENTS, MAX_FIELDS, MAX_GET, Warning};

/// Documents to get: `ids` or `filter`, one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GetRequest {
    /// Their ids, 1 to 1000.
    #[serde(default)]
    pub ids: Option<Vec<String>>,
    /// What they must match, as `filter` of a search; `*` for all. They come in the order of their ids, bytewise.
    #[serde(default)]
    pub filter: Option<String>,
    /// With `filter`: most documents of an answer.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
    /// With `filter`: only documents whose ids come after this one; `after` of the answer before.
    #[serde(default)]
    pub after: Option<String>,
    /// Stored fields to return; all if absent.
    #[serde(default)]
    pub fields: Option<Vec<String>>,
}

/// Which documents are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    Ids(&'a [String]),
    Page { filter: &'a str, after: Option<&'a str>, limit: u32 },
}

impl GetRequest {
    /// Documents of a page if the request does not say.
    const LIMIT: u32 = 100;

    /// Parses a body.
    ///
    /// # Errors
    /// If it is not JSON, has a name that is not known, or a value of another type.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        from_json(bytes, &[""])
    }

    /// Checks bounds, and that one of the two is given.
    pub(crate) fn wanted(&self) -> Result<Wanted<'_>, ApiError> {
        if let Some(fields) = self.fields.as_ref().filter(|fields| fields.len() > MAX_FIELDS) {
            let message = format!("{} fields, at most {MAX_FIELDS}", fields.len());
            return Err(ApiError::invalid("fields", message));
        }
        match (&self.ids, &self.filter) {
            (Some(ids), None) => {
                count(ids, MAX_GET)?;
                for (name, given) in
                    [("limit", self.limit.is_some()), ("after", self.after.is_some())]
                {
                    if given {
                        return Err(ApiError::invalid(
                            name,
                            "it goes with `filter`, not with `ids`",
                        ));
                    }
                }
                Ok(Wanted::Ids(ids))
            }
            (None, Some(filter)) => {
                let limit = self.limit.unwrap_or(Self::LIMIT);
                if limit == 0 || usize::try_from(limit).is_ok_and(|limit| limit > MAX_GET) {
                    let message = format!("{limit} is not 1 to {MAX_GET}");
                    return Err(ApiError::invalid("limit", message));
                }
                Ok(Wanted::Page { filter, after: self.after.as_deref(), limit })
            }
            (ids, _) => Err(one_of_two(ids.is_some())),
        }
    }
}

/// Documents that were found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GetResponse {
    /// The generation that all of them were read from.
    pub index: IndexVersion,
    /// The documents, in the order of `ids`; of a filter in the order of their ids, bytewise.
    pub documents: Vec<FoundDocument>,
    /// Ids that no document has.
    pub unknown: Vec<String>,
    /// Of a filter: the number of documents that match, on all pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<u64>,
    /// Of a filter, if more follow: sent as `after`, it gives the next page. Pages are of the generations that are current when
    /// they are asked for; a document that is there all the time is on exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Problems with the request that did not prevent an answer.
    pub warnings: Vec<Warning>,
}

/// A stored document among others.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FoundDocument {
    /// Its id in the collection.
    pub id: String,
    /// `title`, `text` and the document's other fields, as far as they were asked for; empty ones are omitted.
    #[schema(value_type = Object)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// Documents to delete: `ids` or `filter`, one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteRequest {
    /// Their ids, 1 to 50,000.
    #[serde(default)]
    pub ids: Option<Vec<String>>,
    /// What they must match, as `filter` of a search: however many match are deleted. `*` is all documents; an empty filter
    /// is refused. It is resolved once, when the change has its turn.
    #[serde(default)]
    pub filter: Option<String>,
    /// Delete nothing, and say what would be deleted now.
    #[serde(default)]
    pub dry_run: bool,
}

impl DeleteRequest {
    /// Parses a body.
    ///
    /// # Errors
    /// If it is not JSON, has a name that is not known, or a value of another type.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        from_json(bytes, &[""])
    }

    /// The documents that are meant.
    pub(crate) fn selection(self) -> Result<Selection, ApiError> {
        selection(self.ids, self.filter)
    }
}

/// Documents by ids or by a filter, one of the two.
pub(crate) fn selection(
    ids: Option<Vec<String>>,
    filter: Option<String>,
) -> Result<Selection, ApiError> {
    match (ids, filter) {
        (Some(ids), None) => {
            count(&ids, MAX_DOCUMENTS)?;
            Ok(Selection::Ids(ids))
        }
        (None, Some(filter)) if filter.trim().is_empty() => {
            Err(ApiError::invalid("filter", "it is empty").hint("`*` is all documents"))
        }
        (None, Some(filter)) => Ok(Selection::Filter(filter)),
        (ids, _) => Err(one_of_two(ids.is_some())),
    }
}

fn count(ids: &[String], most: usize) -> Result<(), ApiError> {
    match ids.len() {
        found if found == 0 || found > most => {
            Err(ApiError::invalid("ids", format!("{found} ids, 1 to {most} were expected")))
        }
        _ => Ok(()),
    }
}

fn one_of_two(both: bool) -> ApiError {
    let message = if both { "`ids` and `filter` are given" } else { "neither is given" };
    let hint = "give `ids`, or `filter`, one of the two; the filter `*` is all documents";
    ApiError::invalid(if both { "filter" } else { "ids" }, message).hint(hint)
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DeleteResponse {
    /// The generation without them.
    pub index: IndexVersion,
    /// Number of this change among those of the collection, for `min_seq`.
    pub seq: u64,
    /// Documents deleted.
    pub deleted: u64,
    /// Ids that no document has.
    pub unknown: Vec<String>,
    /// With `dry_run`: what would be deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<DryRun>,
}

/// What a change would be about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DryRun {
    /// Number of documents.
    pub documents: u64,
    /// The first of their ids, at most 100.
    pub ids: Vec<String>,
}

impl DryRun {
    /// Most ids that are named.
    const NAMED: usize = 100;

    pub(crate) fn of(mut ids: Vec<String>) -> Self {
        let documents = ids.len() as u64;
        ids.truncate(Self::NAMED);
        Self { documents, ids }
    }
}
