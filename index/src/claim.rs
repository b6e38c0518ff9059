//! Folders that this process keeps for writing between its changes, as a server does.
//!
//! 1. a claim holds the lock on `LOCK`, with the server's address as its content, so that others are refused and
//!    learn where to send their work  2. within this process, [`lock`](crate::folder::lock) then takes turns: one
//!    writer of a claimed folder at a time  3. the lock ends with the process; a stale address is removed by the
//!    next writer
//! 4. a claim can run ahead: commits are then known to this process alone, by a pointer in memory in place of
//!    `CURRENT`, and not synced, until [`seal`](crate::folder::seal)  5. what is open of the folder is kept, so that
//!    the next generation opens only what is new
//!
//! The claims of the process are in one table, since a lock on a file knows processes and not who in them asks.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::IndexError;
use crate::files;

/// Longest address that is written or read, in bytes.
const LONGEST: usize = 256;
/// How the content of a lock file begins that this program wrote. A file that says anything else is somebody else's.
const MARK: &str = "quarry serve ";

static CLAIMED: Mutex<BTreeMap<PathBuf, Arc<Kept>>> = Mutex::new(BTreeMap::new());

fn claimed() -> MutexGuard<'static, BTreeMap<PathBuf, Arc<Kept>>> {
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What this process knows of a folder that it claims.
struct Kept {
    path: PathBuf,
    file: File,
    /// Whether a writer is at work.
    busy: AtomicBool,
    /// Whether commits run ahead of `CURRENT`.
    ahead: AtomicBool,
    /// What `CURRENT` would say, if a commit has run ahead of it.
    pointer: Mutex<Option<Arc<[u8]>>>,
    /// What is open of the folder; its type is the opener's.
    open: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
}

impl Kept {
    /// Whether the folder is still the one that was claimed: another one may have been put in its place by hand. Looks
    /// at the lock file's inode, where the system has such.
    fn holds(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let (Ok(own), Ok(there)) = (self.file.metadata(), std::fs::metadata(&self.path)) else {
                return false;
            };
            (own.dev(), own.ino()) == (there.dev(), there.ino())
        }
        #[cfg(not(unix))]
        self.path.is_file()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("busy", &self.busy)
            .field("ahead", &self.ahead)
            .finish_non_exhaustive()
    }
}

/// A claim's place, to which [`Claim::rewind`] returns.
#[derive(Debug, Clone)]
pub struct Place(Option<Arc<[u8]>>);

/// A folder kept for writing. Dropping it lets others in.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    kept: Arc<Kept>,
}

impl Claim {
    /// Keeps `folder` for writers of this process; others are told `address`. `lock_file` is the folder's `LOCK`.
    pub(crate) fn take(folder: &Path, lock_file: &Path, address: &str) -> Result<Self, IndexError> {
        let key = key(folder)?;
        let mut all = claimed();
        if all.contains_key(&key) {
            return Err(IndexError::Locked { path: folder.to_path_buf() });
        }
        let mut file = lock_now(folder, lock_file)?;
        if file.metadata().map_err(IndexError::io(lock_file))?.len() > 0 {
            let found = "LOCK".to_owned();
            return Err(IndexError::NotAnIndexFolder { path: folder.to_path_buf(), found });
        }
        let plain = address.chars().filter(char::is_ascii_graphic).take(LONGEST);
        let content: String = MARK.chars().chain(plain).collect();
        if let Err(source) = file.write_all(content.as_bytes()) {
            // The first error matters more.
            let _ = file.set_len(0);
            // On a full disk the lock holds without an address: what is there can be read, and deleted.
            if !matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
                return Err(IndexError::Io { path: lock_file.to_path_buf(), source });
            }
        }
        let kept = Arc::new(Kept {
            path: lock_file.to_path_buf(),
            file,
            busy: AtomicBool::new(false),
            ahead: AtomicBool::new(false),
            pointer: Mutex::new(None),
            open: Mutex::new(None),
        });
        all.insert(key.clone(), Arc::clone(&kept));
        Ok(Self { folder: key, kept })
    }

    /// From now on commits of this process to the folder are neither synced nor named by `CURRENT`: this process
    /// alone sees them, and after a crash they are gone. [`seal`](crate::folder::seal) makes them last.
    pub fn run_ahead(&self) {
        self.kept.ahead.store(true, Ordering::SeqCst);
    }

    /// The generation that this process sees now.
    #[must_use]
    pub fn place(&self) -> Place {
        Place(lock(&self.kept.pointer).clone())
    }

    /// Returns to a generation that was seen before, and not collected since: a reader holds it. For a commit that ran
    /// ahead and is not to be.
    pub fn rewind(&self, place: Place) {
        *lock(&self.kept.pointer) = place.0;
    }

    /// Whether the folder is still the one that was claimed: another one may have been put in its place by hand. Looks
    /// at the lock file's inode, where the system has such.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.kept.holds()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut all = claimed();
        // The folder may have been renamed, and another one of its name claimed.
        if all.get(&self.folder).is_some_and(|kept| Arc::ptr_eq(kept, &self.kept)) {
            all.remove(&self.folder);
        }
        // A stale address would only make a message wrong.
        let _ = self.kept.file.set_len(0);
        // A turn may keep the file open a moment longer.
        let _ = self.kept.file.unlock();
    }
}

/// A folder locked for writing. Dropping it lets others in.
#[derive(Debug)]
pub enum FolderLock {
    /// By the lock on its file.
    File(File),
    /// By a turn within this process, which claims the folder.
    Turn(Turn),
}

/// A writer's turn in a claimed folder.
#[derive(Debug)]
pub struct Turn(Arc<Kept>);

impl Turn {
    /// Whether commits run ahead of `CURRENT`.
    pub(crate) fn is_ahead(&self) -> bool {
        self.0.ahead.load(Ordering::SeqCst)
    }

    /// Sets what this process takes for the content of `CURRENT`; `None`: what the file says.
    pub(crate) fn point(&self, pointer: Option<&[u8]>) {
        *lock(&self.0.pointer) = pointer.map(Arc::from);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

fn kept(folder: &Path) -> Option<Arc<Kept>> {
    // Most processes claim nothing.
    if claimed().is_empty() {
        return None;
    }
    let key = key(folder).ok()?;
    claimed().get(&key).filter(|kept| kept.holds()).cloned()
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What stands for the content of `CURRENT` in this process, if it is not the file's.
pub(crate) fn pointer(folder: &Path) -> Option<Arc<[u8]>> {
    lock(&kept(folder)?.pointer).clone()
}

/// What was given to [`keep_open`] last.
pub(crate) fn open<T: Send + Sync + 'static>(folder: &Path) -> Option<Arc<T>> {
    let open = lock(&kept(folder)?.open).clone()?;
    open.downcast().ok()
}

/// Keeps what is open of a claimed folder, as long as the claim.
pub(crate) fn keep_open<T: Send + Sync + 'static>(folder: &Path, open: impl FnOnce() -> T) {
    if let Some(kept) = kept(folder) {
        *lock(&kept.open) = Some(Arc::new(open()));
    }
}

/// Locks `folder` by its file `LOCK`, or by a turn if this process claims the folder.
pub(crate) fn take(folder: &Path, lock_file: &Path) -> Result<FolderLock, IndexError> {
    match kept(folder) {
        None => Ok(FolderLock::File(lock_now(folder, lock_file)?)),
        Some(kept) if kept.busy.swap(true, Ordering::Acquire) => {
            Err(IndexError::Locked { path: folder.to_path_buf() })
        }
        Some(kept) => Ok(FolderLock::Turn(Turn(kept))),
    }
}

/// The exclusive lock on a file; a stale address in it is removed.
fn lock_now(folder: &Path, path: &Path) -> Result<File, IndexError> {
    if path.exists() {
        files::expect_file(path)?;
    }
    let options = File::options().create(true).truncate(false).read(true).write(true).open(path);
    let mut file = options.map_err(IndexError::io(path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let path = folder.to_path_buf();
            return Err(match address(&mut file) {
                Some(address) => IndexError::Served { path, address },
                None => IndexError::Locked { path },
            });
        }
        Err(TryLockError::Error(source)) => {
            return Err(IndexError::Io { path: path.to_path_buf(), source });
        }
    }
    if address(&mut file).is_some() {
        file.set_len(0).map_err(IndexError::io(path))?;
        file.seek(SeekFrom::Start(0)).map_err(IndexError::io(path))?;
    }
    Ok(file)
}

/// Whether the lock file at `path` is this program's: a file that is empty or has a server's address.
pub(crate) fn is_ours(path: &Path) -> bool {
    let Ok(found) = std::fs::symlink_metadata(path) else { return false };
    let marked = || File::open(path).is_ok_and(|mut file| address(&mut file).is_some());
    found.is_file() && (found.len() == 0 || marked())
}

/// The address in a lock file; `None` if it holds none, or cannot be read. Empty where a power cut left zeros in
/// place of what was written.
fn address(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.take((MARK.len() + LONGEST) as u64).read_to_string(&mut text).ok()?;
    if !text.is_empty() && text.bytes().all(|byte| byte == 0) {
        return Some(String::new());
    }
    let address = text.strip_prefix(MARK)?;
    address.bytes().all(|byte| byte.is_ascii_graphic()).then(|| address.to_owned())
}

fn key(folder: &Path) -> Result<PathBuf, IndexError> {
    folder.canonicalize().map_err(IndexError::io(folder))
}
