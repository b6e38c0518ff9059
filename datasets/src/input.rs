//! A file opened for reading once through, whatever its compression.
//!
//! 1. the first bytes say whether it is plain, gzip (of one or many members) or Zstandard
//! 2. the bytes of the file itself are counted on their way in, for progress
//! 3. the first bytes of the *content* are kept, so that formats can be told apart without
//!    opening the file a second time

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::error::{DatasetError, Position};
use crate::foreign::{self, Foreign};

/// Content kept for telling formats apart.
const HEAD_BYTES: u64 = 1 << 16;
const BUFFER_BYTES: usize = 1 << 18;

/// How many bytes of a file have been read, of how many.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    total: u64,
    read: Arc<AtomicU64>,
}

impl Progress {
    /// Size of the file on disk, compressed if it is.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Bytes of the file on disk taken so far; runs ahead by a buffer.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// A file's content, decompressed.
pub(crate) struct Input {
    path: PathBuf,
    head: Vec<u8>,
    rest: Box<dyn BufRead + Send>,
    progress: Progress,
    compressed: bool,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Self, DatasetError> {
        let fail = |e| DatasetError::open(path, e);
        let mut file = open_file(path)?;
        let progress =
            Progress { total: file.metadata().map_err(fail)?.len(), read: Arc::default() };
        let mut magic = Vec::new();
        (&mut file).take(4).read_to_end(&mut magic).map_err(fail)?;
        progress.read.store(count(magic.len()), Ordering::Relaxed);

        let kind = Compression::of(&magic);
        let file = Counted { inner: file, read: Arc::clone(&progress.read) };
        let raw = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(magic).chain(file));
        let mut rest: Box<dyn BufRead + Send> = match kind {
            Compression::None => Box::new(raw),
            Compression::Gzip => Box::new(buffered(MultiGzDecoder::new(raw))),
            Compression::Zstd => {
                Box::new(buffered(zstd::stream::read::Decoder::with_buffer(raw).map_err(fail)?))
            }
        };
        let mut head = Vec::new();
        rest.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(|source| {
            DatasetError::Read { path: path.to_owned(), at: Position::Start, source }
        })?;
        Ok(Self {
            path: path.to_owned(),
            head,
            rest,
            progress,
            compressed: kind != Compression::None,
        })
    }

    /// Opens a file that must hold text; one of another kind is refused by what it is.
    pub(crate) fn open_text(path: &Path) -> Result<Self, DatasetError> {
        let input = Self::open(path)?;
        input.refuse_foreign()?;
        Ok(input)
    }

    /// Refuses content of a kind that no reader takes.
    pub(crate) fn refuse_foreign(&self) -> Result<(), DatasetError> {
        match foreign::of_bytes(&self.head) {
            None => Ok(()),
            Some(Foreign { what, hint }) => {
                Err(DatasetError::OtherKind { path: self.path.clone(), what, hint })
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The first bytes of the content, up to 64 KiB.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Whether the file on disk is compressed.
    pub(crate) fn compressed(&self) -> bool {
        self.compressed
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// The content from its beginning.
    pub(crate) fn into_reader(self) -> Box<dyn BufRead + Send> {
        Box::new(Cursor::new(self.head).chain(self.rest))
    }
}

/// Opens a file to read it. What is not a file is refused at once: a pipe would wait for somebody to
/// write to it, a device may never end.
pub(crate) fn open_file(path: &Path) -> Result<File, DatasetError> {
    let fail = |e| DatasetError::open(path, e);
    let kind = std::fs::metadata(path).map_err(fail)?.file_type();
    if kind.is_file() {
        return File::open(path).map_err(fail);
    }
    let what = if kind.is_dir() { "a folder" } else { "a pipe or a device" };
    let what = format!("it is {what}, a file was expected");
    Err(fail(io::Error::new(io::ErrorKind::InvalidInput, what)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    fn of(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // An ordinary frame, or the skippable one that parallel compressors put first.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            _ => Self::None,
        }
    }
}

fn buffered<R: Read>(reader: R) -> BufReader<R> {
    BufReader::with_capacity(BUFFER_BYTES, reader)
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.read.fetch_add(count(n), Ordering::Relaxed);
        Ok(n)
    }
}

/// A length in memory as a file length; lossless wherever Rust runs.
pub(crate) fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn content(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        let input = Input::open(&path).map_err(|e| io::Error::other(e.to_string()))?;
        let progress = input.progress();
        let mut out = Vec::new();
        input.into_reader().read_to_end(&mut out)?;
        assert_eq!((progress.read(), progress.total()), (count(bytes.len()), count(bytes.len())));
        Ok(out)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        w.write_all(bytes).unwrap();
        w.finish().unwrap()
    }

    #[test]
    fn compression_is_recognised_by_content() {
        let long: Vec<u8> = (0u8..=255).cycle().take(300_000).collect();
        for text in [&b""[..], b"a", b"abc\n", &long] {
            assert_eq!(content(text).unwrap(), text);
            assert_eq!(content(&gzip(text)).unwrap(), text);
            assert_eq!(content(&zstd::encode_all(text, 1).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn all_members_are_read() {
        let gz = [gzip(b"one\n"), gzip(b""), gzip(b"two\n")].concat();
        assert_eq!(content(&gz).unwrap(), b"one\ntwo\n");
        let frame = |b: &[u8]| zstd::encode_all(b, 1).unwrap();
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9].to_vec();
        let zst = [skippable, frame(b"one\n"), frame(b"two\n")].concat();
        assert_eq!(content(&zst).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn cut_and_damaged_data_are_refused() {
        let text: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        for whole in [gzip(&text), zstd::encode_all(&text[..], 1).unwrap()] {
            for cut in [5, 20, whole.len() / 2, whole.len() - 1] {
                assert!(content(&whole[..cut]).is_err(), "cut at {cut} of {}", whole.len());
            }
        }
        let mut damaged = gzip(&text);
        let at = damaged.len() - 6; // inside the checksum
        damaged[at] ^= 1;
        assert!(content(&damaged).is_err());
    }
}
