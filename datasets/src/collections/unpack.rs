//! Archives are unpacked into a folder of their own, from which nothing gets out, and not without end.
//!
//! Refused as a whole is an archive with names that lead out of the folder or cannot be shown, a name
//! twice (also where only its case differs, as folders of some systems do not tell them apart), entries
//! that are neither file nor folder (links, devices), more entries than collections have, or more bytes
//! than text of its length comes to.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::error::DatasetError;

/// Entries of an archive, at most.
const ENTRIES: usize = 10_000;
/// Bytes that come out of an archive, at most, for each of its own; text comes to 3 to 10.
const EXPANSION: u64 = 40;
/// Bytes that may come out of any archive.
const SMALL: u64 = 16 << 20;

/// Unpacks an archive, a ZIP or a tar compressed with gzip: for fuzzing.
///
/// # Errors
/// As [`Collections::pull`](super::Collections::pull).
#[cfg(fuzzing)]
pub fn any(archive: &Path, into: &Path, is_zip: bool) -> Result<(), DatasetError> {
    if is_zip { zip(archive, into, &mut |_| {}) } else { tar_gz(archive, into, &mut |_| {}) }
}

/// Unpacks a ZIP archive into `into`.
pub(super) fn zip(
    archive: &Path,
    into: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(), DatasetError> {
    let bad = |what: String| DatasetError::Archive { path: archive.to_owned(), what };
    let mut unpacking = Unpacking::new(archive, into, progress)?;
    let open = || File::open(archive).map_err(|e| DatasetError::open(archive, e));
    let mut zip = zip::ZipArchive::new(BufReader::new(open()?)).map_err(|e| bad(e.to_string()))?;
    // The library keeps one entry of each name.
    let listed = listed(BufReader::new(open()?), zip.central_directory_start());
    let listed = listed.map_err(|e| bad(format!("its directory cannot be read: {e}")))?;
    if listed != zip.len() {
        return Err(bad(format!(
            "it lists {listed} entries with {} names: one appears twice; nothing of it is used",
            zip.len()
        )));
    }
    unpacking.expect_entries(listed)?;
    for at in 0..zip.len() {
        let mut entry = zip.by_index(at).map_err(|e| bad(e.to_string()))?;
        let name = entry.name().to_owned();
        let kind = match (entry.is_dir(), entry.is_file() && !entry.is_symlink()) {
            (true, _) => Kind::Folder,
            (false, true) => Kind::File,
            (false, false) => Kind::Other,
        };
        unpacking.entry(&name, kind, &mut entry)?;
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
    let mut unpacking = Unpacking::new(archive, into, progress)?;
    let file = File::open(archive).map_err(|e| DatasetError::open(archive, e))?;
    // What the library reads for itself, such as long names, counts too; blocks of 512 bytes do not.
    let most = unpacking.left.saturating_add(1024 * ENTRIES as u64);
    let content = MultiGzDecoder::new(BufReader::new(file)).take(most);
    let mut tar = tar::Archive::new(content);
    for entry in tar.entries().map_err(|e| bad(e.to_string()))? {
        let mut entry = entry.map_err(|e| bad(e.to_string()))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() || kind.is_pax_local_extensions() {
            continue;
        }
        let kind = match (kind.is_dir(), kind.is_file()) {
            (true, _) => Kind::Folder,
            (false, true) => Kind::File,
            (false, false) => Kind::Other,
        };
        unpacking.entry(&name, kind, &mut entry)?;
    }
    // An archive ends before the compressed stream does, whose last bytes are its checksum.
    let mut rest = tar.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(|e| bad(format!("cannot be unpacked: {e}")))?;
    match rest.limit() {
        0 => Err(bad(format!("more than {EXPANSION} times its length comes out of it"))),
        _ => Ok(()),
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Other,
}

/// An archive on its way into a folder.
struct Unpacking<'a> {
    archive: &'a Path,
    into: &'a Path,
    progress: &'a mut dyn FnMut(u64),
    /// Files and folders so far, in lower case.
    names: HashSet<String>,
    entries: usize,
    /// Bytes that may still come.
    left: u64,
}

impl<'a> Unpacking<'a> {
    fn new(
        archive: &'a Path,
        into: &'a Path,
        progress: &'a mut dyn FnMut(u64),
    ) -> Result<Self, DatasetError> {
        let length = fs::metadata(archive).map_err(|e| DatasetError::open(archive, e))?.len();
        let left = length.saturating_mul(EXPANSION).max(SMALL);
        Ok(Self { archive, into, progress, names: HashSet::new(), entries: 0, left })
    }

    fn bad(&self, what: String) -> DatasetError {
        DatasetError::Archive { path: self.archive.to_owned(), what }
    }

    fn expect_entries(&self, entries: usize) -> Result<(), DatasetError> {
        if entries > ENTRIES {
            return Err(self.bad(format!("it has more than {ENTRIES} entries")));
        }
        Ok(())
    }

    fn entry(
        &mut self,
        name: &str,
        kind: Kind,
        content: &mut dyn Read,
    ) -> Result<(), DatasetError> {
        let path = inside(self.archive, self.into, name)?;
        self.entries += 1;
        self.expect_entries(self.entries)?;
        let below = path.strip_prefix(self.into).unwrap_or(&path);
        let new = self.names.insert(below.to_string_lossy().to_lowercase());
        match kind {
            Kind::Other => Err(self.bad(format!("{name:?} is neither a file nor a folder"))),
            Kind::File if !new => Err(self.bad(format!(
                "the name {name:?} appears twice, case aside; nothing of it is used"
            ))),
            Kind::File => self.write(content, &path),
            Kind::Folder => fs::create_dir_all(&path).map_err(|e| DatasetError::open(&path, e)),
        }
    }

    /// Writes a file, which must be new.
    fn write(&mut self, content: &mut dyn Read, path: &Path) -> Result<(), DatasetError> {
        let fail = |e| DatasetError::open(path, e);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(fail)?;
        }
        let mut out = File::options().write(true).create_new(true).open(path).map_err(fail)?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            let n = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(self.bad(format!("cannot be unpacked: {e}"))),
            };
            let Some(left) = self.left.checked_sub(n as u64) else {
                return Err(self.bad(format!(
                    "more comes out of it than {EXPANSION} times its length: it is made to fill disks"
                )));
            };
            self.left = left;
            out.write_all(&buffer[..n]).map_err(fail)?;
            (self.progress)(n as u64);
        }
        out.sync_all().map_err(fail)
    }
}

/// Entries that the directory of a ZIP archive lists, which begins at `start`.
fn listed(mut file: impl Read + Seek, start: u64) -> io::Result<usize> {
    /// Bytes of an entry before its name, which begin with these.
    const HEAD: usize = 46;
    const SIGNATURE: [u8; 4] = *b"PK\x01\x02";
    file.seek(SeekFrom::Start(start))?;
    let mut entries = 0;
    loop {
        let mut head = [0; HEAD];
        let mut have = 0;
        while have < HEAD {
            match file.read(&mut head[have..])? {
                0 => return Ok(entries),
                n => have += n,
            }
        }
        if head[..4] != SIGNATURE {
            return Ok(entries);
        }
        entries += 1;
        let number = |at: usize| i64::from(u16::from_le_bytes([head[at], head[at + 1]]));
        // Name, extra field and comment.
        file.seek(SeekFrom::Current(number(28) + number(30) + number(32)))?;
    }
}

/// Where an entry goes; an error where that is outside of `into`.
fn inside(archive: &Path, into: &Path, name: &str) -> Result<PathBuf, DatasetError> {
    let bad = |what: &str| DatasetError::Archive {
        path: archive.to_owned(),
        what: format!("the name {name:?} {what}; nothing of it is used"),
    };
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
    if !good {
        return Err(bad("leads out of its folder"));
    }
    if name.chars().any(char::is_control) {
        return Err(bad("has control characters"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compressed, with the checksum of the content changed by this.
    fn packed(change: u8) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o644);
        tar.append_data(&mut header, "a.txt", &b"text"[..]).unwrap();
        let content = tar.into_inner().unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&content).unwrap();
        let mut bytes = gz.finish().unwrap();
        let crc = bytes.len() - 8;
        bytes[crc] ^= change;
        bytes
    }

    #[test]
    fn the_checksum_of_the_stream_is_compared() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.tar.gz");
        for (change, good) in [(0, true), (1, false)] {
            fs::write(&archive, packed(change)).unwrap();
            let into = folder.path().join(change.to_string());
            let unpacked = tar_gz(&archive, &into, &mut |_| {});
            assert_eq!(unpacked.is_ok(), good, "{unpacked:?}");
        }
        let mut cut = packed(0);
        cut.truncate(cut.len() - 2);
        fs::write(&archive, cut).unwrap();
        assert!(tar_gz(&archive, &folder.path().join("cut"), &mut |_| {}).is_err());
    }

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
        let error = inside(archive, into, "a\x1b[31m").unwrap_err().to_string();
        assert!(error.contains("control characters") && !error.contains('\x1b'), "{error}");
    }
}
