//! Bytes that wait in an unnamed file until their section of a part is due: sections are written one after
//! another.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::container::PartWriter;
use crate::error::IndexError;
use crate::storage::scratch;

/// Bytes of a buffer, for writing and for copying.
const BUFFER: usize = 1 << 18;

#[derive(Debug)]
pub(crate) struct Spill {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Spill {
    /// An empty one on the disk of `path`, the part that it is for.
    pub(crate) fn beside(path: &Path) -> Result<Self, IndexError> {
        let file = BufWriter::with_capacity(BUFFER, scratch(path)?);
        Ok(Self { file, path: path.to_path_buf() })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        self.file.write_all(bytes).map_err(IndexError::io(&self.path))
    }

    /// Appends all of it to the section begun last.
    pub(crate) fn copy_into(self, part: &mut PartWriter) -> Result<(), IndexError> {
        let path = self.path;
        let mut file = self
            .file
            .into_inner()
            .map_err(|e| IndexError::Io { path: path.clone(), source: e.into_error() })?;
        file.rewind().map_err(IndexError::io(&path))?;
        let mut buffer = vec![0u8; BUFFER];
        loop {
            match file.read(&mut buffer).map_err(IndexError::io(&path))? {
                0 => return Ok(()),
                n => part.write(&buffer[..n])?,
            }
        }
    }
}
