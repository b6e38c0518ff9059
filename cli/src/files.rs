//! Files that options name: a folder, a pipe or a device in place of one is refused, which might never end.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};

/// Opens a file to read it.
pub(crate) fn open(path: &Path) -> anyhow::Result<File> {
    let shown = || path.display().to_string();
    if !std::fs::metadata(path).with_context(shown)?.is_file() {
        bail!("{}: it is a folder, a pipe or a device; a file was expected", path.display());
    }
    File::open(path).with_context(shown)
}

/// The text of a file.
pub(crate) fn text(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text).with_context(|| path.display().to_string())?;
    Ok(text)
}
