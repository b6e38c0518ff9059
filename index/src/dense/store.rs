//! Reading dense vectors.

use std::ops::Range;
use std::path::Path;

use half::f16;
use quarry_vectors::{DocId, MOST_DENSE_VALUE};

use super::layout::{DenseMeta, DenseStorage, KIND, MOST_DIMS, PAD, READABLE};
use crate::container::{Part, Verify};
use crate::error::IndexError;
use crate::part::SegmentPart;

/// The dense vectors of an open segment.
#[derive(Debug, Clone)]
pub struct DenseStore {
    part: Part,
    meta: DenseMeta,
    documents: usize,
    places: Places,
}

/// Where the sections lie in the file; `scale` is empty for other forms than int8.
#[derive(Debug, Clone, Default)]
struct Places {
    rows: Range<usize>,
    scale: Range<usize>,
    present: Range<usize>,
}

/// The stored rows, `stride` values each, for kernels. Those without a vector are zero.
#[derive(Debug, Clone, Copy)]
pub enum DenseRows<'a> {
    /// Row `r` is `scales[r] * rows[r * stride..][..stride]`.
    Int8 {
        /// Values from -127 to 127.
        rows: &'a [i8],
        /// Scale of each row.
        scales: &'a [f32],
    },
    /// Bits of half precision.
    Fp16(&'a [u16]),
    /// Single precision.
    Fp32(&'a [f32]),
}

impl DenseStore {
    /// Opens the part and checks that all rows lie inside it.
    ///
    /// # Errors
    /// As [`Part::open`]; and when sections do not fit the numbers.
    pub fn open(path: &Path, verify: Verify) -> Result<Self, IndexError> {
        Self::read(Part::open(path, KIND, READABLE, verify)?, verify)
    }

    /// What the part says of itself.
    #[must_use]
    pub fn meta(&self) -> &DenseMeta {
        &self.meta
    }

    /// Number of rows of the segment.
    #[must_use]
    pub fn documents(&self) -> usize {
        self.documents
    }

    /// Bytes of the part.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.part.file().len() as u64
    }

    /// Whether a row has a vector; `false` for one that the segment does not have.
    #[must_use]
    #[inline]
    pub fn has(&self, doc: DocId) -> bool {
        let (word, bit) = (doc.index() / 64, doc.0 % 64);
        self.present().get(word).is_some_and(|word| word >> bit & 1 == 1)
    }

    /// The stored rows.
    #[must_use]
    pub fn rows(&self) -> DenseRows<'_> {
        match self.meta.storage {
            DenseStorage::Int8 => DenseRows::Int8 {
                rows: self.array(&self.places.rows),
                scales: self.array(&self.places.scale),
            },
            DenseStorage::Fp16 => DenseRows::Fp16(self.array(&self.places.rows)),
            DenseStorage::Fp32 => DenseRows::Fp32(self.array(&self.places.rows)),
        }
    }

    /// A row's vector as it is stored, `dims` values; `None` where it has none.
    #[must_use]
    pub fn vector(&self, doc: DocId) -> Option<Vec<f32>> {
        if !self.has(doc) {
            return None;
        }
        let DenseMeta { dims, stride, .. } = self.meta;
        let at = doc.index() * stride..doc.index() * stride + dims;
        Some(match self.rows() {
            DenseRows::Int8 { rows, scales } => {
                let scale = *scales.get(doc.index())?;
                rows.get(at)?.iter().map(|value| f32::from(*value) * scale).collect()
            }
            DenseRows::Fp16(rows) => {
                rows.get(at)?.iter().map(|bits| f16::from_bits(*bits).to_f32()).collect()
            }
            DenseRows::Fp32(rows) => rows.get(at)?.to_vec(),
        })
    }

    /// A row as it lies in the file, with its scale.
    pub(super) fn raw(&self, doc: DocId) -> Option<(&[u8], f32)> {
        let bytes = self.meta.stride * self.meta.storage.bytes();
        let all: &[u8] = &self.part.file()[self.places.rows.clone()];
        let row = all.get(doc.index() * bytes..(doc.index() + 1) * bytes)?;
        let scale = match self.rows() {
            DenseRows::Int8 { scales, .. } => *scales.get(doc.index())?,
            DenseRows::Fp16(_) | DenseRows::Fp32(_) => 0.0,
        };
        Some((row, scale))
    }

    fn present(&self) -> &[u64] {
        self.array(&self.places.present)
    }

    /// The sections; each must have the length that this many rows need.
    fn find(&self) -> Result<Places, IndexError> {
        let corrupt = |what: String| IndexError::corrupt(self.part.path(), what);
        let section = |name: &str, bytes: Option<usize>| {
            let found = self.part.bytes(name)?.len();
            if bytes != Some(found) {
                let rows = self.documents;
                return Err(corrupt(format!("section `{name}` of {rows} rows has {found} bytes")));
            }
            Ok(self.part.section_range(name).unwrap_or_default())
        };
        let row = self.meta.stride * self.meta.storage.bytes();
        let scale = match self.meta.storage {
            DenseStorage::Int8 => section("scale", self.documents.checked_mul(4))?,
            DenseStorage::Fp16 | DenseStorage::Fp32 => 0..0,
        };
        Ok(Places {
            rows: section("rows", self.documents.checked_mul(row))?,
            scale,
            present: section("present", Some(8 * self.documents.div_ceil(64)))?,
        })
    }

    /// Refuses a bitmap that counts otherwise than the metadata, or names rows that are not there.
    fn check_present(&self) -> Result<(), IndexError> {
        let words = self.present();
        let count: u64 = words.iter().map(|word| u64::from(word.count_ones())).sum();
        let beyond = match (self.documents % 64, words.last()) {
            (0, _) | (_, None) => 0,
            (rows, Some(last)) => last >> rows,
        };
        if count != self.meta.vectors || beyond != 0 {
            let what =
                format!("`present` names {count} rows, not the first of {}", self.meta.vectors);
            return Err(IndexError::corrupt(self.part.path(), what));
        }
        Ok(())
    }

    /// Refuses values that a writer never writes; scores computed from them would be NaN or infinite. Cost: reads
    /// scales, and rows of fp16 and fp32, once.
    fn check_values(&self) -> Result<(), IndexError> {
        let sound = match self.rows() {
            DenseRows::Int8 { scales, .. } => {
                scales.iter().all(|scale| (0.0..=MOST_DENSE_VALUE).contains(scale))
            }
            DenseRows::Fp16(rows) => rows.iter().all(|bits| bits & 0x7c00 != 0x7c00),
            // Also false for NaN.
            DenseRows::Fp32(rows) => rows.iter().all(|value| value.abs() <= MOST_DENSE_VALUE),
        };
        match sound {
            true => Ok(()),
            false => Err(IndexError::corrupt(
                self.part.path(),
                "a dense vector has a value that is too large or not a number",
            )),
        }
    }

    /// A section whose presence and length were checked when the part was opened.
    fn array<T: bytemuck::Pod>(&self, place: &Range<usize>) -> &[T] {
        bytemuck::try_cast_slice(&self.part.file()[place.clone()]).unwrap_or_default()
    }
}

impl SegmentPart for DenseStore {
    fn read(part: Part, verify: Verify) -> Result<Self, IndexError> {
        let path = &part.path().to_path_buf();
        let meta: DenseMeta = part.json("meta")?;
        let corrupt = |what: String| IndexError::corrupt(path, what);
        let documents = usize::try_from(part.documents())
            .map_err(|_| corrupt("more documents than memory can address".into()))?;
        // Compared first: the padded number of more might not fit.
        if meta.dims == 0 || meta.dims > MOST_DIMS || meta.stride != meta.dims.next_multiple_of(PAD)
        {
            return Err(corrupt(format!("{} dimensions in rows of {}", meta.dims, meta.stride)));
        }
        let mut store = Self { part, meta, documents, places: Places::default() };
        store.places = store.find()?;
        store.check_present()?;
        if verify == Verify::Full {
            store.check_values()?;
        }
        Ok(store)
    }

    fn part(&self) -> &Part {
        &self.part
    }

    fn part_mut(&mut self) -> &mut Part {
        &mut self.part
    }
}
