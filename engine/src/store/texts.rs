//! Encodes the texts of a change before it takes its turn, so that others need not wait for that.
//!
//! 1. take the documents whose texts are encoded, but for those that will be refused anyway  2. split their texts as an
//!    addition does  3. encode the rows (`encoding.rs`)  4. documents that cannot be encoded are refused, each alone
//!
//! What is left out here is encoded when the change is made: only time depends on it.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use quarry_vectors::Document;
use rayon::prelude::*;

use super::StoreError;
use super::change::{Change, Mode};
use super::encoding::{Done, EncodeQueue, Full, Row};
use super::head::Texts;
use crate::snapshot::Snapshot;
use crate::write::{EncodedText, TextEncoders, Writer};

/// Where texts are encoded.
pub(super) struct Place<'a> {
    pub(super) writer: &'a Writer,
    pub(super) snapshot: &'a Snapshot,
    pub(super) queue: &'a EncodeQueue<TextEncoders>,
}

/// A change whose texts are encoded.
pub(super) struct Prepared {
    pub(super) change: Change,
    pub(super) texts: Texts,
    /// Time in the queue, without that of encoding.
    pub(super) queued: Duration,
    pub(super) encode: Duration,
}

impl From<Change> for Prepared {
    fn from(change: Change) -> Self {
        let none = Duration::ZERO;
        Self { change, texts: Texts::new(), queued: none, encode: none }
    }
}

/// Encodes the texts of a change, if something is made of them.
pub(super) fn prepare(change: Change, place: &Place<'_>) -> Result<Prepared, StoreError> {
    let Change::Put { documents, mode } = &change else { return Ok(change.into()) };
    let encodes = |document: &Document| will_be_taken(place.snapshot, document, *mode);
    let all = documents.iter().enumerate().filter(|(_, document)| encodes(document));
    let all: Vec<(usize, &Document)> = all.collect();
    if all.is_empty() || !Writer::makes_of_texts(place.snapshot.index()) {
        return Ok(change.into());
    }
    let full = |Full { waiting, again }| StoreError::EncodeQueueFull { waiting, again };
    let bytes = all.iter().map(|(_, document)| document.title.len() + document.text.len()).sum();
    place.queue.has_room(bytes).map_err(full)?;
    let started = Instant::now();
    let opened = {
        let _one = place.queue.opening.lock().unwrap_or_else(PoisonError::into_inner);
        place.writer.text_encoders(place.snapshot.index())
    };
    let encoders = match opened {
        Ok(Some(encoders)) => Arc::new(encoders),
        Ok(None) => return Ok(change.into()),
        Err(error) => {
            // Met again when the change is made, where it is told.
            tracing::debug!(%error, "texts cannot be encoded ahead");
            return Ok(change.into());
        }
    };
    let makes_sparse = encoders.makes_sparse();
    let split: Vec<(usize, Result<Vec<Row>, String>)> = all
        .into_par_iter()
        .filter(|(_, document)| !(makes_sparse && document.vector.is_some()))
        .map(|(at, document)| (at, rows(at, document, &encoders)))
        .collect();
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for (at, split) in split {
        match split {
            Ok(more) => rows.extend(more),
            Err(error) => failed.push((at, error)),
        }
    }
    let done = place.queue.encode(encoders, rows).map_err(full)?;
    let (encode, spent) = (done.encode, started.elapsed());
    let texts = assembled(documents.len(), done, failed);
    Ok(Prepared { change, texts, queued: spent.saturating_sub(encode), encode })
}

/// Whether the mode takes a document, as it looks now.
fn will_be_taken(snapshot: &Snapshot, document: &Document, mode: Mode) -> bool {
    let there = || snapshot.searcher().find(&document.id).is_some();
    match mode {
        Mode::Upsert => true,
        Mode::Insert => !there(),
        Mode::Update => there(),
    }
}

fn rows(at: usize, document: &Document, encoders: &TextEncoders) -> Result<Vec<Row>, String> {
    let Document { title, text, .. } = document;
    let ranges = encoders.split(title, text).map_err(|error| error.to_string())?;
    let row = |bytes: std::ops::Range<usize>| Row {
        document: at,
        title: title.clone(),
        text: text.get(bytes.clone()).unwrap_or_default().to_owned(),
        bytes,
    };
    Ok(ranges.into_iter().map(row).collect())
}

/// What was made of the texts of so many documents, or why it could not be.
fn assembled(count: usize, done: Done, failed: Vec<(usize, String)>) -> Texts {
    let mut texts: Vec<Option<Result<EncodedText, String>>> = vec![None; count];
    for (at, row) in done.rows {
        let Some(text) = texts.get_mut(at) else { continue };
        match (row, text.get_or_insert_with(|| Ok(EncodedText::default()))) {
            (Ok(row), Ok(text)) => text.rows.push(row),
            (Err(error), text @ Ok(_)) => *text = Err(error),
            (_, Err(_)) => {}
        }
    }
    for (at, error) in failed {
        if let Some(text) = texts.get_mut(at) {
            *text = Some(Err(error));
        }
    }
    texts.into_iter().map(|text| text.map(|text| text.map(Arc::new))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::EncodedRow;

    #[test]
    fn a_document_fails_with_a_row() {
        let row = |start: usize| EncodedRow { bytes: start..start + 1, ..EncodedRow::default() };
        let done = Done {
            rows: vec![
                (0, Ok(row(0))),
                (0, Ok(row(1))),
                (1, Ok(row(0))),
                (1, Err("no vector".into())),
                (1, Ok(row(2))),
            ],
            encode: Duration::ZERO,
        };
        let texts = assembled(4, done, vec![(3, "too odd".into())]);
        let told: Vec<Option<Result<usize, &str>>> = texts
            .iter()
            .map(|text| {
                let text = text.as_ref()?;
                Some(text.as_ref().map(|text| text.rows.len()).map_err(String::as_str))
            })
            .collect();
        assert_eq!(told, [Some(Ok(2)), Some(Err("no vector")), None, Some(Err("too odd"))]);
    }
}
