//! Encoded vectors of a segment, a shard of them at a time: a shard is a part of its own, whole or absent, so
//! encoding that was interrupted goes on after the last one.

use std::fs;
use std::path::{Path, PathBuf};

use quarry_index::dense::{DenseOptions, DenseRowError, DenseStorage, DenseStore, DenseWriter};
use quarry_index::text::StoredDocument;
use quarry_index::{IndexError, Segment, Verify};
use quarry_vectors::{DenseVector, DocId, EncodeDense, Passage};
use serde_json::Value;
use uuid::Uuid;

use crate::BuildError;
use crate::options::Event;

/// Rows that are encoded together.
const BATCH: usize = 64;
/// Rows of a shard.
const SHARD: usize = 1 << 12;

pub(super) struct Spool {
    folder: PathBuf,
    segment: Uuid,
    source: Value,
}

impl Spool {
    /// A spool in the folder of unfinished work.
    pub(super) fn new(build: &Path, segment: Uuid, source: &Value) -> Self {
        Self { folder: build.to_path_buf(), segment, source: source.clone() }
    }

    fn path(&self, shard: usize) -> PathBuf {
        self.folder.join(format!("{}-dense-{shard:06}.qry", self.segment.simple()))
    }

    /// Encodes what no shard of the same source has yet. Deleted rows have no vector.
    pub(super) fn fill(
        &self,
        segment: &Segment,
        encoder: &dyn EncodeDense,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<(), BuildError> {
        let rows = segment.documents().len();
        progress(Event::Stage { name: "dense encoding", total: rows as u64 });
        for (shard, start) in (0..rows).step_by(SHARD).enumerate() {
            let docs = start..rows.min(start + SHARD);
            let path = self.path(shard);
            if !self.has(&path, docs.len(), encoder.dims())? {
                let options = DenseOptions {
                    dims: encoder.dims(),
                    storage: DenseStorage::Fp32,
                    source: self.source.clone(),
                };
                let mut part = DenseWriter::create(&path, options)?;
                for start in docs.clone().step_by(BATCH) {
                    let batch: Vec<DocId> = (start..docs.end.min(start + BATCH)).map(row).collect();
                    let vectors = encoded(segment, &batch, encoder)?;
                    for (doc, vector) in batch.iter().zip(&vectors) {
                        let id = segment.documents().id(*doc);
                        part.push(vector.as_ref()).map_err(|error| wrong(id, error))?;
                    }
                    progress(Event::Step { done: (start + batch.len()) as u64 });
                }
                part.finish()?;
            }
            progress(Event::Step { done: docs.end as u64 });
        }
        Ok(())
    }

    /// Whether a whole shard is there; one that is not is removed.
    fn has(&self, path: &Path, rows: usize, dims: usize) -> Result<bool, BuildError> {
        if !path.exists() {
            return Ok(false);
        }
        if let Ok(store) = DenseStore::open(path, Verify::Full)
            && store.documents() == rows
            && store.meta().dims == dims
            && store.meta().source == self.source
        {
            return Ok(true);
        }
        fs::remove_file(path).map_err(IndexError::io(path))?;
        Ok(false)
    }

    /// Reads vectors back; shards are mapped.
    pub(super) fn reader(
        &self,
        segment: &Segment,
    ) -> Result<impl Fn(DocId) -> Option<DenseVector> + use<>, BuildError> {
        let shards = segment.documents().len().div_ceil(SHARD);
        let stores = (0..shards)
            .map(|shard| DenseStore::open(&self.path(shard), Verify::Envelope))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(move |doc: DocId| {
            let store = stores.get(doc.index() / SHARD)?;
            DenseVector::new(store.vector(row(doc.index() % SHARD))?).ok()
        })
    }
}

fn row(at: usize) -> DocId {
    DocId(u32::try_from(at).unwrap_or(u32::MAX))
}

/// The vectors of some rows' texts.
fn encoded(
    segment: &Segment,
    docs: &[DocId],
    encoder: &dyn EncodeDense,
) -> Result<Vec<Option<DenseVector>>, BuildError> {
    let live = |doc: &DocId| segment.deleted().is_none_or(|gone| !gone.contains(doc.0));
    let stored = |doc: &DocId| match segment.text().filter(|_| live(doc)) {
        Some(text) => Ok::<_, BuildError>(text.stored(*doc)?),
        None => Ok(StoredDocument::default()),
    };
    let texts = docs.iter().map(stored).collect::<Result<Vec<_>, _>>()?;
    let passages: Vec<Passage<'_>> =
        texts.iter().map(|text| Passage { title: &text.title, text: &text.text }).collect();
    let vectors = encoder.encode_passages(&passages)?;
    if vectors.len() != docs.len() {
        return Err(BuildError::EncoderCount { found: vectors.len(), expected: docs.len() });
    }
    Ok(vectors)
}

/// The error that names the document.
pub(super) fn wrong(id: &str, error: DenseRowError) -> BuildError {
    match error {
        DenseRowError::Index(error) => error.into(),
        other => BuildError::Dense { id: id.to_owned(), what: other.to_string() },
    }
}
