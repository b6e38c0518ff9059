//! Changes of a collection, as requests ask for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quarry_engine::store::{
    Ack, Change, Changed, Condition, Guard, Live, Mode, RefusalKind, RequestKey, Spent,
};
use quarry_engine::{Document, FieldType, read_sent_document};

use super::outcome::Outcome;
use super::split::{Form, Piece, split};
use super::version::version;
use crate::api::{
    ApiError, DocumentsResponse, ErrorCode, ErrorDetail, MAX_DOCUMENTS, RejectedDocument,
    WriteTimings,
};

/// Field of a sent document that says which version it replaces; it is not stored.
const IF_VERSION: &str = "if_version";

/// Documents in a request.
#[derive(Debug)]
pub(crate) struct Sent<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) form: Form,
    pub(crate) mode: Mode,
    pub(crate) ack: Ack,
    /// Most bytes of a document.
    pub(crate) most: usize,
    /// Whether all are taken or none.
    pub(crate) atomic: bool,
    pub(crate) key: Option<RequestKey>,
}

/// Reads the documents and puts those that can be into the collection.
pub(crate) fn put(
    live: &Arc<Live>,
    sent: Sent<'_>,
) -> Result<Outcome<DocumentsResponse>, ApiError> {
    let started = Instant::now();
    let pieces = split(sent.body, sent.form, MAX_DOCUMENTS)?;
    let kept = kept_fields(live);
    let mut rejected = Vec::new();
    let (mut documents, mut conditions) = (Vec::with_capacity(pieces.len()), Vec::new());
    for piece in pieces {
        match read(piece, sent.most, &kept) {
            Ok(Read { document, condition }) => {
                if condition.is_some() || !conditions.is_empty() {
                    conditions.resize(documents.len(), None);
                    conditions.push(condition);
                }
                documents.push(document);
            }
            Err(one) => rejected.push(*one),
        }
    }
    if sent.atomic && !rejected.is_empty() {
        return Err(all_or_none(rejected));
    }
    let parse = whole_micros(started.elapsed());
    let guard = Guard { conditions, atomic: sent.atomic, key: sent.key };
    let changed = live.change_if(Change::Put { documents, mode: sent.mode }, guard, sent.ack)?;
    let Spent { queued, encode, write, log } = changed.spent;
    let timings_us = WriteTimings {
        parse,
        queue: whole_micros(queued),
        encode: whole_micros(encode),
        write: whole_micros(write),
        log: whole_micros(log),
    };
    let Changed { sequence: seq, accepted, replaced, refused, replayed, .. } = changed;
    rejected.extend(refused.into_iter().map(|one| RejectedDocument {
        line: one.line,
        id: Some(one.id),
        error: refusal(one.kind, one.reason),
    }));
    rejected.sort_by_key(|one| one.line);
    let index = version(changed.version);
    let answer = match sent.atomic && !rejected.is_empty() {
        true => Err(all_or_none(rejected)),
        false => Ok(DocumentsResponse { index, seq, accepted, replaced, rejected, timings_us }),
    };
    Ok(Outcome { answer, replayed })
}

/// The error of a request that wanted all of its documents taken or none.
fn all_or_none(rejected: Vec<RejectedDocument>) -> ApiError {
    let many = rejected.len();
    let message = format!("{many} of the documents cannot be taken, so none was");
    let detail = ErrorDetail::new(ErrorCode::DocumentRejected, message);
    ErrorDetail { rejected, ..detail }.into()
}

/// A document, and what must hold of the one of its id.
struct Read {
    document: Document,
    condition: Option<Condition>,
}

fn read(piece: Piece<'_>, most: usize, kept: &[String]) -> Result<Read, Box<RejectedDocument>> {
    let Piece { line, text } = piece;
    let reject = |id, code, message: String| {
        Box::new(RejectedDocument { line, id, error: ErrorDetail::new(code, message) })
    };
    if text.len() > most {
        let message = format!("it has {} bytes, at most {most}", text.len());
        return Err(reject(None, ErrorCode::DocumentTooLarge, message));
    }
    let mut document = read_sent_document(text, line, kept)
        .map_err(|refused| reject(refused.id, ErrorCode::InvalidDocument, refused.reason))?;
    let condition = match document.fields.remove(IF_VERSION) {
        None => None,
        Some(version) => Some(match version.as_u64() {
            Some(0) => Condition::Absent,
            Some(version) => Condition::OneOf(vec![version]),
            None => {
                let message =
                    format!("`{IF_VERSION}` is {version}; a version, or 0 for none, was expected");
                return Err(reject(Some(document.id), ErrorCode::InvalidDocument, message));
            }
        }),
    };
    Ok(Read { document, condition })
}

/// Fields that stay fields even if they look like vectors.
pub(super) fn kept_fields(live: &Live) -> Vec<String> {
    let settings = live.settings().into_iter().flat_map(|settings| &settings.fields);
    let kept = settings.filter(|(_, kind)| matches!(kind, FieldType::Stored | FieldType::Any));
    kept.map(|(path, _)| path.clone()).collect()
}

/// What is said of a document that was refused.
pub(super) fn refusal(kind: RefusalKind, reason: String) -> ErrorDetail {
    let (code, current) = match kind {
        RefusalKind::Exists => (ErrorCode::DocumentExists, None),
        RefusalKind::NotFound => (ErrorCode::DocumentNotFound, None),
        RefusalKind::Invalid => (ErrorCode::InvalidDocument, None),
        RefusalKind::TooLarge => (ErrorCode::DocumentTooLarge, None),
        RefusalKind::NotEncoded => (ErrorCode::EncodingFailed, None),
        RefusalKind::Conflict { current } => (ErrorCode::VersionConflict, Some(current)),
    };
    ErrorDetail { current, ..ErrorDetail::new(code, reason) }
}

fn whole_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
