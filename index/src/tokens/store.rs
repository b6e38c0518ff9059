//! Reading token embeddings.

use std::ops::Range;
use std::path::Path;

use half::f16;
use quarry_vectors::{DocId, TokenEmbeddings};

use super::layout::{Form, KIND, MOST_DIMS, MOST_ROWS, PAD, READABLE, TokensMeta};
use super::residual::LEVELS;
use super::rows::{Int8Rows, ResidualRows, SignRows};
use crate::container::{Part, Verify};
use crate::error::IndexError;
use crate::part::SegmentPart;

/// Twice the largest value of half precision: at most what a value is, or a difference of two.
const MOST_VALUE: f32 = 131_008.0;
/// The token embeddings of an open segment.
#[derive(Debug, Clone)]
pub struct TokenStore {
    part: Part,
    meta: TokensMeta,
    documents: usize,
    places: Places,
}

/// Where the sections lie in the file; empty ones are not stored.
#[derive(Debug, Clone, Default)]
struct Places {
    starts: Range<usize>,
    int8: [Range<usize>; 3],
    fp16: Range<usize>,
    residual: [Range<usize>; 5],
    sign: [Range<usize>; 2],
}

impl TokenStore {
    /// Opens the part and checks that all rows of all documents lie inside it.
    ///
    /// # Errors
    /// As [`Part::open`]; and when sections do not fit the numbers.
    pub fn open(path: &Path, verify: Verify) -> Result<Self, IndexError> {
        Self::read(Part::open(path, KIND, READABLE, verify)?, verify)
    }

    /// The sections; each must have the length that this many rows need.
    fn find(&self, rows: usize) -> Result<Places, IndexError> {
        let stride = self.meta.stride;
        let section = |name: &str, bytes: usize| {
            let found = self.part.bytes(name)?.len();
            if found != bytes {
                let what = format!("section `{name}` has {found} bytes, not {bytes}");
                return Err(IndexError::corrupt(self.part.path(), what));
            }
            Ok(self.part.section_range(name).unwrap_or_default())
        };
        let starts = section("starts", 8 * (self.documents + 1))?;
        let mut places = Places { starts, ..Places::default() };
        for form in &self.meta.forms {
            match form {
                Form::Int8 => {
                    places.int8 = [
                        section("i8.rows", rows * stride)?,
                        section("i8.scale", 4 * rows)?,
                        section("i8.error", 4 * rows)?,
                    ];
                }
                Form::Fp16 => places.fp16 = section("f16.rows", 2 * rows * stride)?,
                Form::Residual => {
                    let centroids = self.meta.centroids.saturating_mul(4 * stride);
                    places.residual = [
                        section("r4.rows", rows * stride / 2)?,
                        section("r4.scale", 4 * rows)?,
                        section("r4.centroid", 4 * rows)?,
                        section("r4.centroids", centroids)?,
                        section("r4.levels", LEVELS)?,
                    ];
                }
                Form::Sign => {
                    places.sign =
                        [section("b1.rows", rows * stride / 8)?, section("b1.scale", 4 * rows)?];
                }
            }
        }
        Ok(places)
    }

    fn check_centroids(&self) -> Result<(), IndexError> {
        let Some(rows) = self.residual() else { return Ok(()) };
        match rows.centroid.iter().max() {
            Some(most) if *most as usize >= self.meta.centroids => {
                let what =
                    format!("a row names centroid {most}, there are {}", self.meta.centroids);
                Err(IndexError::corrupt(self.part.path(), what))
            }
            _ => Ok(()),
        }
    }

    /// Refuses values that a writer never writes; scores computed from them would be NaN or infinite. Cost: reads scales
    /// and fp16 rows once.
    fn check_values(&self) -> Result<(), IndexError> {
        let int8 = self.int8();
        let residual = self.residual();
        let values = [
            ("i8.scale", int8.map(|rows| rows.scales)),
            ("i8.error", int8.map(|rows| rows.errors)),
            ("r4.scale", residual.map(|rows| rows.scales)),
            ("r4.centroids", residual.map(|rows| rows.centroids)),
            ("b1.scale", self.signs().map(|rows| rows.scales)),
        ];
        let wrong = |what: String| IndexError::corrupt(self.part.path(), what);
        for (section, values) in values {
            // Also false for NaN.
            let fits = |value: &f32| value.abs() <= MOST_VALUE;
            if let Some(value) = values.unwrap_or_default().iter().find(|value| !fits(value)) {
                return Err(wrong(format!("section `{section}` has the value {value}")));
            }
        }
        let finite = |bits: u16| bits & 0x7c00 != 0x7c00;
        if !self.fp16().unwrap_or_default().iter().all(|bits| finite(*bits)) {
            return Err(wrong("section `f16.rows` has a value that is not finite".to_owned()));
        }
        Ok(())
    }

    /// What the part says of itself.
    #[must_use]
    pub fn meta(&self) -> &TokensMeta {
        &self.meta
    }

    /// Number of documents.
    #[must_use]
    pub fn documents(&self) -> usize {
        self.documents
    }

    /// Whether a form is stored.
    #[must_use]
    pub fn has(&self, form: Form) -> bool {
        self.meta.forms.contains(&form)
    }

    /// Bytes of the part.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.part.file().len() as u64
    }

    /// Row numbers where documents begin, and the number of rows at the end. Ascending; checked when
    /// the part was opened.
    #[must_use]
    pub fn starts(&self) -> &[u64] {
        self.array(&self.places.starts)
    }

    /// The rows of a document.
    ///
    /// # Panics
    /// When the segment has no such document.
    #[must_use]
    pub fn rows(&self, doc: DocId) -> Range<usize> {
        let starts = self.starts();
        let at = |i: usize| usize::try_from(starts[i]).unwrap_or(usize::MAX);
        at(doc.index())..at(doc.index() + 1)
    }

    /// A document's rows as fp16 has them.
    ///
    /// # Errors
    /// When the part does not store them, or they are not finite.
    ///
    /// # Panics
    /// When the segment has no such document.
    pub fn document(&self, doc: DocId) -> Result<TokenEmbeddings, IndexError> {
        let TokensMeta { dims, stride, .. } = self.meta;
        let rows = self.rows(doc);
        let Some(all) = self.fp16() else {
            return Err(IndexError::corrupt(self.part.path(), "it has no fp16 rows"));
        };
        let values = all[rows.start * stride..rows.end * stride]
            .chunks_exact(stride)
            .flat_map(|row| &row[..dims])
            .map(|bits| f16::from_bits(*bits).to_f32())
            .collect();
        TokenEmbeddings::new(dims, values)
            .map_err(|e| IndexError::corrupt(self.part.path(), format!("row {}: {e}", doc.0)))
    }

    /// The rows in int8, when they are stored.
    #[must_use]
    pub fn int8(&self) -> Option<Int8Rows<'_>> {
        self.has(Form::Int8).then(|| Int8Rows {
            rows: self.array(&self.places.int8[0]),
            scales: self.array(&self.places.int8[1]),
            errors: self.array(&self.places.int8[2]),
            stride: self.meta.stride,
        })
    }

    /// The rows in half precision (their bits), `stride` values a row, when they are stored.
    #[must_use]
    pub fn fp16(&self) -> Option<&[u16]> {
        self.has(Form::Fp16).then(|| self.array(&self.places.fp16))
    }

    /// The rows as centroids and residuals, when they are stored.
    #[must_use]
    pub fn residual(&self) -> Option<ResidualRows<'_>> {
        self.has(Form::Residual).then(|| ResidualRows {
            rows: self.array(&self.places.residual[0]),
            scales: self.array(&self.places.residual[1]),
            centroid: self.array(&self.places.residual[2]),
            centroids: self.array(&self.places.residual[3]),
            levels: self.array(&self.places.residual[4]),
            stride: self.meta.stride,
        })
    }

    /// The rows' signs, when they are stored.
    #[must_use]
    pub fn signs(&self) -> Option<SignRows<'_>> {
        self.has(Form::Sign).then(|| SignRows {
            rows: self.array(&self.places.sign[0]),
            scales: self.array(&self.places.sign[1]),
            stride: self.meta.stride,
        })
    }

    /// A section whose presence and length were checked when the part was opened.
    fn array<T: bytemuck::Pod>(&self, place: &Range<usize>) -> &[T] {
        bytemuck::try_cast_slice(&self.part.file()[place.clone()]).unwrap_or_default()
    }
}

impl SegmentPart for TokenStore {
    fn read(part: Part, verify: Verify) -> Result<Self, IndexError> {
        let path = &part.path().to_path_buf();
        let meta: TokensMeta = part.json("meta")?;
        let corrupt = |what: String| IndexError::corrupt(path, what);
        let documents = usize::try_from(part.documents())
            .map_err(|_| corrupt("more documents than memory can address".into()))?;
        let rows = usize::try_from(meta.tokens)
            .ok()
            .filter(|rows| rows.checked_mul(2 * MOST_DIMS).is_some())
            .ok_or_else(|| corrupt("more rows than memory can address".into()))?;
        let padded = meta.dims.next_multiple_of(PAD);
        if meta.dims == 0 || meta.dims > MOST_DIMS || meta.stride != padded {
            return Err(corrupt(format!("{} dimensions in rows of {}", meta.dims, meta.stride)));
        }
        let longest = MOST_VALUE * 64.0;
        if meta.forms.is_empty() || !(0.0..=longest).contains(&meta.max_norm) {
            return Err(corrupt("its metadata is inconsistent".into()));
        }
        let mut store = Self { part, meta, documents, places: Places::default() };
        let starts: &[u64] = store.part.array("starts")?;
        let ordered = starts.windows(2).all(|w| w[0] <= w[1] && w[1] - w[0] <= MOST_ROWS as u64);
        if starts.len() != documents + 1
            || starts.first() != Some(&0)
            || starts.last() != Some(&(rows as u64))
            || !ordered
        {
            return Err(corrupt("`starts` does not assign every row to a document".into()));
        }
        store.places = store.find(rows)?;
        store.check_centroids()?;
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
