//! Reading a model's files and checking that they are the ones the manifest means.

use std::fs;
use std::io::Read;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::EncoderError;

/// A file that belongs to a graph: of weights beside it, or one that it is built of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalFile {
    /// Its name: of weights, as the graph has it, relative to the graph's own folder; else relative to
    /// the model folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
}

/// Opens a file to read it. What is not a file is refused at once: a pipe would wait for somebody to
/// write to it, a device may never end.
pub(crate) fn open(path: &Path) -> std::io::Result<fs::File> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() {
        return fs::File::open(path);
    }
    let what = if kind.is_dir() { "a folder" } else { "a pipe or a device" };
    let what = format!("it is {what}, a file was expected");
    Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, what))
}

/// The whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, EncoderError> {
    let mut bytes = Vec::new();
    open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|source| EncoderError::Read { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// The whole file, refused unless it has the checksum `expected` (hexadecimal).
pub(crate) fn read_verified(path: &Path, expected: &str) -> Result<Vec<u8>, EncoderError> {
    let bytes = read(path)?;
    let found = sha256(&bytes);
    if found == expected {
        return Ok(bytes);
    }
    Err(EncoderError::Checksum { path: path.to_owned(), expected: expected.to_owned(), found })
}

/// The checksum of a file of any size, in pieces.
pub(crate) fn sha256_of(path: &Path) -> Result<String, EncoderError> {
    let failed = |source| EncoderError::Read { path: path.to_owned(), source };
    let mut file = open(path).map_err(failed)?;
    let mut digest = Sha256::new();
    std::io::copy(&mut file, &mut digest).map_err(failed)?;
    Ok(format!("{:x}", digest.finalize()))
}

/// Refuses a file that has not the checksum `expected`; it is read in pieces.
pub(crate) fn verify(path: &Path, expected: &str) -> Result<(), EncoderError> {
    let found = sha256_of(path)?;
    if found == expected {
        return Ok(());
    }
    Err(EncoderError::Checksum { path: path.to_owned(), expected: expected.to_owned(), found })
}

/// Whether `file` names something below the folder it is relative to, on any system, and can be shown.
pub(crate) fn is_inside(file: &str) -> bool {
    let path = Path::new(file);
    path.file_name().is_some()
        && !file.chars().any(|c| c == '\\' || c.is_control())
        && !file.ends_with('/')
        && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn sha256_of_nothing() {
        assert_eq!(
            super::sha256(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
