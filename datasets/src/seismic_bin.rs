//! Seismic's inner binary format, all numbers little-endian:
//!
//! ```text
//! u32 n, then n times: u32 nnz, nnz * u32 component, nnz * f32 value
//! ```
//!
//! Components usually ascend; those that do not are sorted, and one that is repeated is summed, as in
//! `.csr`.
//!
//! Lengths are foreign numbers: a vector's bytes are read before room for all of them is taken,
//! so a wrong length costs no more memory than the file has bytes.

use std::fmt;
use std::io::{BufRead, ErrorKind, Read};
use std::path::{Path, PathBuf};

use quarry_vectors::{SparseVector, VectorError};

use crate::error::{DatasetError, Position};
use crate::input::{Input, count};

/// The longest vector that is read from a binary file, in components: 33,554,432.
pub const MAX_COMPONENTS: u64 = 1 << 25;

pub(crate) struct SeismicBin {
    bytes: Bytes,
    documents: u64,
    next: u64,
}

impl fmt::Debug for SeismicBin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeismicBin")
            .field("documents", &self.documents)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl SeismicBin {
    pub(crate) fn new(input: Input) -> Result<Self, DatasetError> {
        let plain_size = (!input.compressed()).then(|| input.progress().total());
        let mut bytes = Bytes::new(input);
        let documents = u64::from(bytes.u32(Position::Start, "the number of vectors")?);
        // Every vector takes 4 bytes at least, so a number that cannot be is found at once.
        if plain_size.is_some_and(|size| size < 4 + 4 * documents) {
            return Err(DatasetError::Truncated {
                path: bytes.path,
                at: Position::Start,
                expected: "the number of vectors that its head announces",
            });
        }
        Ok(Self { bytes, documents, next: 0 })
    }

    pub(crate) fn documents(&self) -> u64 {
        self.documents
    }

    /// The next vector and its ordinal.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, SparseVector)>, DatasetError> {
        let ordinal = self.next;
        let at = Position::Ordinal(ordinal);
        if ordinal == self.documents {
            return self.bytes.expect_end(at).map(|()| None);
        }
        let length = u64::from(self.bytes.u32(at, "a vector's length")?);
        if length > MAX_COMPONENTS {
            let found = length.to_string();
            return Err(self.bytes.malformed(at, "at most 33554432 components", &found));
        }
        let terms = self.bytes.words(length, at, u32::from_le_bytes)?;
        let weights = self.bytes.words(length, at, f32::from_le_bytes)?;
        let vector = if terms.windows(2).all(|w| w[0] < w[1]) {
            SparseVector::new(terms, weights)
        } else {
            SparseVector::from_pairs(terms.into_iter().zip(weights))
        };
        let vector = vector.map_err(|e| refuse(self.bytes.path(), at, &e))?;
        self.next += 1;
        Ok(Some((ordinal, vector)))
    }
}

/// A vector's own error, with its place.
pub(crate) fn refuse(path: &Path, at: Position, error: &VectorError) -> DatasetError {
    match error {
        VectorError::Weight { term, found, .. } => DatasetError::Weight {
            path: path.to_owned(),
            at,
            term: term.to_string(),
            found: *found,
        },
        VectorError::Lengths { .. } | VectorError::Order { .. } | VectorError::Overflow { .. } => {
            DatasetError::malformed(
                path,
                at,
                "ascending components with finite weights",
                &error.to_string(),
            )
        }
    }
}

/// Little-endian numbers from a stream.
pub(crate) struct Bytes {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    buffer: Vec<u8>,
}

impl Bytes {
    pub(crate) fn new(input: Input) -> Self {
        let path = input.path().to_owned();
        Self { path, reader: input.into_reader(), buffer: Vec::new() }
    }

    /// Reads on from wherever `reader` stands.
    pub(crate) fn over(path: &Path, reader: Box<dyn BufRead + Send>) -> Self {
        Self { path: path.to_owned(), reader, buffer: Vec::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn malformed(
        &self,
        at: Position,
        expected: &'static str,
        found: &str,
    ) -> DatasetError {
        DatasetError::malformed(&self.path, at, expected, found)
    }

    pub(crate) fn u32(
        &mut self,
        at: Position,
        expected: &'static str,
    ) -> Result<u32, DatasetError> {
        let mut word = [0; 4];
        self.exact(&mut word, at, expected)?;
        Ok(u32::from_le_bytes(word))
    }

    pub(crate) fn i64(
        &mut self,
        at: Position,
        expected: &'static str,
    ) -> Result<i64, DatasetError> {
        let mut word = [0; 8];
        self.exact(&mut word, at, expected)?;
        Ok(i64::from_le_bytes(word))
    }

    /// `length` words of four bytes.
    pub(crate) fn words<T>(
        &mut self,
        length: u64,
        at: Position,
        decode: fn([u8; 4]) -> T,
    ) -> Result<Vec<T>, DatasetError> {
        self.buffer.clear();
        (&mut self.reader)
            .take(4 * length)
            .read_to_end(&mut self.buffer)
            .map_err(|e| self.failed(at, "the end of the vector", e))?;
        if count(self.buffer.len()) < 4 * length {
            return Err(self.failed(at, "the end of the vector", ErrorKind::UnexpectedEof.into()));
        }
        let words = self.buffer.as_chunks::<4>().0;
        Ok(words.iter().map(|word| decode(*word)).collect())
    }

    /// A number of protocol buffers' framing: a varint of at most 31 bits.
    pub(crate) fn varint(
        &mut self,
        at: Position,
        expected: &'static str,
    ) -> Result<u64, DatasetError> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let mut byte = [0];
            self.exact(&mut byte, at, expected)?;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return if value <= i32::MAX as u64 {
                    Ok(value)
                } else {
                    Err(self.malformed(at, "a length of at most 2147483647", &value.to_string()))
                };
            }
        }
        Err(self.malformed(at, "a length of at most five bytes", "a longer one"))
    }

    /// The next `length` bytes; room is taken for those that are there.
    pub(crate) fn chunk(
        &mut self,
        length: u64,
        at: Position,
        expected: &'static str,
    ) -> Result<&[u8], DatasetError> {
        self.buffer.clear();
        (&mut self.reader)
            .take(length)
            .read_to_end(&mut self.buffer)
            .map_err(|e| self.failed(at, expected, e))?;
        if count(self.buffer.len()) < length {
            return Err(self.failed(at, expected, ErrorKind::UnexpectedEof.into()));
        }
        Ok(&self.buffer)
    }

    /// Passes over `length` bytes.
    pub(crate) fn skip(&mut self, length: u64, at: Position) -> Result<(), DatasetError> {
        let mut left = length;
        while left > 0 {
            let had = match self.reader.fill_buf() {
                Ok([]) => {
                    return Err(self.failed(at, "its arrays", ErrorKind::UnexpectedEof.into()));
                }
                Ok(buffer) => count(buffer.len()).min(left),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(self.failed(at, "its arrays", e)),
            };
            self.reader.consume(usize::try_from(had).unwrap_or(usize::MAX));
            left -= had;
        }
        Ok(())
    }

    /// Refuses what follows the last record.
    pub(crate) fn expect_end(&mut self, at: Position) -> Result<(), DatasetError> {
        match self.reader.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.malformed(at, "the end of the file", "more bytes")),
            Err(e) => Err(self.failed(at, "its end", e)),
        }
    }

    fn exact(
        &mut self,
        word: &mut [u8],
        at: Position,
        expected: &'static str,
    ) -> Result<(), DatasetError> {
        self.reader.read_exact(word).map_err(|e| self.failed(at, expected, e))
    }

    fn failed(&self, at: Position, expected: &'static str, source: std::io::Error) -> DatasetError {
        let path = self.path.clone();
        if source.kind() == ErrorKind::UnexpectedEof {
            DatasetError::Truncated { path, at, expected }
        } else {
            DatasetError::Read { path, at, source }
        }
    }
}
