//! Memory-mapped files as shared, read-only bytes.
#![expect(unsafe_code, reason = "mapping a file and promising that its address is stable")]

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use stable_deref_trait::StableDeref;

use crate::error::IndexError;
#[cfg(not(miri))]
use crate::files;
use crate::pages::Pages;

/// A file's bytes, mapped read-only or copied into memory. Clones share them.
#[derive(Debug, Clone)]
pub struct MappedFile {
    path: Arc<PathBuf>,
    bytes: Arc<Bytes>,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Copied(Pages),
}

impl MappedFile {
    /// Maps the file.
    ///
    /// # Errors
    /// When it is not a file, or cannot be opened or mapped.
    #[cfg(not(miri))]
    pub(crate) fn open(path: &Path) -> Result<Self, IndexError> {
        let file = files::open(path)?;
        // SAFETY: files of an index are created once, never rewritten and never truncated (they
        // are only unlinked, which leaves mappings intact), so the bytes stay put while mapped.
        // If another program truncates a mapped file, reading it raises SIGBUS; that cannot be checked from
        // here.
        let map = unsafe { Mmap::map(&file) }.map_err(IndexError::io(path))?;
        Ok(Self { path: Arc::new(path.to_path_buf()), bytes: Arc::new(Bytes::Mapped(map)) })
    }

    /// Miri maps no files: a copy stands in.
    #[cfg(miri)]
    pub(crate) fn open(path: &Path) -> Result<Self, IndexError> {
        let bytes = std::fs::read(path).map_err(IndexError::io(path))?;
        let mut copy = Pages::zeroed(bytes.len()).map_err(IndexError::io(path))?;
        copy.copy_from_slice(&bytes);
        Ok(Self { path: Arc::new(path.to_path_buf()), bytes: Arc::new(Bytes::Copied(copy)) })
    }

    /// A copy of the bytes in memory, on huge pages where the system gives them: no page of it is
    /// ever dropped, and reads in no order miss fewer address translations. The file is not needed
    /// any more.
    ///
    /// # Errors
    /// When memory is short.
    pub(crate) fn preloaded(&self) -> Result<Self, IndexError> {
        let mut copy = Pages::zeroed(self.len()).map_err(IndexError::io(&self.path))?;
        copy.copy_from_slice(self);
        Ok(Self { path: Arc::clone(&self.path), bytes: Arc::new(Bytes::Copied(copy)) })
    }

    /// Path of the file.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Tells the system that pages are read in random order (`MADV_RANDOM`), so that it does not read ahead.
    pub(crate) fn advise_random(&self) {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = &*self.bytes
            && let Err(error) = map.advise(memmap2::Advice::Random)
        {
            tracing::debug!(path = %self.path.display(), %error, "madvise refused");
        }
    }
}

impl MappedFile {
    /// Drops the mapping's resident pages (`MADV_DONTNEED`), so that a reader that makes one pass does not keep
    /// the file in memory. Bytes read later come from the file again. Does nothing to a copy.
    pub fn release(&self) {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = &*self.bytes {
            // SAFETY: the mapping is shared and read-only (`open` makes no other), so no page of it
            // differs from the file's and none is lost; the bytes seen stay the same.
            let done = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
            if let Err(error) = done {
                tracing::debug!(path = %self.path.display(), %error, "madvise refused");
            }
        }
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &*self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Copied(pages) => pages,
        }
    }
}

// SAFETY: the bytes belong to a mapping behind the `Arc`; moving or cloning the `Arc` moves
// neither the mapping nor the bytes, and nothing hands out `&mut`.
unsafe impl StableDeref for MappedFile {}
