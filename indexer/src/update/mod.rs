//! Changes of a sealed index: documents are added, replaced and deleted, segments merged; lists, token
//! embeddings, dense vectors and measurements become further parts. Each change takes the index for writing (`writer.rs`) and
//! is one commit of a new generation; readers keep theirs.
//!
//! The files of a segment are never changed. A deletion is a bitmap of rows, stored as a new part of the
//! segment; added documents are a new segment; a merge writes the documents of several segments that are
//! not deleted into one, as if they had been built together.

mod add;
mod calibration;
mod delete;
mod dense;
mod lists;
mod merge;
mod neighbours;
mod numbers;
mod rewrite;
mod rules;
pub(crate) mod tokens;
mod writer;

use quarry_index::manifest::{PartEntry, SegmentEntry};
use quarry_index::{Segment, Storage, deleted, names};
use quarry_vectors::DocId;
use roaring::RoaringBitmap;

use crate::BuildError;

pub use add::{AddReport, add};
pub use calibration::store_calibration;
pub use delete::{DeleteReport, delete};
pub use dense::{AddDenseOptions, DENSE_MODEL_FROM, DenseInput, add_dense};
pub use lists::{AddOptions, add_lists};
pub use merge::{
    MOST_SEGMENTS, Merge, MergeBeside, MergeReport, PreparedMerge, install_merge, merge,
    prepare_merge,
};
pub use neighbours::{MakeGraph, MakeGraphs, NewGraph, add_neighbours};
pub use rewrite::{Rewrite, rewrite};
pub use rules::{AddDense, AddTokens, Adding, AsBuilt};
pub use tokens::{TokenInput, TokenOptions, add_tokens};
pub use writer::tidy;
pub(crate) use writer::{Checked, IndexWriter};

/// Deletions in addition to those that the segments have.
struct Deletions<'a> {
    segments: &'a [Segment],
    /// Per segment: all deleted rows, old and new.
    rows: Vec<RoaringBitmap>,
    /// Per segment: the number of newly deleted documents.
    documents: Vec<u64>,
}

impl<'a> Deletions<'a> {
    fn new(segments: &'a [Segment]) -> Self {
        let rows = segments.iter().map(|s| s.deleted().cloned().unwrap_or_default()).collect();
        Self { segments, rows, documents: vec![0; segments.len()] }
    }

    /// Deletes a document; returns whether there was one.
    fn delete(&mut self, id: &str) -> bool {
        let mut any = false;
        for (at, segment) in self.segments.iter().enumerate() {
            let mut here = false;
            for DocId(row) in segment.documents().find(id) {
                here |= self.rows[at].insert(row);
            }
            self.documents[at] += u64::from(here);
            any |= here;
        }
        any
    }

    /// Number of newly deleted documents.
    fn count(&self) -> u64 {
        self.documents.iter().sum()
    }

    /// Writes the changed bitmaps, and enters them into the manifest's segments.
    fn write(&self, storage: &Storage, entries: &mut [SegmentEntry]) -> Result<(), BuildError> {
        for ((entry, rows), documents) in entries.iter_mut().zip(&self.rows).zip(&self.documents) {
            if *documents == 0 {
                continue;
            }
            let file = names::next_part(entry.id, deleted::KIND);
            let written = deleted::write(&storage.path(&file), entry.rows, rows)?;
            entry.parts.retain(|part| part.kind != deleted::KIND);
            entry.parts.push(PartEntry::new(deleted::KIND, deleted::VERSION, &file, written, true));
            entry.documents -= documents;
        }
        Ok(())
    }
}
