//! Writes the documents of a sealed segment back into shards, so that they can be sealed again.

use std::collections::HashMap;
use std::path::Path;

use quarry_index::doctable::{self, DocTable, PassageSpan};
use quarry_index::forward::ErrorBefore;
use quarry_index::manifest::{PartEntry, SegmentEntry};
use quarry_index::text::StoredDocument;
use quarry_index::tokens::{self, OldRow};
use quarry_index::{IndexError, Segment, Storage, Verify, dense, names, versions};
use quarry_vectors::{DocId, SparseVector};

use crate::BuildError;
use crate::options::Event;
use crate::spool::{self, ShardMeta, SpoolDoc, shard_path};

/// A shard ends at this many documents, or at the size of the next constant in bytes.
const SHARD_DOCUMENTS: usize = 1 << 16;
const SHARD_BYTES: usize = 16 << 20;

/// Writes the documents that are not deleted into shards, numbered from `first`; returns the number
/// after the last shard.
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
            write(segment, (build, shard, first), &documents)?;
            progress(Event::Step { done: u64::from(doc.0) + 1 });
            (shard, bytes) = (shard + 1, 0);
            documents.clear();
        }
    }
    if !documents.is_empty() {
        write(segment, (build, shard, first), &documents)?;
        shard += 1;
    }
    Ok(shard)
}

/// Segments whose rows are written again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carried<'a> {
    pub(crate) old: &'a [&'a Segment],
    /// Versions by id of documents that get another one.
    pub(crate) versions: Option<&'a HashMap<String, u64>>,
}

impl<'a> Carried<'a> {
    /// As they are.
    pub(crate) fn of(old: &'a [&'a Segment]) -> Self {
        Self { old, versions: None }
    }
}

/// What cannot be made again of shards, in the new segment's order: versions, token embeddings and dense vectors of the same
/// documents. Nothing of a kind that no old segment has. Who calls has made sure that all have embeddings and dense vectors
/// of a kind, stored alike.
pub(crate) fn carried_over(
    Carried { old, versions }: Carried<'_>,
    storage: &Storage,
    new: &SegmentEntry,
) -> Result<Vec<PartEntry>, BuildError> {
    let stores: Vec<_> = old.iter().filter_map(|segment| segment.tokens()).collect();
    let dense: Vec<_> = old.iter().filter_map(|segment| segment.dense()).collect();
    let numbered = versions.is_some() || old.iter().any(|segment| segment.has_versions());
    let mut parts = Vec::new();
    if stores.is_empty() && dense.is_empty() && !numbered {
        return Ok(parts);
    }
    for (count, what) in [(stores.len(), "token embeddings"), (dense.len(), "dense vectors")] {
        if count > 0 && count < old.len() {
            let what = format!("segments without {what}");
            return Err(IndexError::corrupt(storage.folder(), what).into());
        }
    }
    let order = old_rows(old, storage, new)?;
    if numbered {
        let version = |row: &OldRow| {
            let segment = old[row.segment];
            let given = versions.and_then(|all| all.get(segment.documents().id(row.doc)).copied());
            given.unwrap_or_else(|| segment.version(row.doc))
        };
        let of_rows: Vec<u64> = order.iter().map(version).collect();
        parts.push(versions_part(storage, new, &of_rows)?);
    }
    if !stores.is_empty() {
        let name = names::part(new.id, tokens::KIND);
        let written = tokens::reorder(&stores, &storage.path(&name), &order)?;
        parts.push(PartEntry::new(tokens::KIND, tokens::VERSION, &name, written, false));
    }
    if !dense.is_empty() {
        let name = names::part(new.id, dense::KIND);
        let written = dense::reorder(&dense, &storage.path(&name), &order)?;
        parts.push(PartEntry::new(dense::KIND, dense::VERSION, &name, written, false));
    }
    Ok(parts)
}

/// Writes the versions of a segment's rows.
pub(crate) fn versions_part(
    storage: &Storage,
    segment: &SegmentEntry,
    of_rows: &[u64],
) -> Result<PartEntry, BuildError> {
    let name = names::part(segment.id, versions::KIND);
    let written = versions::write(&storage.path(&name), of_rows)?;
    Ok(PartEntry::new(versions::KIND, versions::VERSION, &name, written, false))
}

/// Of each row of a new segment the old one.
fn old_rows(
    old: &[&Segment],
    storage: &Storage,
    new: &SegmentEntry,
) -> Result<Vec<OldRow>, BuildError> {
    let Some(documents) = new.parts.iter().find(|p| p.kind == doctable::KIND) else {
        return Err(
            IndexError::corrupt(storage.folder(), "a segment without a document table").into()
        );
    };
    let path = storage.path(&documents.file);
    let documents = DocTable::open(&path, Verify::Envelope)?;
    // The order of the shards, which is that of the new segment unless it has clusters.
    let mut next = old.iter().enumerate().flat_map(|(at, segment)| {
        let rows = u32::try_from(segment.documents().len()).unwrap_or(u32::MAX);
        let live = move |doc: &DocId| segment.deleted().is_none_or(|gone| !gone.contains(doc.0));
        (0..rows).map(DocId).filter(live).map(move |doc| OldRow { segment: at, doc })
    });
    let mut place = |row: DocId| {
        let (id, passage) = (documents.id(row), span(&documents, row));
        let fits = |old_row: &OldRow| {
            let table = old[old_row.segment].documents();
            table.id(old_row.doc) == id && span(table, old_row.doc) == passage
        };
        if let Some(old_row) = next.next().filter(fits) {
            return Some(old_row);
        }
        old.iter().enumerate().find_map(|(at, segment)| {
            let live = |doc: &DocId| segment.deleted().is_none_or(|gone| !gone.contains(doc.0));
            let table = segment.documents();
            let doc = table.find(id).filter(live).find(|doc| span(table, *doc) == passage)?;
            Some(OldRow { segment: at, doc })
        })
    };
    let mut placed = |row: DocId| {
        place(row).ok_or_else(|| IndexError::corrupt(&path, format!("row {} is new", row.0)))
    };
    let rows = u32::try_from(documents.len()).unwrap_or(u32::MAX);
    Ok((0..rows).map(|row| placed(DocId(row))).collect::<Result<Vec<_>, _>>()?)
}

pub(crate) fn document(segment: &Segment, doc: DocId) -> Result<SpoolDoc, BuildError> {
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
    let passage = span(segment.documents(), doc);
    let vector = segment.forward().map(|f| f.vector(doc)).transpose()?.unwrap_or_default();
    let origins = segment.provenance().map_or_else(Vec::new, |p| p.record(doc).to_vec());
    Ok(SpoolDoc { id, line: 0, passage, stored, vector, origins })
}

/// Position of a row in its document; a whole document among split ones has the bytes 0..0.
fn span(documents: &DocTable, doc: DocId) -> Option<PassageSpan> {
    documents.passage(doc).filter(|p| !p.bytes.is_empty())
}

pub(crate) fn write(
    segment: &Segment,
    (build, number, first): (&Path, usize, usize),
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
        traced: segment.provenance().map(|p| p.meta().pooled_by),
        ..ShardMeta::default()
    };
    vectors().for_each(|v| meta.weights.add(v.weights()));
    if let Some(forward) = segment.forward() {
        meta.weights.before = ErrorBefore::of(forward.meta());
        if number > first {
            meta.weights.before.squares = 0.0;
        }
    }
    spool::write(&shard_path(build, number), documents, &meta, false)
}
