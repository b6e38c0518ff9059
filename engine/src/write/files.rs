//! Opens input files; refuses folders, pipes and devices, since reading from them might never end.

use std::fs::File;
use std::path::Path;

use super::WriteError;
use crate::EngineError;
use crate::error::io;

/// Opens a file for reading.
pub(super) fn open(path: &Path) -> Result<File, EngineError> {
    if !std::fs::metadata(path).map_err(io(path))?.is_file() {
        return Err(WriteError::NotAFile { path: path.to_path_buf() }.into());
    }
    File::open(path).map_err(io(path))
}
