//! Encoded documents of a segment, in shards. A shard is a file that is complete or absent, so an
//! interrupted encoding can be resumed after the last one.

use std::fs;
use std::path::{Path, PathBuf};

use quarry_index::text::StoredDocument;
use quarry_index::tokens::{Form, RowError, TokenStore, TokensOptions, TokensWriter};
use quarry_index::{IndexError, Segment, Verify};
use quarry_vectors::{DocId, EncodeTokens, Passage, TokenEmbeddings};
use serde_json::Value;
use uuid::Uuid;

use crate::BuildError;
use crate::options::Event;

/// Documents per encoder call.
pub(super) const BATCH: usize = 64;

/// Documents per shard.
const SHARD: usize = 1 << 12;

pub(super) struct Spool {
    folder: PathBuf,
    segment: Uuid,
    source: Value,
}

impl Spool {
    /// A spool in the folder for unfinished work.
    pub(super) fn new(build: &Path, segment: Uuid, source: &Value) -> Self {
        Self { folder: build.to_path_buf(), segment, source: source.clone() }
    }

    fn path(&self, shard: usize) -> PathBuf {
        self.folder.join(format!("{}-tokens-{shard:06}.qry", self.segment.simple()))
    }

    /// Encodes the documents that no shard of the same source holds yet.
    pub(super) fn fill(
        &self,
        segment: &Segment,
        encoder: &dyn EncodeTokens,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<(), BuildError> {
        let documents = segment.documents().len();
        progress(Event::Stage { name: "token encoding", total: documents as u64 });
        for (shard, start) in (0..documents).step_by(SHARD).enumerate() {
            let docs = start..documents.min(start + SHARD);
            let path = self.path(shard);
            if !encoded_before(&path, docs.len(), encoder.dims(), &self.source)? {
                let row = |at: usize| DocId(u32::try_from(start + at).unwrap_or(u32::MAX));
                let stored = |at| match segment.text() {
                    Some(text) => Ok(text.stored(row(at))?),
                    None => Ok(StoredDocument::default()),
                };
                let id = |at| segment.documents().id(row(at)).to_owned();
                let done = |at| progress(Event::Step { done: (start + at) as u64 });
                encode_shard(&path, docs.len(), (&stored, &id), (encoder, &self.source), &done)?;
            }
            progress(Event::Step { done: docs.end as u64 });
        }
        Ok(())
    }

    /// Reads the documents back; shards are memory-mapped.
    pub(super) fn reader(
        &self,
        segment: &Segment,
    ) -> Result<impl FnMut(DocId) -> Result<TokenEmbeddings, BuildError> + use<>, BuildError> {
        let shards = segment.documents().len().div_ceil(SHARD);
        let stores = (0..shards)
            .map(|shard| TokenStore::open(&self.path(shard), Verify::Envelope))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(move |doc: DocId| {
            let (shard, row) = (doc.index() / SHARD, doc.index() % SHARD);
            let row = DocId(u32::try_from(row).unwrap_or(u32::MAX));
            Ok(stores.get(shard).map(|store| store.document(row)).transpose()?.unwrap_or_default())
        })
    }
}

/// Whether a complete shard is there; an incomplete one is removed.
pub(crate) fn encoded_before(
    path: &Path,
    documents: usize,
    dims: usize,
    source: &Value,
) -> Result<bool, BuildError> {
    if !path.exists() {
        return Ok(false);
    }
    if let Ok(store) = TokenStore::open(path, Verify::Full)
        && store.documents() == documents
        && store.meta().dims == dims
        && store.meta().source == *source
    {
        return Ok(true);
    }
    fs::remove_file(path).map_err(IndexError::io(path))?;
    Ok(false)
}

/// The stored document of a row.
type StoredOf<'a> = dyn Fn(usize) -> Result<StoredDocument, BuildError> + 'a;

/// Encodes `documents` into a shard; texts and ids are looked up by their position.
pub(crate) fn encode_shard(
    path: &Path,
    documents: usize,
    (stored, id): (&StoredOf<'_>, &dyn Fn(usize) -> String),
    (encoder, source): (&dyn EncodeTokens, &Value),
    done: &dyn Fn(usize),
) -> Result<(), BuildError> {
    let options = TokensOptions {
        dims: encoder.dims(),
        forms: vec![Form::Fp16],
        pool: 1,
        centroids: Default::default(),
        source: source.clone(),
    };
    let mut part = TokensWriter::create(path, options)?;
    for start in (0..documents).step_by(BATCH) {
        let batch = start..documents.min(start + BATCH);
        let texts = batch.clone().map(stored).collect::<Result<Vec<_>, _>>()?;
        let passages: Vec<Passage<'_>> =
            texts.iter().map(|s| Passage { title: &s.title, text: &s.text }).collect();
        let rows = encoder.encode_passages(&passages)?;
        if rows.len() != batch.len() {
            return Err(BuildError::EncoderCount { found: rows.len(), expected: batch.len() });
        }
        for (at, rows) in batch.clone().zip(&rows) {
            part.push(rows).map_err(|e| wrong_rows(id(at), e))?;
        }
        done(batch.end);
    }
    part.finish()?;
    Ok(())
}

/// The error for invalid rows, with the document's id.
pub(super) fn wrong_rows(id: String, error: RowError) -> BuildError {
    match error {
        RowError::Index(error) => error.into(),
        other => BuildError::Tokens { id, what: other.to_string() },
    }
}
