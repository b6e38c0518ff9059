//! The sparse matrix file of the `BigANN` benchmark, all numbers little-endian:
//!
//! ```text
//! i64 rows, columns, nnz; i64 indptr[rows + 1]; i32 indices[nnz]; f32 data[nnz]
//! ```
//!
//! A row needs all three arrays, so three handles read the file side by side and memory stays
//! that of one row. A plain file is entered by seeking; a compressed one is decompressed by each
//! handle, up to its array and on.

use std::fmt;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;

use quarry_vectors::SparseVector;

use crate::error::{DatasetError, Position};
use crate::input::{Input, open_file};
use crate::seismic_bin::{Bytes, MAX_COMPONENTS, refuse};

const HEAD: u64 = 24;
const BUFFER_BYTES: usize = 1 << 18;

/// The three numbers at the head, known to be plausible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: u64,
    columns: u64,
    nnz: u64,
}

impl Shape {
    /// Takes the numbers if they can describe a matrix of terms.
    pub(crate) fn new(rows: i64, columns: i64, nnz: i64) -> Option<Self> {
        let shape = Self {
            rows: u64::try_from(rows).ok()?,
            columns: u64::try_from(columns).ok()?,
            nnz: u64::try_from(nnz).ok()?,
        };
        // Terms are i32 in the file.
        (shape.columns <= 1 << 31 && shape.size().is_some()).then_some(shape)
    }

    /// Size of the whole file in bytes.
    pub(crate) fn size(self) -> Option<u64> {
        let arrays = self.nnz.checked_mul(8)?;
        self.rows.checked_add(1)?.checked_mul(8)?.checked_add(arrays)?.checked_add(HEAD)
    }
}

pub(crate) struct BigAnnCsr {
    indptr: Bytes,
    indices: Bytes,
    data: Bytes,
    shape: Shape,
    row: u64,
    start: u64,
    file_size: u64,
}

impl fmt::Debug for BigAnnCsr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BigAnnCsr")
            .field("shape", &self.shape)
            .field("row", &self.row)
            .finish_non_exhaustive()
    }
}

impl BigAnnCsr {
    pub(crate) fn new(input: Input) -> Result<Self, DatasetError> {
        let path = input.path().to_owned();
        let compressed = input.compressed();
        let file_size = input.progress().total();
        let mut indptr = Bytes::new(input);
        let mut number = || indptr.i64(Position::Start, "rows, columns and components");
        let (rows, columns, nnz) = (number()?, number()?, number()?);
        let found = || format!("{rows} rows, {columns} columns, {nnz} components");
        let Some(shape) = Shape::new(rows, columns, nnz) else {
            return Err(DatasetError::malformed(
                &path,
                Position::Start,
                "the shape of a matrix",
                &found(),
            ));
        };
        let indices_at = HEAD + 8 * (shape.rows + 1);
        let data_at = indices_at + 4 * shape.nnz;
        let (mut indices, mut data);
        if compressed {
            (indices, data) = (Bytes::new(Input::open(&path)?), Bytes::new(Input::open(&path)?));
            indices.skip(indices_at, Position::Start)?;
            data.skip(data_at, Position::Start)?;
        } else {
            if shape.size() != Some(file_size) {
                let found = format!("{}, in {file_size} bytes", found());
                return Err(DatasetError::malformed(
                    &path,
                    Position::Start,
                    "a size of 32 + 8 * rows + 8 * components bytes (i64 indptr, i32 indices, f32 values, whole)",
                    &found,
                ));
            }
            (indices, data) = (open_at(&path, indices_at)?, open_at(&path, data_at)?);
        }
        let start = indptr.i64(Position::Start, "the first row's start")?;
        if start != 0 {
            return Err(indptr.malformed(
                Position::Start,
                "rows that start at 0",
                &start.to_string(),
            ));
        }
        Ok(Self { indptr, indices, data, shape, row: 0, start: 0, file_size })
    }

    pub(crate) fn documents(&self) -> u64 {
        self.shape.rows
    }

    /// Bytes of the file done, by the share of the content that the rows so far take up: the
    /// handles stand at three places.
    pub(crate) fn bytes_read(&self) -> u64 {
        let whole = self.shape.size().unwrap_or(u64::MAX);
        let done = HEAD + 8 * (self.row + 1) + 8 * self.start;
        let share = u128::from(self.file_size) * u128::from(done.min(whole)) / u128::from(whole);
        u64::try_from(share).unwrap_or(self.file_size)
    }

    /// The next vector and its ordinal.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, SparseVector)>, DatasetError> {
        let at = Position::Ordinal(self.row);
        if self.row == self.shape.rows {
            if self.start != self.shape.nnz {
                let found = format!("{} of {}", self.start, self.shape.nnz);
                return Err(self.indptr.malformed(at, "rows that cover all components", &found));
            }
            return self.data.expect_end(at).map(|()| None);
        }
        let end = self.indptr.i64(at, "the row's end")?;
        let length = match u64::try_from(end).ok().and_then(|end| end.checked_sub(self.start)) {
            Some(length) if length <= MAX_COMPONENTS && length <= self.shape.nnz - self.start => {
                length
            }
            _ => {
                let found = format!("{} to {end}", self.start);
                return Err(self.indptr.malformed(
                    at,
                    "a row of at most 33554432 components",
                    &found,
                ));
            }
        };
        let terms = self.indices.words(length, at, i32::from_le_bytes)?;
        let weights = self.data.words(length, at, f32::from_le_bytes)?;
        let mut pairs = Vec::with_capacity(terms.len());
        for (term, weight) in terms.into_iter().zip(weights) {
            match u32::try_from(term) {
                Ok(term) if u64::from(term) < self.shape.columns => pairs.push((term, weight)),
                _ => {
                    let found = term.to_string();
                    return Err(self.indices.malformed(at, "a column of the matrix", &found));
                }
            }
        }
        // Rows may come in any order; a column that is repeated is summed, as matrix libraries do.
        let vector =
            SparseVector::from_pairs(pairs).map_err(|e| refuse(self.data.path(), at, &e))?;
        let ordinal = self.row;
        self.row += 1;
        self.start += length;
        Ok(Some((ordinal, vector)))
    }
}

fn open_at(path: &Path, offset: u64) -> Result<Bytes, DatasetError> {
    let mut file = open_file(path)?;
    file.seek(SeekFrom::Start(offset)).map_err(|e| DatasetError::open(path, e))?;
    Ok(Bytes::over(path, Box::new(BufReader::with_capacity(BUFFER_BYTES, file))))
}
