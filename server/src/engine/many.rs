//! Many documents at once, by ids or by a filter: got, or deleted.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use quarry_engine::store::{Ack, Change, Changed, Guard, Live, RequestKey, Selection};
use quarry_engine::{EngineError, PageWanted, Snapshot, StoredDocument};

use super::Engine;
use super::outcome::Outcome;
use super::version::version;
use crate::api::{
    ApiError, DeleteResponse, DryRun, FoundDocument, GetRequest, GetResponse, Wanted, Warning,
    WarningCode,
};

/// Documents that are being fetched.
struct Fetched<'a> {
    snapshot: &'a Snapshot,
    within: Option<&'a str>,
    fields: Option<&'a [String]>,
    /// Bytes that the answer may still have.
    left: Option<usize>,
    most: usize,
    documents: Vec<FoundDocument>,
    unknown: Vec<String>,
}

impl Fetched<'_> {
    fn fetch(&mut self, id: &str) -> Result<(), ApiError> {
        let found = match self.within {
            Some(filter) => self.snapshot.document_within(id, filter),
            None => self.snapshot.document(id),
        };
        let StoredDocument { mut fields, .. } = match found {
            Ok(found) => found,
            Err(EngineError::UnknownDocument { id }) => {
                self.unknown.push(id);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(wanted) = self.fields {
            fields.retain(|name, _| wanted.contains(name));
        }
        if let Some(left) = &mut self.left {
            let bytes = serde_json::to_vec(&fields).map_or(0, |json| json.len()) + id.len();
            *left = left
                .checked_sub(bytes)
                .ok_or_else(|| ApiError::answer_too_large(self.most).param("limit"))?;
        }
        self.documents.push(FoundDocument { id: id.to_owned(), fields });
        Ok(())
    }

    /// Names that no document has: they may be misspelt.
    fn unknown_fields(&self) -> Option<Warning> {
        let unknown = self.fields.into_iter().flatten().filter(|name| {
            !matches!(name.as_str(), "title" | "text")
                && !self.documents.iter().any(|d| d.fields.contains_key(*name))
        });
        let names: Vec<String> = unknown.cloned().collect();
        if names.is_empty() || self.documents.is_empty() {
            return None;
        }
        let message = format!("fields that none of these documents has: {}", names.join(", "));
        Some(Warning { code: WarningCode::UnknownFields, message, count: names.len(), names })
    }
}

impl Engine {
    /// Gets documents of one generation, among those that `within` allows; others are as if they were not there.
    ///
    /// # Errors
    /// If the request is out of bounds, the filter cannot be understood, the answer is too large, or the index cannot be read.
    pub fn documents(
        &self,
        request: &GetRequest,
        within: Option<&str>,
        deadline: Option<Instant>,
    ) -> Result<GetResponse, ApiError> {
        let wanted = request.wanted()?;
        let snapshot = self.collection.snapshot();
        let mut fetched = Fetched {
            snapshot: &snapshot,
            within,
            fields: request.fields.as_deref(),
            left: self.answer_bytes.map(NonZeroUsize::get),
            most: self.answer_bytes.map_or(0, NonZeroUsize::get),
            documents: Vec::new(),
            unknown: Vec::new(),
        };
        let late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let (mut matched, mut after) = (None, None);
        match wanted {
            Wanted::Ids(ids) => {
                let mut seen: HashSet<&str> = HashSet::new();
                for id in ids.iter().filter(|id| seen.insert(id)) {
                    if late() {
                        return Err(ApiError::timeout());
                    }
                    fetched.fetch(id)?;
                }
            }
            Wanted::Page { filter, after: from, limit } => {
                let filters: Vec<&str> = [Some(filter), within].into_iter().flatten().collect();
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                let limit = NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN);
                let wanted = PageWanted { filters: &filters, after: from, limit };
                let page = snapshot.page(&wanted, deadline).map_err(|error| {
                    let error = ApiError::from(error);
                    // Names of fields may be those of documents outside the filter.
                    if within.is_some() { error.without_list() } else { error }
                })?;
                // All of them are allowed.
                fetched.within = None;
                for id in &page.ids {
                    if late() {
                        return Err(ApiError::timeout());
                    }
                    fetched.fetch(id)?;
                }
                matched = Some(page.matched);
                after = page.ids.last().filter(|_| page.more).cloned();
            }
        }
        let warnings = fetched.unknown_fields().into_iter().collect();
        let Fetched { documents, unknown, .. } = fetched;
        let index = version(snapshot.version());
        Ok(GetResponse { index, documents, unknown, matched, after, warnings })
    }
}

/// Deletes documents.
pub(crate) fn delete(
    live: &Arc<Live>,
    selection: Selection,
    (ack, key): (Ack, Option<RequestKey>),
) -> Result<Outcome<DeleteResponse>, ApiError> {
    let guard = Guard { key, ..Guard::default() };
    let changed = live.change_if(Change::Delete(selection), guard, ack)?;
    let Changed { version: found, sequence: seq, deleted, unknown, replayed, .. } = changed;
    let answer = Ok(DeleteResponse { index: version(found), seq, deleted, unknown, dry_run: None });
    Ok(Outcome { answer, replayed })
}

/// What [`delete`] would delete now.
pub(crate) fn would_delete(
    live: &Arc<Live>,
    selection: &Selection,
) -> Result<Outcome<DeleteResponse>, ApiError> {
    let seq = live.progress().visible;
    let snapshot = live.collection().snapshot();
    let selected = selection.resolve(&snapshot)?;
    let answer = DeleteResponse {
        index: version(snapshot.version()),
        seq,
        deleted: 0,
        unknown: selected.unknown,
        dry_run: Some(DryRun::of(selected.ids)),
    };
    Ok(Outcome { answer: Ok(answer), replayed: false })
}
