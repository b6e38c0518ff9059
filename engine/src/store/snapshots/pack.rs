//! A snapshot as an archive.
//!
//! A tar: `snapshot.json`, the files of the index in the order that it lists, `SHA256SUMS` (as `sha256sum -c` reads it). Each
//! part of the index is compared with its checksum on the way, so that damage is found when a backup is made. What cannot be
//! read ends the archive in the middle.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use quarry_index::PartChecksum;
use quarry_index::folder::{Lease, read_current};
use sha2::{Digest, Sha256};

use super::super::StoreError;
use super::record::{RECORD, SUMS, SnapshotRecord};

/// Bytes of a tar's block; headers and contents fill whole ones.
const BLOCK: u64 = 512;
/// Longest name that a header has room for.
const LONGEST_NAME: usize = 100;

/// A snapshot that is about to be written as an archive.
#[derive(Debug)]
pub struct Packing {
    folder: PathBuf,
    record: SnapshotRecord,
    json: Vec<u8>,
    /// The checksums of parts, by their names.
    checksums: BTreeMap<String, String>,
    _lease: Lease,
}

impl Packing {
    /// Of the snapshot in `folder`.
    pub(in crate::store) fn open(
        folder: PathBuf,
        record: SnapshotRecord,
    ) -> Result<Self, StoreError> {
        let (manifest, lease) = read_current(&folder)?;
        let checksums = manifest.parts().map(|part| (part.file.clone(), part.checksum.clone()));
        let (checksums, json) = (checksums.collect(), record.json(&folder)?);
        if let Some(file) = record.files.iter().find(|file| file.name.len() > LONGEST_NAME) {
            let what = format!("`{}` is too long a name for an archive", file.name);
            return Err(StoreError::Setting { param: "snapshot", what });
        }
        Ok(Self { folder, record, json, checksums, _lease: lease })
    }

    /// What it is.
    #[must_use]
    pub fn record(&self) -> &SnapshotRecord {
        &self.record
    }

    /// Bytes of the archive.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let whole = |bytes: u64| BLOCK + bytes.div_ceil(BLOCK) * BLOCK;
        let files = &self.record.files;
        let names = files.iter().map(|file| file.name.len()).chain([RECORD.len()]);
        // 64 digits, two spaces, the name, the end of the line.
        let sums: usize = names.map(|length| 64 + 2 + length + 1).sum();
        let files = files.iter().map(|file| whole(file.bytes)).sum::<u64>();
        whole(self.json.len() as u64) + files + whole(sums as u64) + 2 * BLOCK
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// If a file is not there, is damaged or of another length, or `out` fails: the archive is incomplete then.
    pub fn write(&self, out: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(out);
        let mut sums = String::new();
        let mut sum = |digest: Sha256, name: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(sums, "{}  {name}", hex(&digest.finalize()));
        };
        self.append(&mut tar, RECORD, self.json.len() as u64, &self.json[..])?;
        sum(Sha256::new_with_prefix(&self.json), RECORD);
        for file in &self.record.files {
            let opened = File::open(self.folder.join(&file.name))?;
            let mut passing = Passing {
                inner: opened.take(file.bytes),
                digest: Sha256::new(),
                checksum: PartChecksum::of(&file.name),
                bytes: 0,
            };
            self.append(&mut tar, &file.name, file.bytes, &mut passing)?;
            let damaged = |what: &str| io::Error::other(format!("{}: {what}", file.name));
            if passing.bytes != file.bytes {
                return Err(damaged("it is shorter than it was"));
            }
            let wanted = self.checksums.get(&file.name);
            if wanted.is_some_and(|wanted| *wanted != passing.checksum.finish()) {
                return Err(damaged("it is damaged: its checksum is another"));
            }
            sum(passing.digest, &file.name);
        }
        self.append(&mut tar, SUMS, sums.len() as u64, sums.as_bytes())?;
        tar.into_inner()?.flush()
    }

    fn append(
        &self,
        tar: &mut tar::Builder<impl Write>,
        name: &str,
        bytes: u64,
        content: impl Read,
    ) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o644);
        let time = self.record.created_at.unix_timestamp();
        header.set_mtime(u64::try_from(time).unwrap_or(0));
        tar.append_data(&mut header, name, content)
    }
}

/// Bytes on their way, counted and summed.
struct Passing<R> {
    inner: R,
    digest: Sha256,
    checksum: PartChecksum,
    bytes: u64,
}

impl<R: Read> Read for Passing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digest.update(&buffer[..count]);
        self.checksum.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

/// In hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
