//! tantivy's view of its packed files.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    DirectoryLock, FileHandle, Lock, OwnedBytes, WatchCallback, WatchHandle, WritePtr,
};
use tantivy::{Directory, HasLen};

use crate::map::MappedFile;

/// Most bytes of a decompressed block: it has a few small documents, or one large one.
const MOST_BLOCK: u32 = 256 << 20;

/// tantivy's view of the packed files: read-only.
#[derive(Clone)]
pub(super) struct Packed {
    pub(super) file: MappedFile,
    pub(super) files: Arc<BTreeMap<PathBuf, Range<usize>>>,
    /// Whether all that is still to be read of the stored documents are their blocks.
    pub(super) blocks: Arc<AtomicBool>,
}

/// The file of the stored documents. A block says first how long it will be when it is decompressed;
/// tantivy takes that much memory before it looks at the rest.
struct StoreFile {
    bytes: OwnedBytes,
    blocks: Arc<AtomicBool>,
}

impl fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreFile").finish_non_exhaustive()
    }
}

impl HasLen for StoreFile {
    fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl FileHandle for StoreFile {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        if range.start > range.end || range.end > self.bytes.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a block lies outside its file",
            ));
        }
        let bytes = self.bytes.slice(range);
        if self.blocks.load(Ordering::Acquire) {
            let length = bytes.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
            if length > MOST_BLOCK {
                let what = format!("a block of stored documents says it has {length} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packed").field("file", &self.file.path()).finish_non_exhaustive()
    }
}

impl Packed {
    fn bytes(&self, path: &Path) -> Result<OwnedBytes, OpenReadError> {
        let range = self
            .files
            .get(path)
            .ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_path_buf()))?;
        Ok(OwnedBytes::new(self.file.clone()).slice(range.clone()))
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "a sealed text part is read-only")
}

impl Directory for Packed {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        let bytes = self.bytes(path)?;
        Ok(match path.extension().is_some_and(|kind| kind == "store") {
            true => Arc::new(StoreFile { bytes, blocks: Arc::clone(&self.blocks) }),
            false => Arc::new(bytes),
        })
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_path_buf() })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.files.contains_key(path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::wrap_io_error(read_only(), path.to_path_buf()))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        Ok(self.bytes(path)?.as_slice().to_vec())
    }

    fn atomic_write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _: &Lock) -> Result<DirectoryLock, LockError> {
        // Sealed files need no lock; tantivy asks for one when it opens readers.
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
