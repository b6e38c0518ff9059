//! The one door to an index's bytes: files of an index are mapped, written, listed and removed through it.
//!
//! An index lies in a folder of a local disk, so [`Storage`] is a struct. Object storage would come in here, as
//! a second way to do the same few things; they ask for no more than it offers. Files are written once, whole,
//! under names that were never used; only `CURRENT` is replaced; a part is read only after a manifest names it.
//! What stays local are the writer's lock and the readers' leases (`folder.rs`).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::durable;
use crate::error::IndexError;
use crate::files;
use crate::map::MappedFile;
use crate::names;

/// The folder of an index, or of unfinished work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    folder: PathBuf,
}

impl Storage {
    /// The files in a folder, which need not exist yet.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// The folder, for locks and messages.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a file lies or will lie: for the writers of parts, and for messages.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Maps a file.
    ///
    /// # Errors
    /// [`IndexError::NotAFile`] when it is a folder, a pipe or a device; when it cannot be opened.
    pub(crate) fn map(&self, name: &str) -> Result<MappedFile, IndexError> {
        MappedFile::open(&self.path(name))
    }

    /// Reads a whole file of at most 1 GiB.
    ///
    /// # Errors
    /// [`IndexError::NotAFile`] when it is something else; when it cannot be read or is larger.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, IndexError> {
        files::read(&self.path(name))
    }

    /// Opens a file to hold a lock on it.
    pub(crate) fn open(&self, name: &str) -> Result<File, IndexError> {
        files::open(&self.path(name))
    }

    /// Length of a file in bytes.
    pub(crate) fn length(&self, name: &str) -> Result<u64, IndexError> {
        let path = self.path(name);
        files::expect_file(&path)?;
        Ok(fs::metadata(&path).map_err(IndexError::io(&path))?.len())
    }

    /// Writes a whole file under a name that is free; not `durable`, it reaches the disk when the system writes it,
    /// or by [`Self::sync_file`].
    ///
    /// # Errors
    /// When the name is taken or the disk refuses; then nothing is left.
    pub(crate) fn put_new(
        &self,
        name: &str,
        bytes: &[u8],
        durable: bool,
    ) -> Result<(), IndexError> {
        NewFile::with(&self.path(name), bytes)?.persist(durable)
    }

    /// Makes a file's bytes durable.
    ///
    /// # Errors
    /// When it is not there, or the system refuses.
    pub(crate) fn sync_file(&self, name: &str) -> Result<(), IndexError> {
        let path = self.path(name);
        let synced = File::open(&path).and_then(|file| durable::sync_file(&file));
        synced.map_err(IndexError::io(&path))
    }

    /// Writes a whole file under its name, in place of the one that has it.
    ///
    /// # Errors
    /// When the disk refuses; the old file then stays.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), IndexError> {
        replace_file(&self.path(name), bytes)
    }

    /// Every name in the folder, sorted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>, IndexError> {
        let fail = || IndexError::io(&self.folder);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(fail())? {
            names.push(entry.map_err(fail())?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// The names of regular files, sorted; links and folders are not listed.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<String>, IndexError> {
        let is_file =
            |name: &String| fs::symlink_metadata(self.path(name)).is_ok_and(|m| m.is_file());
        Ok(self.names()?.into_iter().filter(is_file).collect())
    }

    /// Removes a file, if it exists. Readers that have it mapped keep its bytes.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove(&self, name: &str) -> Result<(), IndexError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(IndexError::Io { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Makes new names durable.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn sync(&self) -> Result<(), IndexError> {
        sync_folder(&self.folder)
    }
}

/// A file that gets its name when it is complete. Dropped before, it leaves nothing.
pub(crate) struct NewFile {
    path: PathBuf,
    file: tempfile::NamedTempFile,
}

impl NewFile {
    /// Begins a file in the folder of `path`, with the permissions that the umask leaves.
    pub(crate) fn create(path: &Path) -> Result<Self, IndexError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(names::TEMPORARY.0).suffix(names::TEMPORARY.1).rand_bytes(names::RANDOM);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder_of(path)).map_err(IndexError::io(path))?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    fn with(path: &Path, bytes: &[u8]) -> Result<Self, IndexError> {
        let mut new = Self::create(path)?;
        new.write_all(bytes).map_err(IndexError::io(path))?;
        Ok(new)
    }

    /// Gives the file its name, unless that is taken. Not `durable`, it reaches the disk when the system
    /// writes it.
    pub(crate) fn persist(self, durable: bool) -> Result<(), IndexError> {
        let Self { path, file } = self;
        if durable {
            durable::sync_file(file.as_file()).map_err(IndexError::io(&path))?;
        }
        match file.persist_noclobber(&path) {
            Ok(_) => Ok(()),
            Err(error) => Err(IndexError::Io { path, source: error.error }),
        }
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// An unnamed file on the disk of `path`, for what does not fit into memory. It goes when it is closed.
pub(crate) fn scratch(path: &Path) -> Result<File, IndexError> {
    tempfile::tempfile_in(folder_of(path)).map_err(IndexError::io(path))
}

/// Writes a whole file under its name, in place of the one that has it; for files outside an index.
///
/// # Errors
/// When the disk refuses; the old file then stays.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), IndexError> {
    let NewFile { path, file } = NewFile::with(path, bytes)?;
    durable::sync_file(file.as_file()).map_err(IndexError::io(&path))?;
    match file.persist(&path) {
        Ok(_) => Ok(()),
        Err(error) => Err(IndexError::Io { path, source: error.error }),
    }
}

/// Makes renames in a folder durable.
///
/// # Errors
/// When the system refuses.
pub fn sync_folder(folder: &Path) -> Result<(), IndexError> {
    durable::sync_folder(folder).map_err(IndexError::io(folder))
}

/// Creates a folder and its parents, and makes their names durable.
///
/// # Errors
/// When the system refuses.
pub fn create_folder(folder: &Path) -> Result<(), IndexError> {
    let lacking: Vec<&Path> =
        folder.ancestors().take_while(|a| !a.as_os_str().is_empty() && !a.exists()).collect();
    fs::create_dir_all(folder).map_err(IndexError::io(folder))?;
    lacking.into_iter().try_for_each(|made| sync_folder(folder_of(made)))
}

/// The folder that a path lies in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
