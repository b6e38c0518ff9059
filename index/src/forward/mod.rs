//! The forward index: every document's complete vector, exact to its stated quantisation.
//!
//! A weight is stored as a whole number of one or two bytes times one step for the segment, so
//! scores are sums of integers until the last step and do not depend on the order of summation.
//! Weights that this step is too fine or too coarse for are stored in multiples of another step
//! (`levels.rs`), under a scaled term (`scaled.rs`).
//! A document is one record: its terms ascending, then its levels in the same order, padded to 16
//! bytes; a table gives each record's place and length.

mod levels;
mod record;
mod scaled;
mod write;

use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::Path;

use quarry_vectors::{DocId, SparseVector};
use serde::{Deserialize, Serialize};

use crate::IndexError;
use crate::container::{Part, Verify};
use crate::files;
use crate::part::SegmentPart;
use record::place;

pub use levels::{Level, LevelWidth, Quantization, TermWidth};
pub use record::{Record, Records};
pub use scaled::{ScaledTerm, ScaledTerms, factor};
pub use write::{ForwardWriter, Precision};

/// Name of the part kind.
pub const KIND: &str = "forward";
/// Version written.
pub const VERSION: u32 = 2;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;

/// Records begin at multiples of this many bytes of the section `records`.
const UNIT: usize = 16;
/// Bits of a table entry that hold the number of components; the rest is the place in units.
const COUNT_BITS: u32 = 24;
/// Bytes after the last record that kernels may read but never use.
pub const SLACK: usize = 64;

/// What the part says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForwardMeta {
    /// Terms of records and lists are below this: the lexicon's, then the scaled ones.
    pub dimension: u32,
    /// Width of a term.
    pub terms: TermWidth,
    /// How weights are stored.
    pub quantization: Quantization,
    /// Levels of all documents together: a component has one, or two.
    pub components: u64,
    /// Largest |weight - what is stored for it| over all components, in original units.
    pub max_error: f64,
    /// Mean of (weight - what is stored for it)^2, in original units squared.
    pub mean_square_error: f64,
    /// Scaled terms, the last numbers below `dimension`.
    #[serde(default)]
    pub scaled: u32,
    /// Weights up to this may be off by as much; in original units.
    #[serde(default)]
    pub tolerance: Option<f64>,
    /// Largest |weight - what is stored for it| / weight over the components heavier than `tolerance`.
    /// Version 1 did not note it.
    #[serde(default)]
    pub max_relative_error: f64,
}

/// What weights that are written again are off by already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorBefore {
    /// As [`ForwardMeta::max_error`].
    pub largest: f64,
    /// As [`ForwardMeta::max_relative_error`].
    pub relative: f64,
    /// Sum of the squares of all errors, in original units squared.
    pub squares: f64,
}

impl ErrorBefore {
    /// What a forward index says of itself.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a sum of errors")]
    pub fn of(meta: &ForwardMeta) -> Self {
        Self {
            largest: meta.max_error,
            relative: meta.max_relative_error,
            squares: meta.mean_square_error * meta.components as f64,
        }
    }

    /// Of both together.
    pub fn merge(&mut self, other: &Self) {
        self.largest = self.largest.max(other.largest);
        self.relative = self.relative.max(other.relative);
        self.squares += other.squares;
    }
}

/// The forward index of an open segment.
#[derive(Debug, Clone)]
pub struct ForwardIndex {
    part: Part,
    meta: ForwardMeta,
    table: Range<usize>,
    records: Range<usize>,
    scaled: ScaledTerms,
}

impl ForwardIndex {
    /// Opens the part and checks that the records lie inside it, one after another.
    ///
    /// # Errors
    /// As [`Part::open`]; and when the table leaves the records or the numbers make no sense.
    pub fn open(path: &Path, verify: Verify) -> Result<Self, IndexError> {
        Self::read(Part::open(path, KIND, READABLE, verify)?, verify)
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

    /// The scaled terms.
    #[must_use]
    #[inline]
    pub fn scaled(&self) -> &ScaledTerms {
        &self.scaled
    }

    /// Number of the lexicon's terms that records may have.
    #[must_use]
    pub fn lexicon_terms(&self) -> u32 {
        self.scaled.first()
    }

    /// A record's components by the lexicon's terms, ascending, with what is stored for each in steps of
    /// the segment. Terms that no lexicon has are left out.
    #[must_use]
    pub fn components(&self, record: &Record<'_>) -> Vec<(u32, f64)> {
        let first = self.scaled.first();
        let mut out: Vec<(u32, f64)> = Vec::with_capacity(record.len());
        record.for_each(|number, level| {
            if number < first {
                out.push((number, f64::from(level)));
            } else if let Some(of) = self.scaled.get(number) {
                let worth = f64::from(level) * factor(of.layer);
                match out.binary_search_by_key(&of.term, |c| c.0) {
                    Ok(at) => out[at].1 += worth,
                    Err(at) => out.insert(at, (of.term, worth)),
                }
            }
        });
        out
    }

    /// A document's vector in original units.
    ///
    /// # Errors
    /// When its record is no vector: terms that do not ascend, or a level of 0.
    ///
    /// # Panics
    /// When the segment has no such document.
    pub fn vector(&self, doc: DocId) -> Result<SparseVector, IndexError> {
        self.vector_of(doc, &self.record(doc))
    }

    /// The same of a record that was read by [`Self::scan`].
    ///
    /// # Errors
    /// As [`Self::vector`].
    #[expect(
        clippy::cast_possible_truncation,
        reason = "weights are f32; the product is rounded once"
    )]
    pub fn vector_of(&self, doc: DocId, record: &Record<'_>) -> Result<SparseVector, IndexError> {
        let scale = self.meta.quantization.scale;
        let components = self.components(record);
        let weight = |worth: f64| ((worth * scale) as f32).clamp(f32::from_bits(1), f32::MAX);
        let (terms, weights): (Vec<u32>, Vec<f32>) =
            components.iter().map(|(term, worth)| (*term, weight(*worth))).unzip();
        let stored = record.len();
        let vector = SparseVector::new(terms, weights).ok();
        // Zeros are dropped by the vector; a record has none.
        let whole = vector.filter(|v| v.len() == components.len());
        whole.filter(|_| self.is_ordered(record)).ok_or_else(|| {
            let what = format!("the record of row {} with {stored} levels is no vector", doc.0);
            IndexError::corrupt(self.part.path(), what)
        })
    }

    /// Whether a record's terms ascend and are known, and none of its levels is 0.
    fn is_ordered(&self, record: &Record<'_>) -> bool {
        let mut next = 0u64;
        let mut ordered = true;
        record.for_each(|term, level| {
            ordered &= u64::from(term) >= next && term < self.meta.dimension && level > 0;
            next = u64::from(term) + 1;
        });
        ordered
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
        let file = files::open(path)?;
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

impl SegmentPart for ForwardIndex {
    fn read(part: Part, _: Verify) -> Result<Self, IndexError> {
        let path = &part.path().to_path_buf();
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
        let scaled = match part.section_range("scaled") {
            Some(_) => part.array("scaled")?,
            None => &[],
        };
        let lexicon = meta.dimension.checked_sub(meta.scaled);
        let fits = 2 * u64::from(meta.scaled) == scaled.len() as u64;
        let Some(first) = lexicon.filter(|_| fits) else {
            return Err(IndexError::corrupt(path, "the number of scaled terms does not fit"));
        };
        let scaled = ScaledTerms::read(path, first, scaled)?;
        let index = Self { meta, table, records, scaled, part };
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

    fn part(&self) -> &Part {
        &self.part
    }

    fn part_mut(&mut self) -> &mut Part {
        &mut self.part
    }

    fn terms(&self) -> u32 {
        self.meta.dimension
    }
}
