//! The index folder: one commit point, one writer, readers that keep their generation.
//!
//! 1. a writer holds `LOCK` (an advisory lock: it ends with the process; `claim.rs` has who keeps it); without `CURRENT` it takes a
//!    folder only if nothing lies there but what carries the mark of our own unfinished build
//! 2. parts are written under names that were never used, then `manifest-N.json`, created only if
//!    absent, all are synced, then `CURRENT` is replaced by a rename: that is the commit. A process that claims the
//!    folder may run ahead of `CURRENT` (`claim.rs`), until it seals
//! 3. a reader holds a shared lock on its manifest; files that neither the current generation nor
//!    a held one names are collected after a commit and before a build; a file is ours by its exact
//!    name (`names.rs`, `kinds.rs`)

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::claim::{self, Claim, FolderLock};
use crate::container::{check_version, hex};
use crate::error::IndexError;
use crate::kinds;
use crate::manifest::{FORMAT, MANIFEST_MAGIC, Manifest, OLDEST_FORMAT, PartEntry};
use crate::names;
use crate::storage::{Storage, create_folder};

/// The file that names the current manifest.
pub const CURRENT: &str = "CURRENT";
/// The file that the writer locks.
pub const LOCK: &str = "LOCK";
/// Folder of an unfinished build's work.
pub const BUILD: &str = "build";
/// The record of that work; a build folder without it is not ours.
pub const JOB: &str = "job.json";

/// Content of [`CURRENT`].
#[derive(Debug, Serialize, Deserialize)]
struct Current {
    magic: String,
    manifest: String,
    bytes: u64,
    checksum: String,
}

/// What a folder of unfinished work holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It does not exist, or it is empty.
    Nothing,
    /// The record of work of ours.
    Ours,
    /// Something else.
    Foreign,
}

/// A generation that is being read: as long as this exists, its files are not collected.
#[derive(Debug)]
pub struct Lease {
    _manifest: File,
}

/// Reads the current generation and takes a lease on it.
///
/// # Errors
/// When there is no index, or `CURRENT` or the manifest is foreign, damaged or too new.
pub fn read_current(folder: &Path) -> Result<(Manifest, Lease), IndexError> {
    let storage = Storage::of(folder);
    // A writer may replace CURRENT and collect the old manifest between our two reads. Retry: the new CURRENT
    // is readable. 100 misses in a row mean that something is broken.
    let mut last = None;
    for _ in 0..100 {
        match try_read_current(&storage) {
            Err(IndexError::Io { path, source })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                last = Some(IndexError::Io { path, source });
            }
            other => return other,
        }
    }
    // Not a race with a writer: CURRENT names a file that does not exist.
    if let Some(IndexError::Io { path, .. }) = &last {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let what = format!("it names {name:?}, which does not exist");
        return Err(IndexError::corrupt(&storage.path(CURRENT), what));
    }
    Err(last
        .unwrap_or_else(|| IndexError::NoIndex { path: folder.to_path_buf(), interrupted: false }))
}

fn try_read_current(storage: &Storage) -> Result<(Manifest, Lease), IndexError> {
    read_named(storage, &parse_current(storage)?)
}

fn read_named(storage: &Storage, current: &Current) -> Result<(Manifest, Lease), IndexError> {
    let path = storage.path(&current.manifest);
    let file = storage.open(&current.manifest)?;
    // Waits only for a collector that is removing this very generation; then the name is gone.
    if let Err(source) = file.lock_shared() {
        // File systems without locks: read on; only collection could disturb us, and mapped files
        // outlive their names.
        tracing::debug!(path = %path.display(), %source, "no lease on the manifest");
    }
    let bytes = storage.read(&current.manifest)?;
    let found = xxh3_64(&bytes);
    if bytes.len() as u64 != current.bytes {
        return Err(IndexError::Length {
            path,
            found: bytes.len() as u64,
            expected: current.bytes,
        });
    }
    if hex(found) != current.checksum {
        let expected = current.checksum.clone();
        return Err(IndexError::Checksum { path, found: hex(found), expected });
    }
    let manifest = parse_manifest(&path, &bytes)?;
    // What is not collected is known by the number in the name.
    if names::generation(&current.manifest) != Some(manifest.generation) {
        let what = format!("it says it is generation {}", manifest.generation);
        return Err(IndexError::corrupt(&path, what));
    }
    Ok((manifest, Lease { _manifest: file }))
}

fn parse_current(storage: &Storage) -> Result<Current, IndexError> {
    match claim::pointer(storage.folder()) {
        Some(ahead) => parse_pointer(storage, &ahead),
        None => parse_pointer(storage, &pointer_file(storage)?),
    }
}

fn pointer_file(storage: &Storage) -> Result<Vec<u8>, IndexError> {
    let folder = storage.folder();
    match storage.read(CURRENT) {
        Err(IndexError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            if !folder.exists() {
                return Err(IndexError::NoFolder { path: folder.to_path_buf() });
            }
            let interrupted = folder.join(BUILD).join(JOB).is_file();
            Err(IndexError::NoIndex { path: folder.to_path_buf(), interrupted })
        }
        other => other,
    }
}

fn parse_pointer(storage: &Storage, bytes: &[u8]) -> Result<Current, IndexError> {
    let path = storage.path(CURRENT);
    let foreign = || IndexError::Foreign {
        path: path.clone(),
        expected: "the JSON that names a manifest".into(),
    };
    let current: Current = serde_json::from_slice(bytes).map_err(|_| foreign())?;
    if current.magic != MANIFEST_MAGIC {
        return Err(foreign());
    }
    if names::generation(&current.manifest).is_none() {
        let what = format!("it names {:?}, which is not a manifest's name", current.manifest);
        return Err(IndexError::corrupt(&path, what));
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
    storage: Storage,
    lock: FolderLock,
    current: Option<Manifest>,
}

impl FolderWriter {
    /// Takes the index in `folder` for writing. Creates nothing where there is none.
    ///
    /// # Errors
    /// When there is no index, another process writes, the current generation cannot be read, or the
    /// disk refuses.
    pub fn open(folder: &Path) -> Result<Self, IndexError> {
        let mut current = None;
        let lock = lock(folder, &mut || {
            current = Some(read_current(folder)?.0);
            Ok::<_, IndexError>(())
        })?;
        let storage = Storage::of(folder);
        expect_no_log(&lock, &storage)?;
        Ok(Self { storage, lock, current })
    }

    /// Takes a folder for an index, making it if it is not there. Without an index the folder has to
    /// be empty, or to hold what an unfinished build left: `mark` says what its [`BUILD`] carries. An
    /// empty `LOCK` and an empty `build/` count as nothing.
    ///
    /// # Errors
    /// As [`Self::open`]; when the folder holds something else: nothing is touched then.
    pub fn create(folder: &Path, mark: &dyn Fn(&Path) -> Mark) -> Result<Self, IndexError> {
        create_folder(folder)?;
        let mut current = None;
        let lock = lock(folder, &mut || {
            current = match read_current(folder) {
                Ok((manifest, _)) => Some(manifest),
                Err(IndexError::NoIndex { .. }) => {
                    check_empty(folder, mark)?;
                    None
                }
                Err(error) => return Err(error),
            };
            Ok(())
        })?;
        let storage = Storage::of(folder);
        expect_no_log(&lock, &storage)?;
        Ok(Self { storage, lock, current })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.storage.folder()
    }

    /// Its files.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The current generation, if there is one.
    #[must_use]
    pub fn current(&self) -> Option<&Manifest> {
        self.current.as_ref()
    }

    /// Writes a file that is not a binary part (tokenizer, query table); returns its entry.
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
        self.storage.put_new(name, bytes, false)?;
        Ok(PartEntry {
            kind: kind.to_owned(),
            version: 1,
            file: name.to_owned(),
            bytes: bytes.len() as u64,
            checksum: hex(xxh3_64(bytes)),
            required,
        })
    }

    /// Whether commits run ahead of `CURRENT`: they are not synced, and seen by this process alone.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        matches!(&self.lock, FolderLock::Turn(turn) if turn.is_ahead())
    }

    /// Makes `manifest` the current generation. Its generation number is set here: more than that of
    /// any manifest of ours in the folder, and one whose name is free. The parts it names must have been written; those
    /// that are new are synced here, unless the commit runs ahead ([`Claim::run_ahead`]).
    ///
    /// # Errors
    /// When the disk refuses; then the old generation stays current.
    pub fn commit(&mut self, manifest: Manifest) -> Result<&Manifest, IndexError> {
        match self.is_ahead() {
            true => self.commit_ahead(manifest),
            false => self.commit_synced(manifest, self.current.clone().as_ref()),
        }
    }

    fn commit_ahead(&mut self, mut manifest: Manifest) -> Result<&Manifest, IndexError> {
        let pointer = self.put_manifest(&mut manifest, false)?;
        if let FolderLock::Turn(turn) = &self.lock {
            turn.point(Some(&pointer));
        }
        Ok(self.current.insert(manifest))
    }

    /// Commits after a sync of all parts that `synced` does not name.
    fn commit_synced(
        &mut self,
        mut manifest: Manifest,
        synced: Option<&Manifest>,
    ) -> Result<&Manifest, IndexError> {
        sync_parts(&self.storage, &manifest, synced)?;
        let pointer = self.put_manifest(&mut manifest, true)?;
        self.storage.sync()?;
        self.storage.replace(CURRENT, &pointer)?;
        self.storage.sync()?;
        if let FolderLock::Turn(turn) = &self.lock {
            turn.point(None);
        }
        Ok(self.current.insert(manifest))
    }

    /// Numbers and writes a manifest; returns what `CURRENT` says of it.
    fn put_manifest(&self, manifest: &mut Manifest, durable: bool) -> Result<Vec<u8>, IndexError> {
        manifest.generation = self.next_generation()?;
        let name = names::manifest(manifest.generation);
        let mut bytes = serde_json::to_vec_pretty(manifest).map_err(|e| {
            IndexError::corrupt(&self.storage.path(&name), format!("manifest: {e}"))
        })?;
        bytes.push(b'\n');
        self.storage.put_new(&name, &bytes, durable)?;
        let current = Current {
            magic: MANIFEST_MAGIC.to_owned(),
            manifest: name,
            bytes: bytes.len() as u64,
            checksum: hex(xxh3_64(&bytes)),
        };
        let mut bytes = serde_json::to_vec_pretty(&current)
            .map_err(|e| IndexError::corrupt(&self.storage.path(CURRENT), e.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Removes every file of ours that neither the current generation nor one held by a reader
    /// names. An unfinished build (`build/`) is left alone.
    ///
    /// # Errors
    /// When the folder cannot be read or a file cannot be removed.
    pub fn collect(&self) -> Result<(), IndexError> {
        let mut keep: BTreeSet<String> = [CURRENT, LOCK, BUILD].map(str::to_owned).into();
        let keep_all = |keep: &mut BTreeSet<String>, manifest: &Manifest| {
            keep.insert(names::manifest(manifest.generation));
            keep.extend(manifest.parts().map(|p| p.file.clone()));
        };
        if let Some(current) = &self.current {
            keep_all(&mut keep, current);
        }
        if self.is_ahead()
            && let Some(sealed) = sealed(&self.storage)?
        {
            keep_all(&mut keep, &sealed);
        }
        let names = self.storage.list()?;
        let mut held_unreadable = false;
        // Locked until their files are gone: a reader that comes meanwhile waits, finds the name
        // gone and reads CURRENT again.
        let mut doomed = Vec::new();
        for name in names.iter().filter(|n| names::generation(n).is_some()) {
            if keep.contains(name) {
                continue;
            }
            let Ok(file) = self.storage.open(name) else {
                continue;
            };
            if !is_manifest(&self.storage, name) {
                keep.insert(name.clone());
                continue;
            }
            if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
                doomed.push(file);
                continue;
            }
            let path = self.storage.path(name);
            match self.storage.read(name).and_then(|b| parse_manifest(&path, &b)) {
                Ok(manifest) => keep_all(&mut keep, &manifest),
                Err(_) => held_unreadable = true,
            }
        }
        if held_unreadable {
            return Ok(());
        }
        for name in names.iter().filter(|n| !keep.contains(*n) && is_collected(n)) {
            self.storage.remove(name)?;
            tracing::debug!(file = name, "collected");
        }
        self.storage.sync()
    }

    /// More than that of every manifest of ours; names of others are passed over.
    fn next_generation(&self) -> Result<u64, IndexError> {
        let names = self.storage.names()?;
        let numbered = names.iter().filter_map(|n| names::generation(n));
        let ours = |n: &u64| is_manifest(&self.storage, &names::manifest(*n));
        let highest = numbered.clone().filter(ours).max().unwrap_or(0);
        let taken: BTreeSet<u64> = numbered.collect();
        let mut next = highest.checked_add(1);
        while let Some(number) = next.filter(|n| taken.contains(n)) {
            next = number.checked_add(1);
        }
        next.ok_or_else(|| IndexError::Limit {
            what: "generations of an index".to_owned(),
            found: highest,
            limit: u64::MAX - 1,
        })
    }
}

/// Syncs the files of the generation that this process sees, as far as `CURRENT` does not name them: what [`seal`] has
/// to wait for, without a turn.
///
/// # Errors
/// When the generation cannot be read, or the disk refuses.
pub fn sync_ahead(folder: &Path) -> Result<(), IndexError> {
    let (storage, (manifest, _lease)) = (Storage::of(folder), read_current(folder)?);
    sync_parts(&storage, &manifest, sealed(&storage)?.as_ref())
}

/// Makes the generation that this process sees in a folder it claims the one that `CURRENT` names, synced, as a new
/// generation that contains the operations up to `applied` of a log. Returns its number. If nothing ran ahead and
/// `CURRENT` says `applied` already, nothing is done.
///
/// # Errors
/// When another writer of this process is at work, or the disk refuses; `CURRENT` then stays.
pub fn seal(folder: &Path, applied: u64) -> Result<u64, IndexError> {
    let mut writer = FolderWriter::open(folder)?;
    let (storage, current) = (writer.storage.clone(), writer.current.clone());
    let Some(mut manifest) = current else {
        return Err(IndexError::NoIndex { path: folder.to_path_buf(), interrupted: false });
    };
    let sealed = sealed(&storage)?;
    if sealed.as_ref() == Some(&manifest) && manifest.applied_sequence == applied {
        return Ok(manifest.generation);
    }
    manifest.applied_sequence = applied;
    let generation = writer.commit_synced(manifest, sealed.as_ref())?.generation;
    writer.collect()?;
    Ok(generation)
}

/// Gives the files of the current generation a second name in `to`, a new folder on the same disk, which is then an index of
/// its own; files are copied where the disk has no second names. Durable on return, but for the name of `to`. No writer may
/// be at work.
///
/// # Errors
/// When the generation cannot be read, or the disk refuses; then a part of them lies in `to`.
pub fn link(folder: &Path, to: &Path) -> Result<(), IndexError> {
    let (from, target) = (Storage::of(folder), Storage::of(to));
    let (manifest, _lease) = read_current(folder)?;
    create_folder(to)?;
    let own = names::manifest(manifest.generation);
    for name in manifest.parts().map(|part| &part.file).chain([&own]) {
        let (old, new) = (from.path(name), target.path(name));
        if fs::hard_link(&old, &new).is_err() {
            fs::copy(&old, &new).map_err(IndexError::io(&old))?;
            target.sync_file(name)?;
        }
    }
    target.sync()?;
    target.replace(CURRENT, &pointer_file(&from)?)?;
    target.sync()
}

/// The generation that the file `CURRENT` names, to be made again elsewhere.
#[derive(Debug)]
pub struct SealedGeneration {
    /// What `CURRENT` says.
    pub current: Vec<u8>,
    /// Its manifest.
    pub manifest: Manifest,
    /// All of its files: its manifest's, and those that this names.
    pub files: Vec<SealedFile>,
    /// As long as this exists, the files stay.
    pub lease: Lease,
}

/// A file of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFile {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its checksum, as [`PartChecksum`](crate::PartChecksum) has it.
    pub checksum: String,
}

/// Reads the generation that the file `CURRENT` names, whatever this process sees, and takes a lease on it.
///
/// # Errors
/// As [`read_current`].
pub fn read_sealed(folder: &Path) -> Result<SealedGeneration, IndexError> {
    let storage = Storage::of(folder);
    // As in `read_current`, it may be replaced between two reads.
    let mut tries = 100;
    loop {
        let current = pointer_file(&storage)?;
        let named = parse_pointer(&storage, &current)?;
        let opened = read_named(&storage, &named);
        let (manifest, lease) = match opened {
            Err(IndexError::Io { source, .. })
                if tries > 0 && source.kind() == std::io::ErrorKind::NotFound =>
            {
                tries -= 1;
                continue;
            }
            other => other?,
        };
        let part = |part: &PartEntry| SealedFile {
            name: part.file.clone(),
            bytes: part.bytes,
            checksum: part.checksum.clone(),
        };
        let own = SealedFile { name: named.manifest, bytes: named.bytes, checksum: named.checksum };
        let files = manifest.parts().map(part).chain([own]).collect();
        return Ok(SealedGeneration { current, manifest, files, lease });
    }
}

/// The manifest that `current`, meant for the file `CURRENT` in `folder`, names.
///
/// # Errors
/// When `current` is no pointer to a manifest.
pub fn pointed(folder: &Path, current: &[u8]) -> Result<SealedFile, IndexError> {
    let named = parse_pointer(&Storage::of(folder), current)?;
    Ok(SealedFile { name: named.manifest, bytes: named.bytes, checksum: named.checksum })
}

/// The manifest that the file `CURRENT` names, whatever this process sees.
fn sealed(storage: &Storage) -> Result<Option<Manifest>, IndexError> {
    let current = match pointer_file(storage) {
        Ok(bytes) => parse_pointer(storage, &bytes)?,
        Err(IndexError::NoIndex { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let path = storage.path(&current.manifest);
    parse_manifest(&path, &storage.read(&current.manifest)?).map(Some)
}

/// Syncs the parts of `manifest` that `synced` does not name.
fn sync_parts(
    storage: &Storage,
    manifest: &Manifest,
    synced: Option<&Manifest>,
) -> Result<(), IndexError> {
    let known: BTreeSet<&str> =
        synced.iter().flat_map(|synced| synced.parts()).map(|p| p.file.as_str()).collect();
    let new: Vec<&PartEntry> =
        manifest.parts().filter(|part| !known.contains(part.file.as_str())).collect();
    new.into_par_iter().try_for_each(|part| storage.sync_file(&part.file))
}

/// Whether a file of this name in an index's folder is ours.
#[must_use]
pub fn owns(name: &str) -> bool {
    [CURRENT, LOCK].contains(&name) || is_collected(name)
}

/// Whether a file of this name is removed when no generation in use names it.
fn is_collected(name: &str) -> bool {
    names::generation(name).is_some() || kinds::is_part(name) || names::is_temporary(name)
}

/// Keeps the index in `folder` for writers of this process until the claim is dropped. Writers of other processes
/// are refused with [`IndexError::Served`], which names `address`: visible ASCII, of which 256 bytes count.
///
/// # Errors
/// [`IndexError::Served`] or [`IndexError::Locked`] while another process, or another claim of this one, keeps the
/// folder; [`IndexError::NotAnIndexFolder`] if its `LOCK` is another program's; or when the folder is missing or the
/// system refuses.
pub fn claim(folder: &Path, address: &str) -> Result<Claim, IndexError> {
    Claim::take(folder, &Storage::of(folder).path(LOCK), address)
}

/// Takes `folder` by an exclusive lock on its file [`LOCK`], made if absent, after `check` agreed; it is
/// called again under the lock. Where it refuses, nothing was made. In a folder that this process claims
/// ([`fn@claim`]) it is a turn among its writers.
///
/// # Errors
/// When another process holds the lock, `check` refuses, or the system does.
pub fn lock<E: From<IndexError>>(
    folder: &Path,
    check: &mut dyn FnMut() -> Result<(), E>,
) -> Result<FolderLock, E> {
    let path = Storage::of(folder).path(LOCK);
    loop {
        // A FIFO or a device of this name is not opened: that would wait, or do worse.
        let there = fs::symlink_metadata(&path).is_ok_and(|m| m.is_file());
        if !there && let Err(error) = check() {
            // Another writer may have come while we looked, and what we saw is its work.
            if fs::symlink_metadata(&path).is_ok_and(|m| m.is_file()) {
                continue;
            }
            return Err(error);
        }
        let lock = claim::take(folder, &path)?;
        check()?;
        return Ok(lock);
    }
}

/// Whether an index's folder has changes that a server logged and did not seal: no generation contains them.
///
/// # Errors
/// When the folder cannot be read.
pub fn has_log(folder: &Path) -> Result<bool, IndexError> {
    Ok(Storage::of(folder).names()?.iter().any(|name| names::log(name).is_some()))
}

/// Refuses a log to a writer that is not the server: a server that was killed left changes in it that come first.
fn expect_no_log(lock: &FolderLock, storage: &Storage) -> Result<(), IndexError> {
    match matches!(lock, FolderLock::File(_)) && has_log(storage.folder())? {
        true => Err(IndexError::HasLog { path: storage.folder().to_path_buf() }),
        false => Ok(()),
    }
}

/// Refuses a folder without an index that holds anything but a `LOCK` of ours and a `build/` that is
/// empty or carries the mark of an unfinished build. Beside such a one other names may lie.
fn check_empty(folder: &Path, mark: &dyn Fn(&Path) -> Mark) -> Result<(), IndexError> {
    let storage = Storage::of(folder);
    let mark = mark(&storage.path(BUILD));
    if mark == Mark::Ours {
        return Ok(());
    }
    for name in storage.names()? {
        let empty = match name.as_str() {
            LOCK => claim::is_ours(&storage.path(LOCK)),
            BUILD => mark == Mark::Nothing,
            _ => false,
        };
        if !empty {
            return Err(IndexError::NotAnIndexFolder { path: folder.to_path_buf(), found: name });
        }
    }
    Ok(())
}

/// Whether a file is a manifest of ours, of whatever version, or what a power cut left of one.
fn is_manifest(storage: &Storage, name: &str) -> bool {
    #[derive(Deserialize)]
    struct Head {
        magic: String,
    }
    let Ok(bytes) = storage.read(name) else { return false };
    // A power cut leaves zeros of what was not synced, or nothing.
    if bytes.iter().all(|byte| *byte == 0) {
        return true;
    }
    serde_json::from_slice::<Head>(&bytes).is_ok_and(|head| head.magic == MANIFEST_MAGIC)
}
