//! A sealed segment's documents written back into shards, to be sealed again.

use std::path::Path;

use quarry_index::Segment;
use quarry_index::text::StoredDocument;
use quarry_vectors::{DocId, SparseVector};

use crate::BuildError;
use crate::options::Event;
use crate::spool::{self, ShardMeta, SpoolDoc, shard_path};

/// A shard ends when it has so many documents or their vectors and texts so many bytes.
pub(crate) const SHARD_DOCUMENTS: usize = 1 << 16;
const SHARD_BYTES: usize = 16 << 20;

/// Writes the documents that are not deleted into shards from number `first` on; returns the number
/// after the last.
pub(crate) fn unseal(
    segment: &Segment,
    (build, first): (&Path, usize),
    progress: &(dyn Fn(Event) + Sync),
) -> Result<usize, BuildError> {
    let rows = u32::try_from(segment.documents().len()).unwrap_or(u32::MAX);
    progress(Event::Stage { name: "documents", total: u64::from(rows) });
    let (mut shard, mut bytes) = (first, 0);
    let mut documents = Vec::new();
    for doc in (0..rows).map(DocId) {
        if segment.deleted().is_some_and(|deleted| deleted.contains(doc.0)) {
            continue;
        }
        let document = document(segment, doc)?;
        bytes += 100 + document.id.len() + document.stored.len() + 8 * document.vector.len();
        documents.push(document);
        if documents.len() >= SHARD_DOCUMENTS || bytes >= SHARD_BYTES {
            write(segment, (build, shard), &documents)?;
            progress(Event::Step { done: u64::from(doc.0) + 1 });
            (shard, bytes) = (shard + 1, 0);
            documents.clear();
        }
    }
    if !documents.is_empty() {
        write(segment, (build, shard), &documents)?;
        shard += 1;
    }
    Ok(shard)
}

fn document(segment: &Segment, doc: DocId) -> Result<SpoolDoc, BuildError> {
    let id = segment.documents().id(doc).to_owned();
    let stored = match segment.text() {
        Some(text) => match text.stored(doc)? {
            empty if empty == StoredDocument::default() => String::new(),
            stored => serde_json::to_string(&stored).map_err(|e| BuildError::Document {
                id: id.clone(),
                line: 0,
                what: format!("cannot be stored: {e}"),
            })?,
        },
        None => String::new(),
    };
    // A whole document among split ones has the bytes 0..0.
    let passage = segment.documents().passage(doc).filter(|p| !p.bytes.is_empty());
    let vector = segment.forward().map_or_else(SparseVector::default, |f| f.vector(doc));
    Ok(SpoolDoc { id, line: 0, passage, stored, vector })
}

fn write(
    segment: &Segment,
    (build, number): (&Path, usize),
    documents: &[SpoolDoc],
) -> Result<(), BuildError> {
    let vectors = || documents.iter().map(|d| &d.vector);
    let last = |v: &SparseVector| v.terms().last().map_or(0, |t| t.saturating_add(1));
    let mut meta = ShardMeta {
        documents: documents.iter().filter(|d| d.is_first()).count() as u64,
        rows: documents.len() as u64,
        components: vectors().map(|v| v.len() as u64).sum(),
        empty_vectors: vectors().filter(|v| v.is_empty()).count() as u64,
        has_text: segment.text().is_some(),
        has_vectors: segment.forward().is_some(),
        dimension: vectors().map(last).max().unwrap_or(0),
        ..ShardMeta::default()
    };
    vectors().for_each(|v| meta.weights.add(v.weights()));
    spool::write(&shard_path(build, number), documents, &meta, false)
}
