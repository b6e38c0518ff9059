//! Patches, as requests ask for them.

use std::sync::Arc;

use quarry_engine::store::{Ack, Change, Changed, Guard, Live, Patch, RequestKey, Selection};
use serde_json::{Map, Value};

use super::documents::refusal;
use super::one::OneSent;
use super::outcome::Outcome;
use super::version::version;
use crate::api::{
    ApiError, ErrorCode, PatchRequest, PatchResponse, PatchedResponse, RejectedDocument,
};

fn checked(members: Map<String, Value>, within: &str) -> Result<Patch, ApiError> {
    Patch::new(members).map_err(|(name, what)| ApiError::invalid(format!("{within}{name}"), what))
}

/// Patches one document.
pub(crate) fn patch_one(
    live: &Arc<Live>,
    sent: &OneSent<'_>,
) -> Result<Outcome<PatchedResponse>, ApiError> {
    let patch = checked(sent.object()?, "")?.up_to(sent.most);
    let selection = Selection::Ids(vec![sent.id.clone()]);
    let mut changed = live.change_if(Change::Patch { selection, patch }, sent.guard(), sent.ack)?;
    let answer = match changed.refused.pop() {
        Some(one) => Err(refusal(one.kind, one.reason).into()),
        None if changed.accepted == 0 => {
            let message = format!("no document has the id `{}`", sent.id);
            Err(ApiError::new(ErrorCode::DocumentNotFound, message).param("id"))
        }
        None => {
            let (index, seq) = (version(changed.version), changed.sequence);
            Ok(PatchedResponse { index, seq, version: seq, encoded: changed.encoded > 0 })
        }
    };
    Ok(Outcome { answer, replayed: changed.replayed })
}

/// Patches many documents, each of at most `most` bytes after it.
pub(crate) fn patch_many(
    live: &Arc<Live>,
    (request, most): (PatchRequest, usize),
    (ack, key): (Ack, Option<RequestKey>),
) -> Result<Outcome<PatchResponse>, ApiError> {
    let selection = request.selection()?;
    let patch = checked(request.patch, "patch.")?.up_to(most);
    if request.dry_run {
        let snapshot = live.collection().snapshot();
        let found = selection.resolve(&snapshot)?;
        let answer = PatchResponse {
            index: version(snapshot.version()),
            seq: live.progress().visible,
            patched: found.ids.len() as u64,
            encoded: 0,
            unknown: found.unknown,
            rejected: Vec::new(),
        };
        return Ok(Outcome { answer: Ok(answer), replayed: false });
    }
    let guard = Guard { key, ..Guard::default() };
    let changed = live.change_if(Change::Patch { selection, patch }, guard, ack)?;
    let Changed { sequence: seq, accepted: patched, encoded, unknown, refused, replayed, .. } =
        changed;
    let rejected = refused.into_iter().map(|one| RejectedDocument {
        line: one.line,
        id: Some(one.id),
        error: refusal(one.kind, one.reason),
    });
    let rejected = rejected.collect();
    let index = version(changed.version);
    let answer = Ok(PatchResponse { index, seq, patched, encoded, unknown, rejected });
    Ok(Outcome { answer, replayed })
}
