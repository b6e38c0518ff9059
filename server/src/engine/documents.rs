//! Changes of a collection, as requests ask for them.

use std::sync::Arc;
use std::time::Instant;

use quarry_engine::store::{Ack, Change, Changed, Live, Mode, RefusalKind};
use quarry_engine::{Document, FieldType, read_sent_document};

use super::split::{Form, Piece, split};
use super::version::version;
use crate::api::{
    ApiError, DocumentsResponse, ErrorCode, ErrorDetail, MAX_DOCUMENTS, RejectedDocument,
    WriteTimings,
};

/// Documents in a request.
#[derive(Debug)]
pub(crate) struct Sent<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) form: Form,
    pub(crate) mode: Mode,
    pub(crate) ack: Ack,
    /// Most bytes of a document.
    pub(crate) most: usize,
}

/// Reads the documents and puts those that can be into the collection.
pub(crate) fn put(live: &Arc<Live>, sent: &Sent<'_>) -> Result<DocumentsResponse, ApiError> {
    let started = Instant::now();
    let pieces = split(sent.body, sent.form, MAX_DOCUMENTS)?;
    let kept = kept_fields(live);
    let (mut documents, mut rejected) = (Vec::with_capacity(pieces.len()), Vec::new());
    for piece in pieces {
        match read(piece, sent.most, &kept) {
            Ok(document) => documents.push(document),
            Err(one) => rejected.push(one),
        }
    }
    let parse = micros(started);
    let started = Instant::now();
    let changed = live.change(Change::Put { documents, mode: sent.mode }, sent.ack)?;
    let timings_us = WriteTimings { parse, write: micros(started) };
    let Changed { sequence: seq, accepted, replaced, refused, .. } = changed;
    rejected.extend(refused.into_iter().map(|one| RejectedDocument {
        line: one.line,
        id: Some(one.id),
        error: detail(code(one.kind), one.reason),
    }));
    rejected.sort_by_key(|one| one.line);
    let index = version(changed.version);
    Ok(DocumentsResponse { index, seq, accepted, replaced, rejected, timings_us })
}

fn read(piece: Piece<'_>, most: usize, kept: &[String]) -> Result<Document, RejectedDocument> {
    let Piece { line, text } = piece;
    let reject = |id, code, message| RejectedDocument { line, id, error: detail(code, message) };
    if text.len() > most {
        let message = format!("it has {} bytes, at most {most}", text.len());
        return Err(reject(None, ErrorCode::DocumentTooLarge, message));
    }
    read_sent_document(text, line, kept)
        .map_err(|refused| reject(refused.id, ErrorCode::InvalidDocument, refused.reason))
}

/// Fields that stay fields even if they look like vectors.
fn kept_fields(live: &Live) -> Vec<String> {
    let settings = live.settings().into_iter().flat_map(|settings| &settings.fields);
    let kept = settings.filter(|(_, kind)| matches!(kind, FieldType::Stored | FieldType::Any));
    kept.map(|(path, _)| path.clone()).collect()
}

fn code(kind: RefusalKind) -> ErrorCode {
    match kind {
        RefusalKind::Exists => ErrorCode::DocumentExists,
        RefusalKind::NotFound => ErrorCode::DocumentNotFound,
        RefusalKind::Invalid => ErrorCode::InvalidDocument,
    }
}

fn detail(code: ErrorCode, message: String) -> ErrorDetail {
    ErrorDetail { code, message, param: None, hint: None }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
