//! The envelope of every binary file of an index: header, aligned sections, table, trailer.
//!
//! 1. header (64 bytes): magic, container version, part kind and version
//! 2. sections, each beginning at a multiple of 64 bytes, zeros between
//! 3. section table: name, offset, length
//! 4. trailer (64 bytes): table's place, documents, end magic, XXH3-64 of all bytes before it
//!
//! Written front to back in one stream; FORMAT.md has the byte offsets.

use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use crate::error::IndexError;
use crate::map::MappedFile;
use crate::storage::NewFile;

#[cfg(target_endian = "big")]
compile_error!("index files are little-endian and are mapped as they are");

/// First bytes of every binary file.
const MAGIC: [u8; 8] = *b"QUARRYPT";
/// Stands at the end of every complete binary file, before the checksum.
const END_MAGIC: [u8; 8] = *b"QUARRYND";
/// Version of the envelope.
const CONTAINER_VERSION: u32 = 1;
/// Sections begin at multiples of this.
pub(crate) const ALIGN: usize = 64;

const HEADER: usize = 64;
const TRAILER: usize = 64;
const ENTRY: usize = 32;
const NAME: usize = 16;

/// Writes one file. Nothing is visible under the final name before [`PartWriter::finish`].
pub struct PartWriter {
    path: PathBuf,
    out: BufWriter<NewFile>,
    hash: Xxh3Default,
    at: u64,
    sections: Vec<([u8; NAME], u64, u64)>,
    open: bool,
    durable: bool,
}

impl std::fmt::Debug for PartWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartWriter")
            .field("path", &self.path)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Length and checksum of a part just written, for the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Length of the file.
    pub(crate) bytes: u64,
    /// XXH3-64 of all bytes but the last eight, which hold this value.
    pub(crate) checksum: u64,
}

impl PartWriter {
    /// Begins the file that will be called `path`.
    ///
    /// # Errors
    /// When no file can be created beside `path`.
    pub fn create(path: &Path, kind: &str, version: u32) -> Result<Self, IndexError> {
        let file = NewFile::create(path)?;
        let mut writer = Self {
            path: path.to_path_buf(),
            out: BufWriter::with_capacity(1 << 20, file),
            hash: Xxh3Default::new(),
            at: 0,
            sections: Vec::new(),
            open: false,
            durable: false,
        };
        let mut header = [0u8; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&CONTAINER_VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&version.to_le_bytes());
        header[16..32].copy_from_slice(&name(kind)?);
        writer.put(&header)?;
        Ok(writer)
    }

    /// Syncs the file when it is finished, for one that no commit names: what a commit names, it syncs
    /// ([`FolderWriter::commit`](crate::folder::FolderWriter::commit)).
    #[must_use]
    pub fn with_fsync(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Begins the next section.
    ///
    /// # Errors
    /// When the name is too long or the disk refuses.
    pub fn section(&mut self, section: &str) -> Result<(), IndexError> {
        self.close_section();
        self.pad()?;
        self.sections.push((name(section)?, self.at, 0));
        self.open = true;
        Ok(())
    }

    /// Appends bytes to the section begun last.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        debug_assert!(self.open, "a section must be begun first");
        self.put(bytes)
    }

    /// Writes a whole section.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_section<T: Pod>(&mut self, section: &str, values: &[T]) -> Result<(), IndexError> {
        self.section(section)?;
        self.write(bytemuck::cast_slice(values))
    }

    /// Writes a section of JSON.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_json<T: Serialize>(&mut self, section: &str, value: &T) -> Result<(), IndexError> {
        let bytes = serde_json::to_vec(value)
            .map_err(|e| IndexError::corrupt(&self.path, format!("section {section}: {e}")))?;
        self.put_section(section, &bytes)
    }

    /// Bytes written so far to the section begun last.
    #[must_use]
    pub(crate) fn section_len(&self) -> u64 {
        self.sections.last().map_or(0, |s| self.at - s.1)
    }

    /// Writes table and trailer, and gives the file its name, unless that exists.
    ///
    /// # Errors
    /// When the disk refuses or the name is taken.
    pub fn finish(mut self, documents: u64) -> Result<Written, IndexError> {
        self.close_section();
        self.pad()?;
        let table_at = self.at;
        let sections = std::mem::take(&mut self.sections);
        for (name, offset, bytes) in &sections {
            self.put(name)?;
            self.put(&offset.to_le_bytes())?;
            self.put(&bytes.to_le_bytes())?;
        }
        self.pad()?;
        let mut trailer = [0u8; TRAILER];
        trailer[..8].copy_from_slice(&table_at.to_le_bytes());
        trailer[8..16].copy_from_slice(&(sections.len() as u64).to_le_bytes());
        trailer[16..24].copy_from_slice(&documents.to_le_bytes());
        trailer[48..56].copy_from_slice(&END_MAGIC);
        self.put(&trailer[..56])?;
        let checksum = self.hash.digest();
        self.put(&checksum.to_le_bytes())?;
        let bytes = self.at;
        let path = self.path;
        let file = self
            .out
            .into_inner()
            .map_err(|e| IndexError::Io { path: path.clone(), source: e.into_error() })?;
        file.persist(self.durable)?;
        Ok(Written { bytes, checksum })
    }

    fn close_section(&mut self) {
        if self.open {
            if let Some(last) = self.sections.last_mut() {
                last.2 = self.at - last.1;
            }
            self.open = false;
        }
    }

    fn pad(&mut self) -> Result<(), IndexError> {
        let over = usize::try_from(self.at % ALIGN as u64).unwrap_or(0);
        if over > 0 {
            self.put(&[0u8; ALIGN][over..])?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        self.out.write_all(bytes).map_err(IndexError::io(&self.path))?;
        self.hash.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// How much of a file is checked when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// Every byte against the checksum. Cost: reads the whole file once.
    #[default]
    Full,
    /// Envelope, lengths, offsets and the checksum's copy. Cost: a few pages a file, and the tables
    /// of offsets. Damaged data then gives wrong answers; in the text part it may give an error.
    Envelope,
}

/// A mapped file whose envelope has been checked.
#[derive(Debug, Clone)]
pub struct Part {
    file: MappedFile,
    version: u32,
    documents: u64,
    checksum: u64,
    sections: Vec<([u8; NAME], Range<usize>)>,
}

impl Part {
    /// Maps and checks the file.
    ///
    /// # Errors
    /// Foreign file, newer version, cut file, damaged bytes, or another kind than expected: each
    /// its own error.
    pub fn open(
        path: &Path,
        kind: &str,
        versions: Range<u32>,
        verify: Verify,
    ) -> Result<Self, IndexError> {
        Self::of(MappedFile::open(path)?, kind, versions, verify)
    }

    /// The same of a file that is mapped already.
    pub(crate) fn of(
        file: MappedFile,
        kind: &str,
        versions: Range<u32>,
        verify: Verify,
    ) -> Result<Self, IndexError> {
        let path = file.path().to_path_buf();
        let foreign = |expected: String| IndexError::Foreign { path: path.clone(), expected };
        if file.len() < HEADER || file[..8] != MAGIC {
            return Err(foreign(format!("a `{kind}` file beginning with {:?}", ascii(&MAGIC))));
        }
        check_version(&path, "container", u32_at(&file, 8), 1..CONTAINER_VERSION + 1)?;
        let version = u32_at(&file, 12);
        let found = ascii(&file[16..32]);
        if file[16..32] != name(kind)? {
            return Err(IndexError::Swapped {
                path,
                found: format!("part kind `{found}`"),
                expected: format!("`{kind}`"),
            });
        }
        check_version(&path, kind, version, versions)?;
        if file.len() < HEADER + TRAILER || file[file.len() - 16..file.len() - 8] != END_MAGIC {
            return Err(foreign(format!(
                "{:?} before the last eight bytes: the file is incomplete",
                ascii(&END_MAGIC)
            )));
        }
        let checksum = u64_at(&file, file.len() - 8);
        if verify == Verify::Full {
            check_bytes(&file, checksum)?;
        }
        let trailer = file.len() - TRAILER;
        let documents = u64_at(&file, trailer + 16);
        let table = usize::try_from(u64_at(&file, trailer)).ok();
        let count = usize::try_from(u64_at(&file, trailer + 8)).ok();
        let entries = table
            .zip(count)
            .and_then(|(at, n)| {
                n.checked_mul(ENTRY).and_then(|b| at.checked_add(b)).map(|end| at..end)
            })
            .filter(|r| r.end <= trailer)
            .ok_or_else(|| IndexError::corrupt(&path, "the section table lies outside the file"))?;
        let mut sections = Vec::new();
        for entry in file[entries.clone()].chunks_exact(ENTRY) {
            let mut section = [0u8; NAME];
            section.copy_from_slice(&entry[..NAME]);
            let range = usize::try_from(u64_at(entry, 16))
                .ok()
                .zip(usize::try_from(u64_at(entry, 24)).ok())
                .and_then(|(at, n)| at.checked_add(n).map(|end| at..end))
                .filter(|r| r.end <= entries.start && r.start % ALIGN == 0)
                .ok_or_else(|| {
                    IndexError::corrupt(
                        &path,
                        format!("section `{}` lies outside the file", ascii(&section)),
                    )
                })?;
            sections.push((section, range));
        }
        Ok(Self { file, version, documents, checksum, sections })
    }

    /// What [`Self::open`] does beyond the envelope: refuses versions that are not `readable` and, where
    /// wanted, compares every byte with the checksum.
    pub(crate) fn check(
        &self,
        kind: &str,
        readable: Range<u32>,
        verify: Verify,
    ) -> Result<(), IndexError> {
        check_version(self.path(), kind, self.version, readable)?;
        if verify == Verify::Full { check_bytes(&self.file, self.checksum) } else { Ok(()) }
    }

    /// Copies the file into memory; see [`MappedFile::preloaded`].
    ///
    /// # Errors
    /// When memory is short.
    pub(crate) fn preload(&mut self) -> Result<(), IndexError> {
        self.file = self.file.preloaded()?;
        Ok(())
    }

    /// The file's path, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The mapping.
    #[must_use]
    pub fn file(&self) -> &MappedFile {
        &self.file
    }

    /// Version of the part's own format.
    #[must_use]
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// Number of documents (rows) that the part covers; for parts of an index, not of a segment,
    /// what the kind says.
    #[must_use]
    pub(crate) fn documents(&self) -> u64 {
        self.documents
    }

    /// The checksum that the file carries.
    #[must_use]
    pub fn checksum(&self) -> u64 {
        self.checksum
    }

    /// Where a section lies in the file, if it is there.
    #[must_use]
    pub fn section_range(&self, section: &str) -> Option<Range<usize>> {
        let wanted = name(section).ok()?;
        self.sections.iter().find(|s| s.0 == wanted).map(|s| s.1.clone())
    }

    /// A section's bytes.
    ///
    /// # Errors
    /// When the file has no such section.
    pub fn bytes(&self, section: &str) -> Result<&[u8], IndexError> {
        self.section_range(section).map(|r| &self.file[r]).ok_or_else(|| {
            IndexError::corrupt(self.path(), format!("section `{section}` is missing"))
        })
    }

    /// A section as an array.
    ///
    /// # Errors
    /// When it is missing or its length is not a multiple of the element's.
    pub fn array<T: Pod>(&self, section: &str) -> Result<&[T], IndexError> {
        bytemuck::try_cast_slice(self.bytes(section)?)
            .map_err(|e| IndexError::corrupt(self.path(), format!("section `{section}`: {e}")))
    }

    /// A section of JSON.
    ///
    /// # Errors
    /// When it is missing or does not parse.
    pub fn json<T: DeserializeOwned>(&self, section: &str) -> Result<T, IndexError> {
        serde_json::from_slice(self.bytes(section)?)
            .map_err(|e| IndexError::corrupt(self.path(), format!("section `{section}`: {e}")))
    }
}

/// Refuses a file whose bytes before the checksum do not have it. Cost: reads all of them.
fn check_bytes(file: &MappedFile, checksum: u64) -> Result<(), IndexError> {
    let found = xxh3_64(&file[..file.len() - 8]);
    if found == checksum {
        return Ok(());
    }
    let path = file.path().to_path_buf();
    Err(IndexError::Checksum { path, found: hex(found), expected: hex(checksum) })
}

/// Refuses versions outside `readable` (end exclusive).
pub(crate) fn check_version(
    path: &Path,
    what: &str,
    found: u32,
    readable: Range<u32>,
) -> Result<(), IndexError> {
    if readable.contains(&found) {
        return Ok(());
    }
    Err(IndexError::Version {
        path: path.to_path_buf(),
        what: what.to_owned(),
        found,
        oldest: readable.start,
        newest: readable.end - 1,
        derived: false,
    })
}

/// A checksum as manifests print it: 16 hexadecimal digits.
#[must_use]
pub fn hex(checksum: u64) -> String {
    format!("{checksum:016x}")
}

fn name(text: &str) -> Result<[u8; NAME], IndexError> {
    let mut out = [0u8; NAME];
    match out.get_mut(..text.len()) {
        Some(slot) => slot.copy_from_slice(text.as_bytes()),
        None => {
            return Err(IndexError::Limit {
                what: format!("length of the name `{text}`"),
                found: text.len() as u64,
                limit: NAME as u64,
            });
        }
    }
    Ok(out)
}

fn ascii(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    bytes[..end].escape_ascii().to_string()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut raw = [0u8; 4];
    raw.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(raw)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut raw = [0u8; 8];
    raw.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(raw)
}

/// Bytes of a part that were changed, with a checksum that holds again.
#[cfg(test)]
pub(crate) fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 8;
    let checksum = xxh3_64(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}
