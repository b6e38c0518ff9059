//! The part is written in one pass over the documents, in the segment's order: each section goes
//! into a nameless temporary file first, so that memory holds one document.

use std::path::{Path, PathBuf};

use half::f16;
use quarry_vectors::TokenEmbeddings;

use super::layout::{Form, KIND, MOST_DIMS, MOST_ROWS, PAD, TokensMeta, VERSION};
use super::residual::{NORMAL, nearest, quantize};
use crate::container::{PartWriter, Written};
use crate::error::IndexError;
use crate::spill::Spill;

/// Shorter rows have no direction that half precision could keep.
const LEAST_NORM: f64 = 1e-4;

/// Centroids of the form `4bit`: `values.len() / dims` of them.
#[derive(Debug, Clone, Default)]
pub struct Centroids {
    /// Row by row, without padding.
    pub values: Vec<f32>,
}

/// What is stored, and of what.
#[derive(Debug, Clone)]
pub struct TokensOptions {
    /// Dimensions of a row.
    pub dims: usize,
    /// The forms; at least one.
    pub forms: Vec<Form>,
    /// How many rows a pooled row stands for, for the record; the rows given are pooled already.
    pub pool: usize,
    /// For the form `4bit`.
    pub centroids: Centroids,
    /// Where the embeddings come from.
    pub source: serde_json::Value,
}

/// Why a document's rows are not stored.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// Other dimensions than the part's.
    #[error("rows of {found} dimensions, expected {expected}")]
    Dims {
        /// Of the document.
        found: usize,
        /// Of the part.
        expected: usize,
    },
    /// Zero, or too long for the form.
    #[error("row {row} {what}")]
    Row {
        /// The row, from 0.
        row: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// More rows than the format takes.
    #[error("{found} rows, the format takes {MOST_ROWS} a document")]
    Rows {
        /// Rows of the document.
        found: usize,
    },
    /// The disk.
    #[error(transparent)]
    Index(#[from] IndexError),
}

#[derive(Debug)]
struct Column {
    section: &'static str,
    out: Spill,
}

/// Writes the token embeddings of one segment.
#[derive(Debug)]
pub struct TokensWriter {
    path: PathBuf,
    meta: TokensMeta,
    starts: Vec<u64>,
    columns: Vec<Column>,
    centroids: Vec<f32>,
    max_norm: f64,
    error: f64,
    row: Scratch,
}

#[derive(Debug, Default)]
struct Scratch {
    /// The row rounded to half precision, which all forms stand for.
    values: Vec<f32>,
    bytes: Vec<u8>,
    nibbles: Vec<u8>,
}

impl TokensWriter {
    /// Begins the part that will be called `path`.
    ///
    /// # Errors
    /// When the numbers are out of range or the disk refuses.
    pub fn create(path: &Path, options: TokensOptions) -> Result<Self, IndexError> {
        let limit = |what: &str, found: usize, limit: usize| IndexError::Limit {
            what: what.into(),
            found: found as u64,
            limit: limit as u64,
        };
        if options.dims == 0 || options.dims > MOST_DIMS {
            return Err(limit("dimensions of a token embedding", options.dims, MOST_DIMS));
        }
        let mut forms = options.forms;
        forms.sort_unstable();
        forms.dedup();
        if forms.is_empty() {
            return Err(IndexError::corrupt(path, "token embeddings need a form to be stored in"));
        }
        let (dims, stride) = (options.dims, options.dims.next_multiple_of(PAD));
        let mut centroids: Vec<f32> = Vec::new();
        if forms.contains(&Form::Residual) {
            for centroid in options.centroids.values.chunks_exact(dims) {
                centroids.extend(centroid);
                centroids.resize(centroids.len().next_multiple_of(stride), 0.0);
            }
            if centroids.is_empty() {
                centroids.resize(stride, 0.0);
            }
        }
        let sections: Vec<&'static str> = forms
            .iter()
            .flat_map(|form| match form {
                Form::Int8 => vec!["i8.rows", "i8.scale", "i8.error"],
                Form::Fp16 => vec!["f16.rows"],
                Form::Residual => vec!["r4.rows", "r4.scale", "r4.centroid"],
                Form::Sign => vec!["b1.rows", "b1.scale"],
            })
            .collect();
        let columns = sections
            .into_iter()
            .map(|section| Ok::<_, IndexError>(Column { section, out: Spill::beside(path)? }))
            .collect::<Result<_, _>>()?;
        let meta = TokensMeta {
            dims,
            stride,
            tokens: 0,
            longest: 0,
            forms,
            max_norm: 0.0,
            mean_error: 0.0,
            pool: options.pool.max(1),
            centroids: centroids.len() / stride,
            source: options.source,
        };
        Ok(Self {
            path: path.to_path_buf(),
            meta,
            starts: vec![0],
            columns,
            centroids,
            max_norm: 0.0,
            error: 0.0,
            row: Scratch::default(),
        })
    }

    /// Documents so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the next document of the segment; without rows if it has none.
    ///
    /// # Errors
    /// When a row is zero, too long, or of other dimensions; or the disk refuses.
    pub fn push(&mut self, document: &TokenEmbeddings) -> Result<(), RowError> {
        if !document.is_empty() && document.dims() != self.meta.dims {
            return Err(RowError::Dims { found: document.dims(), expected: self.meta.dims });
        }
        if document.len() > MOST_ROWS {
            return Err(RowError::Rows { found: document.len() });
        }
        for (number, row) in document.rows().enumerate() {
            let norm = norm(row);
            let wrong = if norm < LEAST_NORM {
                Some("is (nearly) zero: it has no direction to compare; leave such rows out")
            } else if row.iter().any(|v| v.abs() > f32::from(f16::MAX)) {
                Some("has a value beyond the range of half precision")
            } else {
                None
            };
            if let Some(what) = wrong {
                return Err(RowError::Row { row: number, what });
            }
            self.put(row)?;
        }
        self.meta.tokens += document.len() as u64;
        self.meta.longest = self.meta.longest.max(document.len() as u64);
        self.starts.push(self.meta.tokens);
        Ok(())
    }

    fn put(&mut self, row: &[f32]) -> Result<(), IndexError> {
        let stride = self.meta.stride;
        let scratch = &mut self.row;
        scratch.values.clear();
        scratch.values.extend(row);
        scratch.values.resize(stride, 0.0);
        for value in &mut scratch.values {
            *value = f16::from_f32(*value).to_f32();
        }
        self.max_norm = self.max_norm.max(norm(&scratch.values));
        let mut columns = self.columns.iter_mut();
        let mut write = |bytes: &[u8]| match columns.next() {
            Some(column) => column.out.write(bytes),
            None => Ok(()),
        };
        for form in &self.meta.forms {
            scratch.bytes.clear();
            match form {
                Form::Int8 => {
                    let (scale, error, length) = int8(&scratch.values, &mut scratch.bytes);
                    self.error += f64::from(error);
                    self.max_norm = self.max_norm.max(length);
                    write(&scratch.bytes)?;
                    write(&scale.to_le_bytes())?;
                    write(&error.to_le_bytes())?;
                }
                Form::Fp16 => {
                    for value in &scratch.values {
                        let bits = f16::from_f32(*value).to_bits();
                        scratch.bytes.extend(bits.to_le_bytes());
                    }
                    write(&scratch.bytes)?;
                }
                Form::Residual => {
                    let number = nearest(&scratch.values, &self.centroids, stride);
                    let at = number as usize * stride;
                    let centroid = &self.centroids[at..at + stride];
                    let rest: Vec<f32> =
                        scratch.values.iter().zip(centroid).map(|(v, c)| v - c).collect();
                    let scale = quantize(&rest[..self.meta.dims], &mut scratch.nibbles);
                    scratch.nibbles.resize(stride, 0);
                    let (low, high) = scratch.nibbles.split_at(stride / 2);
                    scratch.bytes.extend(low.iter().zip(high).map(|(l, h)| l | h << 4));
                    write(&scratch.bytes)?;
                    write(&scale.to_le_bytes())?;
                    write(&number.to_le_bytes())?;
                }
                Form::Sign => {
                    let values = &scratch.values;
                    let bits = |v: &[f32]| {
                        v.iter().enumerate().fold(0u8, |b, (i, v)| b | u8::from(*v > 0.0) << i)
                    };
                    scratch.bytes.extend(values.chunks(8).map(bits));
                    write(&scratch.bytes)?;
                    write(&mean_magnitude(&values[..self.meta.dims]).to_le_bytes())?;
                }
            }
        }
        Ok(())
    }

    /// Ends the part.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> Result<(Written, TokensMeta), IndexError> {
        self.meta.max_norm = up(self.max_norm);
        if self.meta.tokens > 0 && self.meta.forms.contains(&Form::Int8) {
            #[expect(clippy::cast_precision_loss, reason = "a mean")]
            let n = self.meta.tokens as f64;
            self.meta.mean_error = self.error / n;
        }
        let mut part = PartWriter::create(&self.path, KIND, VERSION)?;
        part.put_section("starts", &self.starts)?;
        for column in self.columns {
            part.section(column.section)?;
            column.out.copy_into(&mut part)?;
        }
        if self.meta.forms.contains(&Form::Residual) {
            part.put_section("r4.centroids", &self.centroids)?;
            part.put_section("r4.levels", &NORMAL)?;
        }
        part.put_json("meta", &self.meta)?;
        let written = part.finish(self.starts.len() as u64 - 1)?;
        Ok((written, self.meta))
    }
}

/// Appends a row's int8 values; gives its scale, an upper bound of the distance to it, and the
/// length of what is stored.
#[expect(clippy::cast_possible_truncation, reason = "clamped to -127..=127 first; scales are f32")]
fn int8(row: &[f32], out: &mut Vec<u8>) -> (f32, f32, f64) {
    let largest = row.iter().fold(0f32, |most, v| most.max(v.abs()));
    let scale = (f64::from(largest) / 127.0) as f32;
    let (mut square, mut length) = (0.0, 0.0);
    for value in row {
        let level = (f64::from(*value) / f64::from(scale)).round().clamp(-127.0, 127.0);
        let stands_for = level * f64::from(scale);
        square += (f64::from(*value) - stands_for).powi(2);
        length += stands_for * stands_for;
        out.push((level as i8).cast_unsigned());
    }
    (scale, up(square.sqrt()), length.sqrt())
}

/// The scale that brings a row's signs nearest to it.
#[expect(clippy::cast_possible_truncation, reason = "a scale is rounded to f32 once")]
#[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
fn mean_magnitude(row: &[f32]) -> f32 {
    (row.iter().map(|v| f64::from(v.abs())).sum::<f64>() / row.len().max(1) as f64) as f32
}

fn norm(row: &[f32]) -> f64 {
    row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt()
}

/// The next f32 that is surely not below a sum computed in f64.
#[expect(clippy::cast_possible_truncation, reason = "goes up to the next f32 afterwards")]
fn up(value: f64) -> f32 {
    ((value * (1.0 + 1e-12)) as f32).next_up()
}
