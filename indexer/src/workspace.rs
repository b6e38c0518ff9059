//! The folder for unfinished work, `build/`: whether it is ours, and its removal file by file.
//!
//! A folder is ours if it holds our record ([`Job`]), which is written first and removed last. In such a
//! folder we remove only files with names that we use, and then the folder if it is empty. In any other
//! folder nothing is touched.

use std::fs;
use std::path::Path;

use quarry_index::folder::{BUILD, Mark};
use quarry_index::names::{is_numbered, is_temporary, is_uuid};
use quarry_index::{IndexError, Storage};

use crate::BuildError;
use crate::job::{self, Job};

/// Contents of the folder for unfinished work.
#[derive(Debug)]
pub(crate) enum Found {
    /// No folder, or an empty one.
    Nothing,
    /// Work of ours.
    Ours(Job),
    /// Something else; the name of one of the files.
    Foreign(String),
}

/// Inspects `build`.
pub(crate) fn look(build: &Path) -> Result<Found, BuildError> {
    if !fs::symlink_metadata(build).is_ok_and(|m| m.is_dir()) {
        return match build.symlink_metadata() {
            Ok(_) => Ok(Found::Foreign(BUILD.to_owned())),
            Err(_) => Ok(Found::Nothing),
        };
    }
    if let Some(job) = Job::read(build)? {
        return Ok(Found::Ours(job));
    }
    // A crash may have left the record under its temporary name.
    let begun = |name: &String| is_temporary(name) && Job::is_begun(&build.join(name));
    let other = Storage::of(build).names()?.into_iter().find(|name| !begun(name));
    Ok(other.map_or(Found::Nothing, Found::Foreign))
}

/// The same, for the code that manages the folder around `build`.
pub(crate) fn mark(build: &Path) -> Mark {
    match look(build) {
        Ok(Found::Nothing) => Mark::Nothing,
        Ok(Found::Ours(_)) => Mark::Ours,
        _ => Mark::Foreign,
    }
}

/// Begins or continues work: from here on `build` holds its record.
pub(crate) fn begin(build: &Path, job: &Job) -> Result<(), BuildError> {
    if let Found::Foreign(name) = look(build)? {
        return Err(foreign(build, name));
    }
    match fs::create_dir(build) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(IndexError::io(build)(e).into());
        }
        _ => {}
    }
    job.write(build)?;
    Storage::of(build).sync()?;
    Ok(build.parent().map_or(Ok(()), |around| Storage::of(around).sync())?)
}

/// Refuses a folder of ours that also holds foreign files: after clearing, what is left would have no
/// record and count as foreign.
pub(crate) fn expect_only_ours(build: &Path) -> Result<(), BuildError> {
    if !build.is_dir() {
        return Ok(());
    }
    let other = |name: &String| name != TEXT && !is_ours(name);
    match Storage::of(build).names()?.into_iter().find(other) {
        Some(name) => Err(foreign(build, name)),
        None => Ok(()),
    }
}

/// Whether the folder holds finished shards to resume from.
pub(crate) fn has_shards(build: &Path) -> bool {
    Storage::of(build)
        .names()
        .is_ok_and(|names| names.iter().any(|n| is_numbered(n, "shard-", ".qry")))
}

/// Removes our files; refuses a folder that is not ours.
pub(crate) fn clear(build: &Path) -> Result<(), BuildError> {
    if let Found::Foreign(name) = look(build)? {
        return Err(foreign(build, name));
    }
    if !build.exists() {
        return Ok(());
    }
    empty(build)?;
    remove_files(build, |name| name == job::FILE)?;
    remove_if_empty(build)
}

/// Removes our files from a folder that is ours, but for the record.
pub(crate) fn empty(build: &Path) -> Result<(), BuildError> {
    if !build.exists() {
        return Ok(());
    }
    quarry_index::text::clear_work(&build.join(TEXT))?;
    remove_files(build, |name| name != job::FILE && is_ours(name))
}

/// The error for a folder that holds no record of ours.
pub(crate) fn foreign(build: &Path, name: String) -> BuildError {
    BuildError::ForeignBuild { path: build.to_path_buf(), name }
}

/// Subfolder in which tantivy works.
pub(crate) const TEXT: &str = "text";

/// Whether our work uses this file name.
fn is_ours(name: &str) -> bool {
    let of_segment = name.split_once('-').is_some_and(|(id, rest)| {
        let spooled = |kind| is_numbered(rest, kind, ".qry");
        is_uuid(id) && (spooled("tokens-") || spooled("dense-"))
    });
    [job::FILE, "heads.qry", "summaries.qry"].contains(&name)
        || is_numbered(name, "shard-", ".qry")
        || of_segment
        || is_temporary(name)
}

fn remove_files(folder: &Path, ours: impl Fn(&str) -> bool) -> Result<(), BuildError> {
    let storage = Storage::of(folder);
    for name in storage.list()?.iter().filter(|name| ours(name)) {
        storage.remove(name)?;
    }
    Ok(())
}

fn remove_if_empty(folder: &Path) -> Result<(), BuildError> {
    use std::io::ErrorKind::{DirectoryNotEmpty, NotFound};
    match fs::remove_dir(folder) {
        Err(e) if !matches!(e.kind(), DirectoryNotEmpty | NotFound) => {
            Err(IndexError::io(folder)(e).into())
        }
        _ => Ok(()),
    }
}
