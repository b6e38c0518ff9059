//! Changes of a sealed index: documents are added, replaced and deleted, segments merged. Each change
//! is one commit of a new generation; readers keep theirs.
//!
//! Segments are never written to. A deletion is a bitmap of rows, a new part of the old segment; an
//! added batch is a new segment; a merge writes the documents of several segments that are not
//! deleted into one, as if they had been built at once.

mod add;
mod delete;
mod merge;

use std::path::{Path, PathBuf};

use quarry_index::deleted;
use quarry_index::folder::{BUILD, FolderWriter};
use quarry_index::manifest::{PartEntry, SegmentEntry};
use quarry_index::{Index, Segment, Verify};
use quarry_vectors::DocId;
use roaring::RoaringBitmap;
use uuid::Uuid;

use crate::BuildError;
use crate::build::{count_done, remove_build};
use crate::job::Job;

pub use add::{AddReport, add};
pub use delete::{DeleteReport, delete};
pub use merge::{MOST_SEGMENTS, Merge, MergeReport, merge};

/// An index taken for writing.
struct Opened {
    writer: FolderWriter,
    index: Index,
    build: PathBuf,
}

impl Opened {
    /// Takes the index in `folder`; another writer there, or an unfinished build, is an error.
    /// Checks the files' envelopes, not every byte.
    fn take(folder: &Path) -> Result<Self, BuildError> {
        let writer = FolderWriter::open(folder)?;
        let build = folder.join(BUILD);
        if Job::read(&build)?.is_some() {
            let documents = count_done(&build)?;
            return Err(BuildError::Interrupted { path: folder.to_path_buf(), documents });
        }
        remove_build(&build)?;
        writer.collect()?;
        let index = Index::open(folder, Verify::Envelope)?;
        Ok(Self { writer, index, build })
    }
}

/// Deletions on top of those that segments have.
struct Deletions<'a> {
    segments: &'a [Segment],
    /// Of each segment all deleted rows, old and new.
    rows: Vec<RoaringBitmap>,
    /// Of each segment the documents newly deleted.
    documents: Vec<u64>,
}

impl<'a> Deletions<'a> {
    fn new(segments: &'a [Segment]) -> Self {
        let rows = segments.iter().map(|s| s.deleted().cloned().unwrap_or_default()).collect();
        Self { segments, rows, documents: vec![0; segments.len()] }
    }

    /// Deletes a document; says whether there was one.
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

    /// Documents newly deleted.
    fn count(&self) -> u64 {
        self.documents.iter().sum()
    }

    /// Writes what changed, and enters it into the manifest's segments.
    fn write(&self, folder: &Path, entries: &mut [SegmentEntry]) -> Result<(), BuildError> {
        for ((entry, rows), documents) in entries.iter_mut().zip(&self.rows).zip(&self.documents) {
            if *documents == 0 {
                continue;
            }
            let (id, version) = (entry.id.simple(), Uuid::new_v4().simple());
            let file = format!("{id}-{}-{version}.qry", deleted::KIND);
            let written = deleted::write(&folder.join(&file), entry.rows, rows)?;
            entry.parts.retain(|part| part.kind != deleted::KIND);
            entry.parts.push(PartEntry::new(deleted::KIND, deleted::VERSION, &file, written, true));
            entry.documents -= documents;
        }
        Ok(())
    }
}
