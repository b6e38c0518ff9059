//! Archives are unpacked into a folder of their own, from which nothing gets out.
//!
//! Names that lead out of the folder, and entries that are neither file nor folder (links, devices),
//! refuse the whole archive.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::error::DatasetError;

/// Unpacks a ZIP archive into `into`.
pub(super) fn zip(
    archive: &Path,
    into: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(), DatasetError> {
    let bad = |what: String| DatasetError::Archive { path: archive.to_owned(), what };
    let file = File::open(archive).map_err(|e| DatasetError::open(archive, e))?;
    let mut zip = zip::ZipArchive::new(BufReader::new(file)).map_err(|e| bad(e.to_string()))?;
    for at in 0..zip.len() {
        let mut entry = zip.by_index(at).map_err(|e| bad(e.to_string()))?;
        let name = entry.name().to_owned();
        let path = inside(archive, into, &name)?;
        if entry.is_dir() {
            fs::create_dir_all(&path).map_err(|e| DatasetError::open(&path, e))?;
        } else if entry.is_file() {
            write(archive, &mut entry, &path, progress)?;
        } else {
            return Err(bad(format!("`{name}` is neither a file nor a folder")));
        }
    }
    Ok(())
}

/// Unpacks a tar archive that is compressed with gzip into `into`.
pub(super) fn tar_gz(
    archive: &Path,
    into: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(), DatasetError> {
    let bad = |what: String| DatasetError::Archive { path: archive.to_owned(), what };
    let file = File::open(archive).map_err(|e| DatasetError::open(archive, e))?;
    let mut tar = tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)));
    for entry in tar.entries().map_err(|e| bad(e.to_string()))? {
        let mut entry = entry.map_err(|e| bad(e.to_string()))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = inside(archive, into, &name)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            fs::create_dir_all(&path).map_err(|e| DatasetError::open(&path, e))?;
        } else if kind.is_file() {
            write(archive, &mut entry, &path, progress)?;
        } else if !(kind.is_pax_global_extensions() || kind.is_pax_local_extensions()) {
            return Err(bad(format!("`{name}` is neither a file nor a folder")));
        }
    }
    Ok(())
}

/// Where an entry goes; an error where that is outside of `into`.
fn inside(archive: &Path, into: &Path, name: &str) -> Result<PathBuf, DatasetError> {
    let mut path = into.to_owned();
    // What is a separator elsewhere must not become one here by accident, or the other way round.
    let mut good = !name.contains(['\\', '\0']) && !name.is_empty();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => good = false,
        }
    }
    if good {
        return Ok(path);
    }
    Err(DatasetError::Archive {
        path: archive.to_owned(),
        what: format!("the name {name:?} leads out of its folder; nothing of it is used"),
    })
}

/// Writes an entry to a new file; a second entry of the same name is an error.
fn write(
    archive: &Path,
    entry: &mut dyn Read,
    path: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(), DatasetError> {
    let fail = |e| DatasetError::open(path, e);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(fail)?;
    }
    let mut out = File::options().write(true).create_new(true).open(path).map_err(fail)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let n = match entry.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => {
                return Err(DatasetError::Archive {
                    path: archive.to_owned(),
                    what: format!("cannot be unpacked: {e}"),
                });
            }
        };
        out.write_all(&buffer[..n]).map_err(fail)?;
        progress(n as u64);
    }
    out.sync_all().map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        let (archive, into) = (Path::new("a.zip"), Path::new("/into"));
        for (name, want) in [
            ("a/b.txt", "/into/a/b.txt"),
            ("./a", "/into/a"),
            ("a//b", "/into/a/b"),
            ("a/", "/into/a"),
        ] {
            assert_eq!(inside(archive, into, name).unwrap(), Path::new(want));
        }
        for name in ["../a", "a/../../b", "a/../b", "/etc/passwd", "a\\..\\b", "a\0b", "", ".."] {
            let error = inside(archive, into, name).unwrap_err().to_string();
            assert!(error.contains("leads out of its folder"), "{name:?}: {error}");
        }
    }
}
