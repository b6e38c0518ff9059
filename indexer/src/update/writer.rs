//! An index locked for writing, and its next generation.

use std::path::{Path, PathBuf};

use quarry_index::folder::{BUILD, FolderWriter};
use quarry_index::manifest::Manifest;
use quarry_index::{Index, Storage, Verify, deleted, doctable, lexicon};

use crate::BuildError;
use crate::build::count_done;
use crate::job::{Job, Work};
use crate::workspace::{self, Found};

/// Which parts are compared with their checksums before they are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    /// All parts: otherwise a copy of damaged data would get a valid checksum.
    All,
    /// Only the parts that a deletion or an addition rewrites; it leaves the others as they are.
    Rewritten,
    /// None: no part is copied.
    None,
}

impl Checked {
    fn of(self, kind: &str) -> Verify {
        let rewritten = [doctable::KIND, deleted::KIND, lexicon::KIND].contains(&kind);
        match self {
            Self::All => Verify::Full,
            Self::Rewritten if rewritten => Verify::Full,
            Self::Rewritten | Self::None => Verify::Envelope,
        }
    }
}

/// An index locked for writing: no other process writes to it while this value exists.
pub(crate) struct IndexWriter {
    folder: FolderWriter,
    index: Index,
    build: PathBuf,
    /// Whether the unfinished work in the folder is this writer's.
    works: bool,
}

impl IndexWriter {
    /// Locks the index in `folder`; fails if another process writes to it or it holds an unfinished build.
    /// Leftovers of other work are removed unless `keep` accepts them.
    pub(crate) fn take(
        folder: &Path,
        checked: Checked,
        keep: impl FnOnce(&Job) -> bool,
    ) -> Result<Self, BuildError> {
        let writer = FolderWriter::open(folder)?;
        let build = writer.storage().path(BUILD);
        match workspace::look(&build)? {
            Found::Ours(job) if job.work() == Work::Build => {
                let documents = count_done(&build)?;
                return Err(BuildError::Interrupted { path: folder.to_path_buf(), documents });
            }
            Found::Ours(job) if keep(&job) => {}
            // What runs ahead leaves its record there, which would have to be synced each time.
            Found::Ours(job) if writer.is_ahead() && job == Job::change() => {
                workspace::empty(&build)?
            }
            Found::Ours(_) | Found::Nothing => workspace::clear(&build)?,
            Found::Foreign(name) => return Err(workspace::foreign(&build, name)),
        }
        writer.collect()?;
        Self::open(writer, checked, true)
    }

    /// Locks the index in `folder` for a change that only adds files; unfinished work there stays and can
    /// be resumed.
    pub(crate) fn take_beside_work(folder: &Path) -> Result<Self, BuildError> {
        Self::open(FolderWriter::open(folder)?, Checked::None, false)
    }

    fn open(folder: FolderWriter, checked: Checked, works: bool) -> Result<Self, BuildError> {
        let index = Index::open_checking(folder.path(), &|kind| checked.of(kind))?;
        let build = folder.storage().path(BUILD);
        Ok(Self { folder, index, build, works })
    }

    /// The current generation.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// The files of the index.
    pub(crate) fn storage(&self) -> &Storage {
        self.folder.storage()
    }

    /// The folder for unfinished work, after [`Self::begin`].
    pub(crate) fn build(&self) -> &Path {
        &self.build
    }

    /// Begins work that writes files to [`Self::build`].
    pub(crate) fn begin(&self, job: &Job) -> Result<(), BuildError> {
        if self.folder.is_ahead() && Job::read(&self.build)?.as_ref() == Some(job) {
            return Ok(());
        }
        workspace::begin(&self.build, job)
    }

    /// Commits `manifest` and removes files that no generation in use names; returns its number.
    pub(crate) fn commit(self, manifest: Manifest) -> Result<u64, BuildError> {
        let Self { mut folder, index, build, works } = self;
        // Drop the reader first: the files of an open generation are not removed.
        drop(index);
        let generation = folder.commit(manifest)?.generation;
        finish(&folder, &build, works)?;
        Ok(generation)
    }

    /// Leaves the index unchanged and removes the files of this work.
    pub(crate) fn leave(self) -> Result<(), BuildError> {
        finish(&self.folder, &self.build, self.works)
    }
}

/// Removes what earlier writers left in an index's folder: their work, and files that no generation in use names.
///
/// # Errors
/// When there is no index, another process writes to it, an unfinished build lies there, or the disk refuses.
pub fn tidy(folder: &Path) -> Result<(), BuildError> {
    IndexWriter::take(folder, Checked::None, |_| false)?.leave()
}

fn finish(folder: &FolderWriter, build: &Path, works: bool) -> Result<(), BuildError> {
    if works && folder.is_ahead() {
        workspace::empty(build)?;
    } else if works {
        workspace::clear(build)?;
    }
    folder.collect()?;
    Ok(())
}
