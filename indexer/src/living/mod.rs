//! Changes of a sealed index: documents are added, replaced and deleted, segments merged. Each change
//! is one commit of a new generation; readers keep theirs.
//!
//! Segments are never written to. A deletion is a bitmap of rows, a new part of the old segment; an
//! added batch is a new segment; a merge writes the documents of several segments that are not
//! deleted into one, as if they had been built at once.

mod add;
mod delete;
mod merge;
mod numbers;
mod rules;

use std::path::{Path, PathBuf};

use quarry_index::folder::{BUILD, FolderWriter};
use quarry_index::manifest::{PartEntry, SegmentEntry};
use quarry_index::{Index, Segment, Verify};
use quarry_index::{deleted, doctable, lexicon};
use quarry_vectors::DocId;
use roaring::RoaringBitmap;
use uuid::Uuid;

use crate::BuildError;
use crate::build::count_done;
use crate::job::{Job, Work};
use crate::workspace::{self, Found};

pub use add::{AddReport, add};
pub use delete::{DeleteReport, delete};
pub use merge::{MOST_SEGMENTS, Merge, MergeReport, merge};
pub use rules::{AddTokens, Adding, AsBuilt};

/// Which bytes are compared with their checksums before they are copied into something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    /// Those of every part: what a damaged one says would get a valid checksum elsewhere.
    All,
    /// Those of the parts that a deletion or an addition reads and writes anew; it leaves the others as
    /// they are.
    Rewritten,
}

impl Checked {
    fn of(self, kind: &str) -> Verify {
        match self {
            Self::Rewritten if ![doctable::KIND, deleted::KIND, lexicon::KIND].contains(&kind) => {
                Verify::Envelope
            }
            _ => Verify::Full,
        }
    }
}

/// An index taken for writing.
pub(crate) struct Opened {
    pub(crate) writer: FolderWriter,
    pub(crate) index: Index,
    pub(crate) build: PathBuf,
}

impl Opened {
    /// Takes the index in `folder`; another writer there, or an unfinished build, is an error. What other
    /// unfinished work left is removed, unless `keep` wants it.
    pub(crate) fn take(
        folder: &Path,
        checked: Checked,
        keep: impl FnOnce(&Job) -> bool,
    ) -> Result<Self, BuildError> {
        let writer = FolderWriter::open(folder)?;
        let build = folder.join(BUILD);
        match workspace::look(&build)? {
            Found::Ours(job) if job.work() == Work::Build => {
                let documents = count_done(&build)?;
                return Err(BuildError::Interrupted { path: folder.to_path_buf(), documents });
            }
            Found::Ours(job) if keep(&job) => {}
            Found::Ours(_) | Found::Nothing => workspace::clear(&build)?,
            Found::Foreign(name) => return Err(workspace::foreign(&build, name)),
        }
        writer.collect()?;
        let index = Index::open_checking(folder, &|kind| checked.of(kind))?;
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
