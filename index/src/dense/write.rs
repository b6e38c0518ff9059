//! The part is written in one pass over the rows, in the segment's order; memory holds one row, a scale a row
//! and a bit a row.

use std::path::Path;

use half::f16;
use quarry_vectors::DenseVector;

use super::layout::{DenseMeta, DenseStorage, KIND, MOST_DIMS, PAD, VERSION};
use crate::container::{PartWriter, Written};
use crate::error::IndexError;

/// What is stored, and of what.
#[derive(Debug, Clone)]
pub struct DenseOptions {
    /// Dimensions of a vector.
    pub dims: usize,
    /// How vectors are stored.
    pub storage: DenseStorage,
    /// Where they come from.
    pub source: serde_json::Value,
}

/// Why a row's vector is not stored.
#[derive(Debug, thiserror::Error)]
pub enum DenseRowError {
    /// Other dimensions than the part's.
    #[error("{found} dimensions, expected {expected}")]
    Dims {
        /// Of the vector.
        found: usize,
        /// Of the part.
        expected: usize,
    },
    /// The form cannot hold it.
    #[error("it {what}")]
    Values {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The disk.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Writes the dense vectors of one segment.
#[derive(Debug)]
pub struct DenseWriter {
    part: PartWriter,
    meta: DenseMeta,
    rows: u64,
    scales: Vec<f32>,
    /// Bit `row % 64` of word `row / 64`: whether the row has a vector.
    present: Vec<u64>,
    bytes: Vec<u8>,
}

impl DenseWriter {
    /// Begins the part that will be called `path`.
    ///
    /// # Errors
    /// When there are too many dimensions, or none, or the disk refuses.
    pub fn create(path: &Path, options: DenseOptions) -> Result<Self, IndexError> {
        let DenseOptions { dims, storage, source } = options;
        if dims == 0 || dims > MOST_DIMS {
            return Err(IndexError::Limit {
                what: "dimensions of a dense vector".into(),
                found: dims as u64,
                limit: MOST_DIMS as u64,
            });
        }
        let mut part = PartWriter::create(path, KIND, VERSION)?;
        part.section("rows")?;
        let stride = dims.next_multiple_of(PAD);
        let meta = DenseMeta { dims, stride, vectors: 0, storage, source };
        let (scales, present, bytes) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { part, meta, rows: 0, scales, present, bytes })
    }

    /// Rows so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Appends the vector of the segment's next row; `None` for one without.
    ///
    /// # Errors
    /// When it has other dimensions, the form cannot hold it, or the disk refuses.
    pub fn push(&mut self, vector: Option<&DenseVector>) -> Result<(), DenseRowError> {
        let DenseMeta { dims, stride, storage, .. } = self.meta;
        self.bytes.clear();
        let mut scale = 0.0;
        if let Some(vector) = vector {
            if vector.dims() != dims {
                return Err(DenseRowError::Dims { found: vector.dims(), expected: dims });
            }
            scale = stored(vector.values(), storage, &mut self.bytes)
                .map_err(|what| DenseRowError::Values { what })?;
        }
        self.bytes.resize(stride * storage.bytes(), 0);
        self.part.write(&self.bytes)?;
        self.put(vector.is_some(), scale);
        Ok(())
    }

    /// Appends a row as another part of the same form has it.
    pub(super) fn copy(
        &mut self,
        present: bool,
        scale: f32,
        bytes: &[u8],
    ) -> Result<(), IndexError> {
        self.part.write(bytes)?;
        self.put(present, scale);
        Ok(())
    }

    fn put(&mut self, present: bool, scale: f32) {
        if self.rows.is_multiple_of(64) {
            self.present.push(0);
        }
        if let Some(word) = self.present.last_mut() {
            *word |= u64::from(present) << (self.rows % 64);
        }
        if self.meta.storage == DenseStorage::Int8 {
            self.scales.push(scale);
        }
        self.rows += 1;
        self.meta.vectors += u64::from(present);
    }

    /// Ends the part.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> Result<(Written, DenseMeta), IndexError> {
        if self.meta.storage == DenseStorage::Int8 {
            self.part.put_section("scale", &self.scales)?;
        }
        self.part.put_section("present", &self.present)?;
        self.part.put_json("meta", &self.meta)?;
        Ok((self.part.finish(self.rows)?, self.meta))
    }
}

/// Appends a vector's bytes; gives the scale of int8.
#[expect(clippy::cast_possible_truncation, reason = "clamped to -127..=127 first; scales are f32")]
fn stored(values: &[f32], storage: DenseStorage, out: &mut Vec<u8>) -> Result<f32, &'static str> {
    match storage {
        DenseStorage::Int8 => {
            let largest = values.iter().fold(0f32, |most, value| most.max(value.abs()));
            let scale = (f64::from(largest) / 127.0) as f32;
            if scale < f32::MIN_POSITIVE {
                return Err("is too small for int8; bring it to length one");
            }
            out.extend(values.iter().map(|value| {
                let level = (f64::from(*value) / f64::from(scale)).round().clamp(-127.0, 127.0);
                (level as i8).cast_unsigned()
            }));
            return Ok(scale);
        }
        DenseStorage::Fp16 => {
            if values.iter().any(|value| value.abs() > f32::from(f16::MAX)) {
                return Err(
                    "has a value beyond the range of half precision; bring it to length one",
                );
            }
            let halves = values.iter().map(|value| f16::from_f32(*value));
            out.extend(halves.clone().flat_map(|half| half.to_bits().to_le_bytes()));
            if halves.map(f16::to_f32).all(|value| value == 0.0) {
                return Err("is too small for half precision; bring it to length one");
            }
        }
        DenseStorage::Fp32 => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
    }
    Ok(0.0)
}
