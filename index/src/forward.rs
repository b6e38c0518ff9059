//! The forward index: every document's complete vector, exact to its stated quantisation.
//!
//! A weight is stored as a whole number of one or two bytes times one scale for the segment, so
//! scores are sums of integers until the last step and do not depend on the order of summation.
//! A document is one record: its terms ascending, then its levels in the same order, padded to 16
//! bytes; a table gives each record's place and length.

use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::Path;

use quarry_vectors::{DocId, SparseVector};
use serde::{Deserialize, Serialize};

use crate::IndexError;
use crate::container::{Part, PartWriter, Verify, Written};

/// Name of the part kind.
pub const KIND: &str = "forward";
/// Version written.
pub const VERSION: u32 = 1;

/// Records begin at multiples of this many bytes of the section `records`.
const UNIT: usize = 16;
/// Bits of a table entry that hold the number of components; the rest is the place in units.
const COUNT_BITS: u32 = 24;
/// Bytes after the last record that kernels may read but never use.
pub const SLACK: usize = 64;

/// Bytes a stored term takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TermWidth {
    /// Term ids below 65,536.
    U16,
    /// Any term id.
    U32,
}

/// Bytes a stored level takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LevelWidth {
    /// Levels 1 to 255.
    U8,
    /// Levels 1 to 65,535.
    U16,
}

/// How weights became levels: `weight ~ level * scale`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantization {
    /// Width of a level.
    pub levels: LevelWidth,
    /// Weight of one level, in original units; finite and greater than zero.
    pub scale: f64,
    /// Whether every weight is reproduced to the bit.
    pub lossless: bool,
}

impl Quantization {
    /// Largest level.
    #[must_use]
    pub fn max_level(&self) -> u16 {
        match self.levels {
            LevelWidth::U8 => 255,
            LevelWidth::U16 => u16::MAX,
        }
    }

    /// The nearest level of a positive weight, at least 1 (a component never vanishes).
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 1..=max_level first"
    )]
    pub fn level(&self, weight: f32) -> u16 {
        (f64::from(weight) / self.scale).round().clamp(1.0, f64::from(self.max_level())) as u16
    }

    /// The weight that a level stands for.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "weights are f32; the product is rounded once"
    )]
    pub fn weight(&self, level: u16) -> f32 {
        (f64::from(level) * self.scale) as f32
    }
}

/// What the part says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForwardMeta {
    /// Term ids are below this.
    pub dimension: u32,
    /// Width of a term.
    pub terms: TermWidth,
    /// How weights are stored.
    pub quantization: Quantization,
    /// Components of all documents together.
    pub components: u64,
    /// Largest |weight - level * scale| over all components, in original units.
    pub max_error: f64,
    /// Mean of (weight - level * scale)^2, in original units squared.
    pub mean_square_error: f64,
}

/// Writes a forward index in one pass. The caller decided the quantisation beforehand.
#[derive(Debug)]
pub struct ForwardWriter {
    part: PartWriter,
    meta: ForwardMeta,
    table: Vec<u64>,
    record: Vec<u8>,
    square_error: f64,
}

impl ForwardWriter {
    /// Begins the part.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(
        path: &Path,
        dimension: u32,
        quantization: Quantization,
    ) -> Result<Self, IndexError> {
        let mut part = PartWriter::create(path, KIND, VERSION)?;
        part.section("records")?;
        let terms = if dimension <= 1 << 16 { TermWidth::U16 } else { TermWidth::U32 };
        let meta = ForwardMeta {
            dimension,
            terms,
            quantization,
            components: 0,
            max_error: 0.0,
            mean_square_error: 0.0,
        };
        Ok(Self { part, meta, table: Vec::new(), record: Vec::new(), square_error: 0.0 })
    }

    /// For a temporary file; see [`PartWriter::passing`].
    #[must_use]
    pub fn passing(self) -> Self {
        Self { part: self.part.passing(), ..self }
    }

    /// Appends the next document.
    ///
    /// # Errors
    /// When a term lies outside the dimension, the document has 2^24 components or more, or the
    /// disk refuses.
    pub fn push(&mut self, terms: &[u32], weights: &[f32]) -> Result<(), IndexError> {
        debug_assert_eq!(terms.len(), weights.len());
        let limit = |what: &str, found: u64, limit: u64| IndexError::Limit {
            what: what.into(),
            found,
            limit,
        };
        let count = terms.len() as u64;
        if count >= 1 << COUNT_BITS {
            return Err(limit("components of a document", count, (1 << COUNT_BITS) - 1));
        }
        if let Some(&last) = terms.last()
            && last >= self.meta.dimension
        {
            return Err(limit(
                "term id",
                u64::from(last),
                u64::from(self.meta.dimension.saturating_sub(1)),
            ));
        }
        let units = self.part.section_len() / UNIT as u64;
        if units >= 1 << (64 - COUNT_BITS) {
            return Err(limit("bytes of a forward index", units, 1 << (64 - COUNT_BITS)));
        }
        self.table.push((units << COUNT_BITS) | count);
        self.record.clear();
        for term in terms {
            match self.meta.terms {
                TermWidth::U16 => {
                    let narrow = u16::try_from(*term)
                        .map_err(|_| limit("term id", u64::from(*term), 65_535))?;
                    self.record.extend_from_slice(&narrow.to_le_bytes());
                }
                TermWidth::U32 => self.record.extend_from_slice(&term.to_le_bytes()),
            }
        }
        let quantization = self.meta.quantization;
        for weight in weights {
            let level = quantization.level(*weight);
            let error = (f64::from(*weight) - f64::from(level) * quantization.scale).abs();
            self.meta.max_error = self.meta.max_error.max(error);
            self.square_error += error * error;
            match quantization.levels {
                LevelWidth::U8 => self.record.push(u8::try_from(level).unwrap_or(u8::MAX)),
                LevelWidth::U16 => self.record.extend_from_slice(&level.to_le_bytes()),
            }
        }
        self.record.resize(self.record.len().next_multiple_of(UNIT), 0);
        self.meta.components += count;
        self.part.write(&self.record)
    }

    /// Ends the part.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> Result<(Written, ForwardMeta), IndexError> {
        self.part.write(&[0u8; SLACK])?;
        self.part.put_section("table", &self.table)?;
        if self.meta.components > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a mean of errors")]
            let n = self.meta.components as f64;
            self.meta.mean_square_error = self.square_error / n;
        }
        self.part.put_json("meta", &self.meta)?;
        let written = self.part.finish(self.table.len() as u64)?;
        Ok((written, self.meta))
    }
}

/// One document's record: terms and levels as they lie in the file.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    terms: &'a [u8],
    levels: &'a [u8],
    term_width: TermWidth,
    level_width: LevelWidth,
}

impl<'a> Record<'a> {
    /// Number of components.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match self.term_width {
            TermWidth::U16 => self.terms.len() / 2,
            TermWidth::U32 => self.terms.len() / 4,
        }
    }

    /// Whether the document has no component.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Terms (ascending) with their levels.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (u32, u16)> + 'a {
        let this = *self;
        (0..self.len()).map(move |i| (this.term(i), this.level(i)))
    }

    /// The components whose term lies in a range. Cost: O(log components) beside them.
    pub fn range(&self, terms: &Range<u32>) -> impl Iterator<Item = (u32, u16)> + 'a {
        let this = *self;
        let (start, end) = (self.first_from(terms.start), self.first_from(terms.end));
        (start..end).map(move |i| (this.term(i), this.level(i)))
    }

    /// Calls `each` with every term, ascending, and its level.
    #[inline]
    pub fn for_each(&self, mut each: impl FnMut(u32, u16)) {
        match (self.term_width, self.level_width) {
            (TermWidth::U16, LevelWidth::U8) => {
                for (t, level) in self.terms.as_chunks::<2>().0.iter().zip(self.levels) {
                    each(u32::from(u16::from_le_bytes(*t)), u16::from(*level));
                }
            }
            _ => (0..self.len()).for_each(|i| each(self.term(i), self.level(i))),
        }
    }

    /// Calls `each` with every term, ascending.
    pub fn for_each_term(&self, mut each: impl FnMut(u32)) {
        match self.term_width {
            TermWidth::U16 => {
                for t in self.terms.chunks_exact(2) {
                    each(u32::from(u16::from_le_bytes([t[0], t[1]])));
                }
            }
            TermWidth::U32 => (0..self.len()).for_each(|i| each(self.term(i))),
        }
    }

    /// Number of components with terms below `term`.
    fn first_from(&self, term: u32) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.term(middle) < term { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn term(&self, i: usize) -> u32 {
        let t = self.terms;
        match self.term_width {
            TermWidth::U16 => u32::from(u16::from_le_bytes([t[2 * i], t[2 * i + 1]])),
            TermWidth::U32 => {
                u32::from_le_bytes([t[4 * i], t[4 * i + 1], t[4 * i + 2], t[4 * i + 3]])
            }
        }
    }

    fn level(&self, i: usize) -> u16 {
        match self.level_width {
            LevelWidth::U8 => u16::from(self.levels[i]),
            LevelWidth::U16 => u16::from_le_bytes([self.levels[2 * i], self.levels[2 * i + 1]]),
        }
    }

    /// The raw terms and levels (little-endian), for kernels.
    #[must_use]
    #[inline]
    pub fn raw(&self) -> (&'a [u8], &'a [u8]) {
        (self.terms, self.levels)
    }
}

/// All records of an open forward index.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    table: &'a [u64],
    bytes: &'a [u8],
    term_width: TermWidth,
    level_width: LevelWidth,
}

impl<'a> Records<'a> {
    /// Number of documents.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// A document's record.
    ///
    /// # Panics
    /// When the segment has no such document.
    #[must_use]
    #[inline]
    pub fn record(&self, doc: DocId) -> Record<'a> {
        let (start, count) = self.place(doc);
        let term_bytes = count * if self.term_width == TermWidth::U16 { 2 } else { 4 };
        let level_bytes = count * if self.level_width == LevelWidth::U8 { 1 } else { 2 };
        let (terms, rest) = self.bytes[start..].split_at(term_bytes);
        Record {
            terms,
            levels: &rest[..level_bytes],
            term_width: self.term_width,
            level_width: self.level_width,
        }
    }

    /// Where a record begins in [`Self::bytes`], and its components. All of its bytes and
    /// [`SLACK`] more lie inside; that was checked at opening.
    ///
    /// # Panics
    /// When the segment has no such document.
    #[must_use]
    #[inline]
    pub fn place(&self, doc: DocId) -> (usize, usize) {
        place(self.table[doc.index()])
    }

    /// A document's entry in the table of places, for prefetching.
    #[must_use]
    #[inline]
    pub fn table(&self) -> &'a [u64] {
        self.table
    }

    /// The bytes of all records: terms, then levels, of each.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Width of a term.
    #[must_use]
    #[inline]
    pub fn term_width(&self) -> TermWidth {
        self.term_width
    }

    /// Width of a level.
    #[must_use]
    #[inline]
    pub fn level_width(&self) -> LevelWidth {
        self.level_width
    }
}

/// The forward index of an open segment.
#[derive(Debug, Clone)]
pub struct ForwardIndex {
    part: Part,
    meta: ForwardMeta,
    table: Range<usize>,
    records: Range<usize>,
}

impl ForwardIndex {
    /// Opens the part and checks that the records lie inside it, one after another.
    ///
    /// # Errors
    /// As [`Part::open`]; and when the table leaves the records or the numbers make no sense.
    pub fn open(path: &Path, verify: Verify) -> Result<Self, IndexError> {
        let part = Part::open(path, KIND, 1..VERSION + 1, verify)?;
        let meta: ForwardMeta = part.json("meta")?;
        let scale = meta.quantization.scale;
        if !(scale.is_finite() && scale > 0.0) {
            return Err(IndexError::corrupt(
                path,
                format!("scale {scale} is not a positive number"),
            ));
        }
        let missing = |s: &str| IndexError::corrupt(path, format!("section `{s}` is missing"));
        let table = part.section_range("table").ok_or_else(|| missing("table"))?;
        let records = part.section_range("records").ok_or_else(|| missing("records"))?;
        let index = Self { meta, table, records, part };
        let entries: &[u64] = index.part.array("table")?;
        if entries.len() as u64 != index.part.documents() {
            return Err(IndexError::corrupt(
                path,
                "the table does not fit the number of documents",
            ));
        }
        let room = index.records.len().saturating_sub(SLACK);
        let width = index.component_bytes();
        // Scans read records one after another, so they lie in order without gaps.
        let mut next = 0;
        for (doc, entry) in entries.iter().enumerate() {
            let (start, count) = place(*entry);
            let end = count.checked_mul(width).and_then(|b| b.checked_add(start));
            match end.filter(|end| start == next && *end <= room) {
                Some(end) => next = end.next_multiple_of(UNIT),
                None => {
                    return Err(IndexError::corrupt(
                        path,
                        format!("record {doc} does not lie where the one before it ends"),
                    ));
                }
            }
        }
        Ok(index)
    }

    /// Bytes of one component.
    fn component_bytes(&self) -> usize {
        (match self.meta.terms {
            TermWidth::U16 => 2,
            TermWidth::U32 => 4,
        }) + match self.meta.quantization.levels {
            LevelWidth::U8 => 1,
            LevelWidth::U16 => 2,
        }
    }

    /// What the part says of itself.
    #[must_use]
    pub fn meta(&self) -> &ForwardMeta {
        &self.meta
    }

    /// Number of documents.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.table.len() / 8
    }

    /// Whether there is no document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the part into memory; see [`crate::MappedFile::preloaded`].
    ///
    /// # Errors
    /// When memory is short.
    pub fn preload(&mut self) -> Result<(), IndexError> {
        self.part.preload()
    }

    /// Tells the system to expect random reads.
    pub fn advise_random(&self) {
        self.part.file().advise_random();
    }

    /// Gives the pages read so far back; see [`crate::MappedFile::release`].
    pub fn release(&self) {
        self.part.file().release();
    }

    /// A document's record.
    ///
    /// # Panics
    /// When the segment has no such document.
    #[must_use]
    #[inline]
    pub fn record(&self, doc: DocId) -> Record<'_> {
        self.records().record(doc)
    }

    /// The arrays, borrowed once for many documents.
    #[must_use]
    #[inline]
    pub fn records(&self) -> Records<'_> {
        Records {
            table: bytemuck::cast_slice(&self.part.file()[self.table.clone()]),
            bytes: &self.part.file()[self.records.clone()],
            term_width: self.meta.terms,
            level_width: self.meta.quantization.levels,
        }
    }

    /// A document's vector in original units.
    ///
    /// # Errors
    /// When its record is no vector: terms that do not ascend or lie beyond the dimension, a level of 0.
    ///
    /// # Panics
    /// When the segment has no such document.
    pub fn vector(&self, doc: DocId) -> Result<SparseVector, IndexError> {
        let quantization = self.meta.quantization;
        let (terms, weights): (Vec<u32>, Vec<f32>) =
            self.record(doc).iter().map(|(t, l)| (t, quantization.weight(l))).unzip();
        let corrupt = |what: String| {
            IndexError::corrupt(self.part.path(), format!("record {} is no vector: {what}", doc.0))
        };
        if let Some(last) = terms.last().filter(|last| **last >= self.meta.dimension) {
            return Err(corrupt(format!("term {last} of {}", self.meta.dimension)));
        }
        SparseVector::new(terms, weights).map_err(|e| corrupt(e.to_string()))
    }

    /// Reads all records in order without the mapping, so that a scan of a large part leaves no
    /// mapped pages behind. Calls `each` with the document and its record.
    ///
    /// # Errors
    /// When the file cannot be read, or `each` fails.
    pub fn scan<E: From<IndexError>>(
        &self,
        mut each: impl FnMut(DocId, Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = self.part.path();
        let file = File::open(path).map_err(IndexError::io(path))?;
        let mut reader = BufReader::with_capacity(1 << 20, file);
        std::io::copy(&mut (&mut reader).take(self.records.start as u64), &mut std::io::sink())
            .map_err(IndexError::io(path))?;
        let table: &[u64] = bytemuck::cast_slice(&self.part.file()[self.table.clone()]);
        let mut record = Vec::new();
        for (number, entry) in table.iter().enumerate() {
            let (_, count) = place(*entry);
            record.resize((count * self.component_bytes()).next_multiple_of(UNIT), 0);
            reader.read_exact(&mut record).map_err(IndexError::io(path))?;
            let term_bytes = count * if self.meta.terms == TermWidth::U16 { 2 } else { 4 };
            let (terms, rest) = record.split_at(term_bytes);
            let levels = &rest
                [..count * if self.meta.quantization.levels == LevelWidth::U8 { 1 } else { 2 }];
            let view = Record {
                terms,
                levels,
                term_width: self.meta.terms,
                level_width: self.meta.quantization.levels,
            };
            each(DocId(u32::try_from(number).unwrap_or(u32::MAX)), view)?;
        }
        Ok(())
    }
}
#[inline]
fn place(entry: u64) -> (usize, usize) {
    let start = usize::try_from(entry >> COUNT_BITS).unwrap_or(usize::MAX).saturating_mul(UNIT);
    let count = usize::try_from(entry & ((1 << COUNT_BITS) - 1)).unwrap_or(usize::MAX);
    (start, count)
}
