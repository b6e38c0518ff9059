//! Makes a generation of a leader's in a folder.
//!
//! What a leader says is checked as far as it can do harm: names are those of an index's files, none is there twice, and each
//! file has the length and the checksum that were said.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use quarry_index::folder::{CURRENT, pointed};
use quarry_index::{PartChecksum, Storage};

use super::super::StoreError;
use super::super::error::io;
use super::given::{Given, GivenFile, is_file_of_generation};

/// Fetches a file to a path at which nothing lies.
pub(in crate::store) type Fetch<'a> = &'a dyn Fn(&GivenFile, &Path) -> Result<(), StoreError>;

/// Most files of a generation.
const MOST_FILES: usize = 65_536;
/// Bytes that are read at a time.
const PIECE: usize = 1 << 18;

/// Fetches what `folder` lacks of a generation into `aside`, a folder that is there and empty.
pub(in crate::store) fn fill(
    given: &Given,
    (folder, aside): (&Path, &Path),
    fetch: Fetch<'_>,
) -> Result<(), StoreError> {
    let wrong = |what: String| StoreError::Leader { what };
    if given.files.len() > MOST_FILES {
        return Err(wrong(format!("it names more than {MOST_FILES} files")));
    }
    let manifest = pointed(folder, given.current.as_bytes())?;
    let mut names = BTreeSet::new();
    for file in &given.files {
        if !is_file_of_generation(&file.name) || !names.insert(&file.name) {
            return Err(wrong(format!("`{}` is no file of an index, or named twice", file.name)));
        }
    }
    if !names.contains(&manifest.name) {
        return Err(wrong(format!("it does not name `{}`", manifest.name)));
    }
    for file in &given.files {
        let there = folder.join(&file.name).symlink_metadata();
        if there.is_ok_and(|there| there.is_file() && there.len() == file.bytes) {
            continue;
        }
        let path = aside.join(&file.name);
        fetch(file, &path)?;
        let found = checksum(&path, file)?;
        if found != (file.bytes, file.checksum.clone()) {
            return Err(wrong(format!("`{}` came with another length or checksum", file.name)));
        }
    }
    Ok(())
}

/// Moves what was fetched into a folder, unless it was fetched there, and makes it the current generation. Durable on return.
pub(in crate::store) fn take_in(
    given: &Given,
    aside: &Path,
    folder: &Path,
) -> Result<(), StoreError> {
    let fetched = if aside == folder { Vec::new() } else { Storage::of(aside).names()? };
    for name in fetched {
        let (from, to) = (aside.join(&name), folder.join(&name));
        fs::rename(&from, &to).map_err(io(&from))?;
    }
    let storage = Storage::of(folder);
    storage.sync()?;
    storage.replace(CURRENT, given.current.as_bytes())?;
    Ok(storage.sync()?)
}

/// The length and the checksum of a file.
fn checksum(path: &Path, file: &GivenFile) -> Result<(u64, String), StoreError> {
    let mut reader = File::open(path).map_err(io(path))?;
    let (mut checksum, mut buffer) = (PartChecksum::of(&file.name), vec![0; PIECE]);
    let mut bytes = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((bytes, checksum.finish())),
            Ok(count) => {
                checksum.update(&buffer[..count]);
                bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(StoreError::Io { path: path.to_owned(), source }),
        }
    }
}
