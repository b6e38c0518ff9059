//! The folder of unfinished work, `build/`: whose it is, and its removal, name by name.
//!
//! A folder is ours if it carries our record ([`Job`]); it is written before anything else and removed
//! last. Of such a folder the names that we make are removed, and the folder when nothing is left in it;
//! other names stay. Of any other folder nothing is touched.

use std::fs;
use std::path::Path;

use quarry_index::folder::{BUILD, Mark};
use quarry_index::names::{is_numbered, is_temporary, is_uuid};
use quarry_index::{IndexError, Storage};

use crate::BuildError;
use crate::job::{self, Job};

/// What lies in a folder of unfinished work.
#[derive(Debug)]
pub(crate) enum Found {
    /// There is no folder, or nothing in it.
    Nothing,
    /// Work of ours.
    Ours(Job),
    /// Something else, such as this name.
    Foreign(String),
}

/// Looks what lies in `build`.
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
    // A crash may have come before the record had its name.
    let begun = |name: &String| is_temporary(name) && Job::is_begun(&build.join(name));
    let other = Storage::of(build).names()?.into_iter().find(|name| !begun(name));
    Ok(other.map_or(Found::Nothing, Found::Foreign))
}

/// The same in short, for who takes the folder around it.
pub(crate) fn mark(build: &Path) -> Mark {
    match look(build) {
        Ok(Found::Nothing) => Mark::Nothing,
        Ok(Found::Ours(_)) => Mark::Ours,
        _ => Mark::Foreign,
    }
}

/// Begins work, or goes on with work: `build` carries its record from here on.
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

/// Refuses a folder of ours that holds names of others as well: what is left of it when it is cleared
/// would be foreign.
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

/// Whether work left something that is worth going on with.
pub(crate) fn has_shards(build: &Path) -> bool {
    Storage::of(build)
        .names()
        .is_ok_and(|names| names.iter().any(|n| is_numbered(n, "shard-", ".qry")))
}

/// Removes what is ours; refuses a folder that is not.
pub(crate) fn clear(build: &Path) -> Result<(), BuildError> {
    if let Found::Foreign(name) = look(build)? {
        return Err(foreign(build, name));
    }
    if !build.exists() {
        return Ok(());
    }
    quarry_index::text::clear_work(&build.join(TEXT))?;
    remove_files(build, |name| name != job::FILE && is_ours(name))?;
    remove_files(build, |name| name == job::FILE)?;
    remove_if_empty(build)
}

/// The error for a folder that carries no record of ours.
pub(crate) fn foreign(build: &Path, name: String) -> BuildError {
    BuildError::ForeignBuild { path: build.to_path_buf(), name }
}

/// Where tantivy works.
pub(crate) const TEXT: &str = "text";

/// Whether a name is one that work of ours leaves.
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
