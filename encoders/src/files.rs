//! Reading a model's files and checking that they are the ones the manifest means.

use std::fs;
use std::io::Read;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::EncoderError;

/// Most bytes of a file of JSON. The largest tokenizers have some 35 MB.
const MOST_JSON: u64 = 256 << 20;
/// Files of more bytes than this are hashed before they are read whole.
const CHECKED_FIRST: u64 = 64 << 20;

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

/// The whole file. One of JSON is refused beyond [`MOST_JSON`] bytes, before memory is taken for it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, EncoderError> {
    let json = path.extension().is_some_and(|extension| extension == "json");
    let most = if json { MOST_JSON } else { u64::MAX };
    read_at_most(path, most).map_err(|source| EncoderError::Read { path: path.to_owned(), source })
}

fn read_at_most(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = open(path)?;
    let length = file.metadata()?.len();
    if length <= most && file.take(most.saturating_add(1)).read_to_end(&mut bytes)? as u64 <= most {
        return Ok(bytes);
    }
    let what = format!("it has {length} bytes, and no file of its kind has more than {most}");
    Err(std::io::Error::new(std::io::ErrorKind::InvalidData, what))
}

/// The whole file, refused unless it has the checksum `expected` (hexadecimal). A large one is checked in pieces first,
/// so that memory is taken only for a file that is the right one.
pub(crate) fn read_verified(path: &Path, expected: &str) -> Result<Vec<u8>, EncoderError> {
    if fs::metadata(path).is_ok_and(|found| found.len() > CHECKED_FIRST) {
        verify(path, expected)?;
    }
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
    /// Nothing of the file is read: it has no bytes on disk.
    #[test]
    fn json_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::File::create(&path).unwrap().set_len(super::MOST_JSON + 1).unwrap();
        let error = super::read(&path).unwrap_err().to_string();
        assert!(error.contains("config.json"), "{error}");
        std::fs::File::options().write(true).open(&path).unwrap().set_len(2).unwrap();
        assert_eq!(super::read(&path).unwrap(), [0, 0]);
    }

    #[test]
    fn sha256_of_nothing() {
        assert_eq!(
            super::sha256(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
