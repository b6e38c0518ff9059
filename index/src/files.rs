//! Opening files: regular files and nothing else. A pipe would block until something writes to it, and a
//! device may never end.

use std::fs::{self, File};
use std::io::{Read, Take};
use std::path::Path;

use crate::error::IndexError;

/// Most bytes of the files that are read whole: manifests, and the model's own tokenizer and tables.
const MOST_READ: u64 = 1 << 30;

/// Opens a file to read it.
pub(crate) fn open(path: &Path) -> Result<File, IndexError> {
    expect_file(path)?;
    File::open(path).map_err(IndexError::io(path))
}

/// Refuses anything but a regular file; links are followed.
///
/// # Errors
/// [`IndexError::NotAFile`]; [`IndexError::Io`] when nothing has this name.
pub(crate) fn expect_file(path: &Path) -> Result<(), IndexError> {
    let kind = fs::metadata(path).map_err(IndexError::io(path))?.file_type();
    match kind.is_file() {
        true => Ok(()),
        false => Err(IndexError::NotAFile { path: path.to_path_buf(), folder: kind.is_dir() }),
    }
}

/// The whole file, of at most 1 GiB.
///
/// # Errors
/// [`IndexError::NotAFile`] when it is something else; when it cannot be read or is too large.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, IndexError> {
    let mut bytes = Vec::new();
    let mut file: Take<File> = open(path)?.take(MOST_READ + 1);
    file.read_to_end(&mut bytes).map_err(IndexError::io(path))?;
    if bytes.len() as u64 > MOST_READ {
        return Err(IndexError::Limit {
            what: format!("{}: bytes of a file that is read whole", path.display()),
            found: bytes.len() as u64,
            limit: MOST_READ,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn folders_pipes_and_devices_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"x").unwrap();
        assert_eq!(read(&file).unwrap(), b"x");
        let refused = |path: &Path| {
            assert!(matches!(read(path), Err(IndexError::NotAFile { .. })), "{}", path.display());
        };
        refused(folder.path());
        assert!(matches!(read(&folder.path().join("none")), Err(IndexError::Io { .. })));
        #[cfg(unix)]
        {
            refused(Path::new("/dev/zero"));
            let link = folder.path().join("link");
            std::os::unix::fs::symlink(&file, &link).unwrap();
            assert_eq!(read(&link).unwrap(), b"x");
            let pipe = folder.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            if made.is_ok_and(|status| status.success()) {
                refused(&pipe);
            }
        }
    }
}
