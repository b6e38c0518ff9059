//! Every sync to the disk, in one place, so that tests can know what a power cut would leave.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

/// What was synced, since [`record`].
static RECORD: OnceLock<Mutex<Vec<Synced>>> = OnceLock::new();

/// A sync that succeeded, of a file or folder by its inode, which renames do not change.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Synced {
    /// A file's bytes, up to this length.
    File(u64, u64),
    /// The names in a folder, as they were.
    Folder(u64, Vec<String>),
}

/// Syncs a file's bytes and length.
///
/// # Errors
/// If the system refuses.
pub fn sync_file(file: &File) -> io::Result<()> {
    file.sync_all()?;
    if let Some(record) = RECORD.get() {
        let synced = Synced::File(inode(file)?, file.metadata()?.len());
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
    {
        let opened = File::open(folder)?;
        opened.sync_all()?;
        if let Some(record) = RECORD.get() {
            let name = |entry: io::Result<std::fs::DirEntry>| {
                Ok(entry?.file_name().to_string_lossy().into_owned())
            };
            let names = std::fs::read_dir(folder)?.map(name).collect::<io::Result<_>>()?;
            let synced = Synced::Folder(inode(&opened)?, names);
            record.lock().unwrap_or_else(PoisonError::into_inner).push(synced);
        }
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

fn inode(file: &File) -> io::Result<u64> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok(file.metadata()?.ino())
    }
    #[cfg(not(unix))]
    Ok(file.metadata()?.len())
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
