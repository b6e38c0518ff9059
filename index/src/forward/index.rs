//! Reading a forward index.

use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::Path;

use quarry_vectors::{DocId, SparseVector};

use super::layout::{ForwardMeta, KIND, READABLE, SLACK, UNIT};
use super::levels::{LevelWidth, TermWidth};
use super::record::{Place, Record, Records, place};
use super::scaled::{ScaledTerms, factor};
use crate::container::{Part, Verify};
use crate::error::IndexError;
use crate::files;
use crate::part::SegmentPart;

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
    /// When its record is not a vector: terms that do not ascend, or a level of 0.
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
            let what = format!("the record of row {} with {stored} levels is not a vector", doc.0);
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
            let count = place(*entry).components;
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
            let Place { start, components: count } = place(*entry);
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
