//! Every sync to the disk, in one place, so that tests can know what a power cut would leave.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What was synced, since [`record`].
static RECORD: OnceLock<Mutex<Vec<Synced>>> = OnceLock::new();

/// A sync that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Synced {
    /// A file's bytes, up to this length.
    File(PathBuf, u64),
    /// The names in a folder, as they were.
    Folder(PathBuf, Vec<String>),
}

/// Syncs a file's bytes and length.
///
/// # Errors
/// If the system refuses.
pub fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    if let Some(record) = RECORD.get() {
        let synced = Synced::File(path.to_path_buf(), file.metadata()?.len());
        record.lock().unwrap_or_else(PoisonError::into_inner).push(synced);
    }
    Ok(())
}

/// Syncs the names in a folder.
///
/// # Errors
/// If the system refuses.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    if let Some(record) = RECORD.get() {
        let names = std::fs::read_dir(folder)?.map(|entry| Ok(name(&entry?.file_name())));
        let synced = Synced::Folder(folder.to_path_buf(), names.collect::<io::Result<_>>()?);
        record.lock().unwrap_or_else(PoisonError::into_inner).push(synced);
    }
    Ok(())
}

fn name(name: &std::ffi::OsStr) -> String {
    name.to_string_lossy().into_owned()
}

/// Keeps what is synced from now on, for tests: [`recorded`] gives it.
#[doc(hidden)]
pub fn record() {
    RECORD.get_or_init(Mutex::default);
}

/// What was synced since [`record`], in order.
#[doc(hidden)]
#[must_use]
pub fn recorded() -> Vec<Synced> {
    let record = RECORD.get();
    record.map(|all| all.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
}
