//! A collection on disk, with progress while it is read.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quarry_datasets::{
    CollectionFormat, CollectionOptions, CollectionReader, DatasetError, Duplicates, Notice,
    RunFormat,
};
use quarry_indexer::SealOptions;
use quarry_vectors::Document;
use serde_json::{Map, Value, json};

use super::{Encoding, TextsAs};
use crate::EngineError;
use crate::error::io;

/// A collection on disk, and how to read it.
#[derive(Debug, Clone)]
pub struct Input {
    /// A file or a folder.
    pub path: PathBuf,
    /// Its format; detected if not given.
    pub format: Option<CollectionFormat>,
    /// A number that weights are divided by.
    pub scale: Option<f32>,
    /// Ids, texts and fields for vectors: a collection of the same documents in the same order.
    pub texts: Option<PathBuf>,
    /// Field of JSON lines that holds the vector; by default `vector`.
    pub vector_field: Option<String>,
    /// What to do with documents that share an id but differ.
    pub duplicates: Duplicates,
    /// File with the names of term numbers, one token per line.
    pub vocabulary: Option<PathBuf>,
    /// File with the ids of vectors that have none, one per line; by default their row numbers.
    pub ids: Option<PathBuf>,
    /// Whether to repair UTF-8 that was encoded twice, in MS MARCO's tables.
    pub repair_encoding: bool,
}

impl Input {
    /// A collection with default options: its format is detected, repeated ids are refused.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: None,
            scale: None,
            texts: None,
            vector_field: None,
            duplicates: Duplicates::Refuse,
            vocabulary: None,
            ids: None,
            repair_encoding: true,
        }
    }

    /// The options of the reader.
    pub(super) fn options(&self, seal: &SealOptions) -> CollectionOptions {
        CollectionOptions {
            format: self.format,
            repair_encoding: self.repair_encoding,
            scale: self.scale,
            texts: self.texts.clone(),
            vector_field: self.vector_field.clone(),
            kept_fields: seal.fields.keys().cloned().collect(),
            duplicates: Some(self.duplicates),
            ids: self.ids.clone(),
            memory: seal.memory / 4,
        }
    }

    /// For the manifest: how the input was given. Names and order must stay the same in all versions.
    pub(super) fn description(&self, found: CollectionFormat, memory: u64) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("input".into(), json!(self.path.display().to_string()));
        out.insert("format".into(), json!(format!("{found:?}")));
        out.insert("memory".into(), json!(memory));
        out.insert("scale".into(), json!(self.scale));
        out.insert("repair_double_encoding".into(), json!(self.repair_encoding));
        out
    }

    /// Identifies the input for resuming: its path, its size, and how it is read. A build can only be resumed
    /// if this is the same to the byte.
    pub(super) fn source(
        &self,
        encoding: &Encoding,
        texts_as: TextsAs,
        bytes: u64,
    ) -> Result<Value, EngineError> {
        let input = self.path.canonicalize().map_err(io(&self.path))?;
        let shown = |path: &Option<PathBuf>| path.as_deref().map(|p| p.display().to_string());
        Ok(json!({
            "input": input.display().to_string(),
            "bytes": bytes,
            "format": self.format.map(format_name),
            "scale": self.scale,
            "raw_encoding": !self.repair_encoding,
            "channel": texts_as.name(),
            "run_on": encoding.run_on(),
            "passages": encoding.passages.map(|passages| [passages.tokens, passages.overlap]),
            "texts": shown(&self.texts),
            "doc_ids": shown(&self.ids),
            "vector_field": self.vector_field,
            "duplicates": format!("{:?}", self.duplicates),
            "vocab": shown(&self.vocabulary),
        }))
    }
}

/// The name of a format in the record of a build; must never change.
fn format_name(format: CollectionFormat) -> &'static str {
    match format {
        CollectionFormat::Beir => "Beir",
        CollectionFormat::MsMarco => "Msmarco",
        CollectionFormat::JsonLines => "Jsonl",
        CollectionFormat::SeismicBin => "Bin",
        CollectionFormat::BigAnnCsr => "Csr",
        CollectionFormat::Ciff => "Ciff",
    }
}

/// How much of an input has been read; can be shared between threads.
#[derive(Debug, Default)]
pub struct Reading {
    bytes_total: u64,
    documents_total: Option<u64>,
    bytes: AtomicU64,
    documents: AtomicU64,
    repairs: AtomicU64,
    repeated: AtomicU64,
    encodes: AtomicBool,
    rest: Mutex<Rest>,
}

/// What is only known at the end.
#[derive(Debug, Default)]
struct Rest {
    notices: Vec<Notice>,
    spaced: u64,
    first_spaced: Option<String>,
    /// The file being read.
    path: PathBuf,
}

/// Observations about an input after reading it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputReport {
    /// Notices of the reader.
    pub notices: Vec<Notice>,
    /// Documents whose doubly encoded UTF-8 was repaired.
    pub repairs: u64,
    /// Documents left out because their ids repeat.
    pub repeated: u64,
    /// Ids that contain white space, which a TREC run file cannot represent.
    pub spaced: u64,
    /// The first of them.
    pub first_spaced: Option<String>,
}

impl Reading {
    pub(super) fn of(reader: &CollectionReader) -> Self {
        Self {
            bytes_total: reader.bytes_total(),
            documents_total: reader.documents_total(),
            ..Self::default()
        }
    }

    /// Size of the input in bytes.
    #[must_use]
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Whether a model encodes the documents.
    #[must_use]
    pub fn encodes(&self) -> bool {
        self.encodes.load(Ordering::Relaxed)
    }

    pub(super) fn set_encodes(&self, encodes: bool) {
        self.encodes.store(encodes, Ordering::Relaxed);
    }

    /// Number of documents in the input: as stated by its format, or extrapolated from the bytes read so far.
    /// `None` as long as nothing is known.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    pub fn documents_total(&self) -> Option<u64> {
        let (bytes, documents) =
            (self.bytes.load(Ordering::Relaxed), self.documents.load(Ordering::Relaxed));
        if self.documents_total.is_some() || bytes == 0 || self.bytes_total == 0 {
            return self.documents_total;
        }
        Some((documents as f64 * self.bytes_total as f64 / bytes as f64).round() as u64)
    }

    /// The file being read.
    pub(super) fn path(&self) -> PathBuf {
        self.rest().path.clone()
    }

    pub(super) fn report(&self) -> InputReport {
        let rest = self.rest();
        InputReport {
            notices: rest.notices.clone(),
            repairs: self.repairs.load(Ordering::Relaxed),
            repeated: self.repeated.load(Ordering::Relaxed),
            spaced: rest.spaced,
            first_spaced: rest.first_spaced.clone(),
        }
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The documents of a collection, counted as they are read.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) reader: CollectionReader,
    pub(super) reading: Arc<Reading>,
}

impl Iterator for Watched {
    type Item = Result<Document, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.reader.next();
        let reading = &self.reading;
        reading.bytes.store(self.reader.bytes_read(), Ordering::Relaxed);
        reading.repairs.store(self.reader.repairs(), Ordering::Relaxed);
        reading.repeated.fetch_max(self.reader.repeated(), Ordering::Relaxed);
        let mut rest = reading.rest();
        if rest.path != self.reader.path() {
            self.reader.path().clone_into(&mut rest.path);
        }
        match &next {
            None => rest.notices.extend(self.reader.take_notices()),
            Some(Err(_)) => {}
            Some(Ok(document)) => {
                reading.documents.fetch_add(1, Ordering::Relaxed);
                if RunFormat::Trec.check("document", &document.id).is_err() {
                    rest.spaced += 1;
                    let place = || format!("{:?}", document.id);
                    rest.first_spaced.get_or_insert_with(place);
                }
            }
        }
        drop(rest);
        next
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use crate::write::PassageSize;

    /// The record of an interrupted build from an earlier version must match to the byte.
    #[test]
    fn the_record_of_a_build_is_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("corpus.jsonl");
        std::fs::write(&path, "{}\n").unwrap();
        let input = Input {
            format: Some(CollectionFormat::JsonLines),
            scale: Some(100.0),
            ids: Some("ids.txt".into()),
            ..Input::new(&path)
        };
        let encoding = Encoding {
            passages: Some(PassageSize { tokens: 64, overlap: 32 }),
            ..Encoding::default()
        };
        let source = input.source(&encoding, TextsAs::Sparse, 3).unwrap().to_string();
        let place = serde_json::to_string(&path.canonicalize().unwrap()).unwrap();
        assert_eq!(
            source,
            format!(
                "{{\"input\":{place},\"bytes\":3,\"format\":\"Jsonl\",\"scale\":100.0,\"raw_encoding\":false,\
                 \"channel\":\"sparse\",\"run_on\":[\"Cpu\",null],\"passages\":[64,32],\"texts\":null,\
                 \"doc_ids\":\"ids.txt\",\"vector_field\":null,\"duplicates\":\"Refuse\",\"vocab\":null}}"
            )
        );
        let described = Value::Object(input.description(CollectionFormat::JsonLines, 7));
        let given = serde_json::to_string(&path).unwrap();
        assert_eq!(
            described.to_string(),
            format!(
                "{{\"input\":{given},\"format\":\"JsonLines\",\"memory\":7,\"scale\":100.0,\
                 \"repair_double_encoding\":true}}"
            )
        );
    }
}
