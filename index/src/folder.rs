//! The index folder: one commit point, one writer, readers that keep their generation.
//!
//! 1. a writer holds `LOCK` (an advisory lock: it ends with the process)
//! 2. parts are written under names that were never used, then `manifest-N.json`, created only if
//!    absent, then `CURRENT` is replaced by a rename: that is the commit
//! 3. a reader holds a shared lock on its manifest; files that neither the current generation nor
//!    a held one names are collected after a commit and before a build

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::IndexError;
use crate::container::{check_version, hex, readable_by_all};
use crate::files;
use crate::manifest::{FORMAT, MANIFEST_MAGIC, Manifest, OLDEST_FORMAT, PartEntry};

/// Names the current manifest.
pub const CURRENT: &str = "CURRENT";
/// Locked by the one writer.
pub const LOCK: &str = "LOCK";
/// Where an unfinished build keeps its work.
pub const BUILD: &str = "build";

/// Content of [`CURRENT`].
#[derive(Debug, Serialize, Deserialize)]
struct Current {
    magic: String,
    manifest: String,
    bytes: u64,
    checksum: String,
}

/// A generation that is being read: while this lives, its files are not collected.
#[derive(Debug)]
pub struct Lease {
    _manifest: File,
}

/// Reads the current generation and takes a lease on it.
///
/// # Errors
/// When there is no index, or `CURRENT` or the manifest is foreign, damaged or too new.
pub fn read_current(folder: &Path) -> Result<(Manifest, Lease), IndexError> {
    // A writer may replace CURRENT and collect the old manifest between our two reads; then the
    // new CURRENT is there to be read. Someone who commits faster than this is a fault.
    let mut last = None;
    for _ in 0..100 {
        match try_read_current(folder) {
            Err(IndexError::Io { path, source })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                last = Some(IndexError::Io { path, source });
            }
            other => return other,
        }
    }
    Err(last
        .unwrap_or_else(|| IndexError::NoIndex { path: folder.to_path_buf(), interrupted: false }))
}

fn try_read_current(folder: &Path) -> Result<(Manifest, Lease), IndexError> {
    let current = parse_current(folder)?;
    let path = folder.join(&current.manifest);
    let file = files::open(&path)?;
    // Waits only for a collector that is removing this very generation; then the name is gone.
    if let Err(source) = file.lock_shared() {
        // File systems without locks: read on; only collection could disturb us, and mapped files
        // outlive their names.
        tracing::debug!(path = %path.display(), %source, "no lease on the manifest");
    }
    let bytes = files::read(&path)?;
    let found = xxh3_64(&bytes);
    if bytes.len() as u64 != current.bytes {
        return Err(IndexError::Length {
            path,
            found: bytes.len() as u64,
            expected: current.bytes,
        });
    }
    if hex(found) != current.checksum {
        return Err(IndexError::Checksum { path, found: hex(found), expected: current.checksum });
    }
    let manifest = parse_manifest(&path, &bytes)?;
    // What is not collected is known by the number in the name.
    if generation_of(&current.manifest) != Some(manifest.generation) {
        let what = format!("it says that it is of generation {}", manifest.generation);
        return Err(IndexError::corrupt(&path, what));
    }
    Ok((manifest, Lease { _manifest: file }))
}

fn parse_current(folder: &Path) -> Result<Current, IndexError> {
    let path = folder.join(CURRENT);
    let bytes = match files::read(&path) {
        Ok(bytes) => bytes,
        Err(IndexError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            let interrupted = folder.join(BUILD).is_dir();
            return Err(IndexError::NoIndex { path: folder.to_path_buf(), interrupted });
        }
        Err(error) => return Err(error),
    };
    let foreign = || IndexError::Foreign {
        path: path.clone(),
        expected: "the JSON that names a manifest".into(),
    };
    let current: Current = serde_json::from_slice(&bytes).map_err(|_| foreign())?;
    if current.magic != MANIFEST_MAGIC || current.manifest.contains(['/', '\\']) {
        return Err(foreign());
    }
    Ok(current)
}

fn parse_manifest(path: &Path, bytes: &[u8]) -> Result<Manifest, IndexError> {
    #[derive(Deserialize)]
    struct Head {
        magic: String,
        format: u32,
    }
    let head: Head = serde_json::from_slice(bytes)
        .ok()
        .filter(|h: &Head| h.magic == MANIFEST_MAGIC)
        .ok_or_else(|| IndexError::Foreign {
            path: path.to_path_buf(),
            expected: "a manifest of Quarry's".into(),
        })?;
    check_version(path, "index format", head.format, OLDEST_FORMAT..FORMAT + 1)?;
    let manifest: Manifest = serde_json::from_slice(bytes)
        .map_err(|e| IndexError::corrupt(path, format!("manifest: {e}")))?;
    if let Some(part) =
        manifest.parts().find(|p| p.file.contains(['/', '\\']) || p.file.starts_with('.'))
    {
        return Err(IndexError::corrupt(
            path,
            format!("part file `{}` is not a plain name", part.file),
        ));
    }
    Ok(manifest)
}

/// The one writer of a folder.
#[derive(Debug)]
pub struct FolderWriter {
    folder: PathBuf,
    _lock: File,
    current: Option<Manifest>,
}

impl FolderWriter {
    /// Takes the folder for writing, creating it if it is not there.
    ///
    /// # Errors
    /// When another process writes, when the folder holds something other than an index, when
    /// its current generation cannot be read, or when the disk refuses.
    pub fn open(folder: &Path) -> Result<Self, IndexError> {
        if folder.exists() && !looks_like_ours(folder)? {
            return Err(IndexError::NotAnIndexFolder { path: folder.to_path_buf() });
        }
        fs::create_dir_all(folder).map_err(IndexError::io(folder))?;
        let path = folder.join(LOCK);
        if path.exists() {
            files::expect_file(&path)?;
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(IndexError::io(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(IndexError::Locked { path: folder.to_path_buf() });
            }
            Err(TryLockError::Error(source)) => return Err(IndexError::Io { path, source }),
        }
        let current = match read_current(folder) {
            Ok((manifest, _)) => Some(manifest),
            Err(IndexError::NoIndex { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { folder: folder.to_path_buf(), _lock: lock, current })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The current generation, if there is one.
    #[must_use]
    pub fn current(&self) -> Option<&Manifest> {
        self.current.as_ref()
    }

    /// A file name that was never used.
    #[must_use]
    pub fn part_name(segment: Uuid, kind: &str) -> String {
        format!("{}-{kind}.qry", segment.simple())
    }

    /// Writes a file that is no binary part (tokenizer, query table) and gives its entry.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_asset(
        &self,
        kind: &str,
        name: &str,
        bytes: &[u8],
        required: bool,
    ) -> Result<PartEntry, IndexError> {
        let path = self.folder.join(name);
        persist_new(&path, bytes)?;
        Ok(PartEntry {
            kind: kind.to_owned(),
            version: 1,
            file: name.to_owned(),
            bytes: bytes.len() as u64,
            checksum: hex(xxh3_64(bytes)),
            required,
        })
    }

    /// Makes `manifest` the current generation. Its generation number is set here: one more than
    /// any manifest of the folder. The parts it names must have been written.
    ///
    /// # Errors
    /// When the disk refuses; then the old generation stays current.
    pub fn commit(&mut self, mut manifest: Manifest) -> Result<&Manifest, IndexError> {
        let highest = self.highest_generation()?;
        manifest.generation = highest.checked_add(1).ok_or_else(|| IndexError::Limit {
            what: "generations of an index".to_owned(),
            found: highest,
            limit: u64::MAX - 1,
        })?;
        let name = manifest_name(manifest.generation);
        let path = self.folder.join(&name);
        let mut bytes = serde_json::to_vec_pretty(&manifest)
            .map_err(|e| IndexError::corrupt(&path, format!("manifest: {e}")))?;
        bytes.push(b'\n');
        persist_new(&path, &bytes)?;
        sync_folder(&self.folder)?;
        let current = Current {
            magic: MANIFEST_MAGIC.to_owned(),
            manifest: name,
            bytes: bytes.len() as u64,
            checksum: hex(xxh3_64(&bytes)),
        };
        let target = self.folder.join(CURRENT);
        let mut bytes = serde_json::to_vec_pretty(&current)
            .map_err(|e| IndexError::corrupt(&target, e.to_string()))?;
        bytes.push(b'\n');
        temporary(&target, &bytes)?
            .persist(&target)
            .map_err(|e| IndexError::Io { path: target.clone(), source: e.error })?;
        sync_folder(&self.folder)?;
        Ok(self.current.insert(manifest))
    }

    /// Removes every file of ours that neither the current generation nor one held by a reader
    /// names. An unfinished build (`build/`) is left alone.
    ///
    /// # Errors
    /// When the folder cannot be read or a file cannot be removed.
    pub fn collect(&self) -> Result<(), IndexError> {
        let mut keep: BTreeSet<String> = [CURRENT, LOCK, BUILD].map(str::to_owned).into();
        let keep_all = |keep: &mut BTreeSet<String>, manifest: &Manifest| {
            keep.insert(manifest_name(manifest.generation));
            keep.extend(manifest.parts().map(|p| p.file.clone()));
        };
        if let Some(current) = &self.current {
            keep_all(&mut keep, current);
        }
        let names = names_in(&self.folder)?;
        let mut held_unreadable = false;
        // Locked until their files are gone: a reader that comes meanwhile waits, finds the name
        // gone and reads CURRENT again.
        let mut doomed = Vec::new();
        for name in names.iter().filter(|n| generation_of(n).is_some()) {
            if keep.contains(name) {
                continue;
            }
            let path = self.folder.join(name);
            let Ok(file) = files::open(&path) else {
                continue;
            };
            if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
                doomed.push(file);
                continue;
            }
            match files::read(&path).and_then(|b| parse_manifest(&path, &b)) {
                Ok(manifest) => keep_all(&mut keep, &manifest),
                Err(_) => held_unreadable = true,
            }
        }
        if held_unreadable {
            return Ok(());
        }
        for name in names.iter().filter(|n| !keep.contains(*n) && is_ours(n)) {
            let path = self.folder.join(name);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(IndexError::Io { path, source: e });
                }
                _ => tracing::debug!(file = name, "collected"),
            }
        }
        sync_folder(&self.folder)
    }

    fn highest_generation(&self) -> Result<u64, IndexError> {
        Ok(names_in(&self.folder)?.iter().filter_map(|n| generation_of(n)).max().unwrap_or(0))
    }
}

fn manifest_name(generation: u64) -> String {
    format!("manifest-{generation}.json")
}

fn generation_of(name: &str) -> Option<u64> {
    name.strip_prefix("manifest-")?.strip_suffix(".json")?.parse().ok()
}

/// Whether a file name is one that writers of indexes make.
fn is_ours(name: &str) -> bool {
    name == CURRENT
        || name == LOCK
        || name == BUILD
        || generation_of(name).is_some()
        || (name.starts_with(".new-") && name.ends_with(".tmp"))
        || name.ends_with(".qry")
        || name.split_once('-').is_some_and(|(id, _)| id.len() == 32 && Uuid::parse_str(id).is_ok())
}

fn looks_like_ours(folder: &Path) -> Result<bool, IndexError> {
    Ok(names_in(folder)?.iter().all(|n| is_ours(n)) || folder.join(CURRENT).exists())
}

fn names_in(folder: &Path) -> Result<Vec<String>, IndexError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(IndexError::io(folder))? {
        names.push(
            entry.map_err(IndexError::io(folder))?.file_name().to_string_lossy().into_owned(),
        );
    }
    names.sort();
    Ok(names)
}

fn temporary(target: &Path, bytes: &[u8]) -> Result<tempfile::NamedTempFile, IndexError> {
    let folder = target.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .suffix(".tmp")
        .tempfile_in(folder)
        .map_err(IndexError::io(target))?;
    file.write_all(bytes).map_err(IndexError::io(target))?;
    file.as_file().sync_all().map_err(IndexError::io(target))?;
    readable_by_all(file.as_file());
    Ok(file)
}

fn persist_new(path: &Path, bytes: &[u8]) -> Result<(), IndexError> {
    temporary(path, bytes)?
        .persist_noclobber(path)
        .map(|_| ())
        .map_err(|e| IndexError::Io { path: path.to_path_buf(), source: e.error })
}

/// Makes renames in a folder durable.
///
/// # Errors
/// When the system refuses.
pub fn sync_folder(folder: &Path) -> Result<(), IndexError> {
    #[cfg(unix)]
    File::open(folder).and_then(|f| f.sync_all()).map_err(IndexError::io(folder))?;
    Ok(())
}
