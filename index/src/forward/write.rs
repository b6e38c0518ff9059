//! Writing a forward index, in one pass.

use std::collections::HashMap;
use std::path::Path;

use super::layout::{COUNT_BITS, ErrorBefore, ForwardMeta, KIND, SLACK, UNIT, VERSION};
use super::levels::{Level, LevelWidth, Quantization, TermWidth};
use super::scaled::{ScaledTerm, ScaledTerms};
use crate::container::{PartWriter, Written};
use crate::error::IndexError;

/// How exactly weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Precision {
    /// Weights up to this may be off by as much, heavier ones by a 2,048th of themselves; in original
    /// units. Without it no weight is given a finer layer than the segment's step.
    pub tolerance: Option<f64>,
    /// Scaled terms that there are at most: with the dimension they decide the width of a term.
    pub scaled_terms: u32,
}

/// Writes a forward index in one pass. The caller decided the quantisation beforehand.
#[derive(Debug)]
pub struct ForwardWriter {
    part: PartWriter,
    meta: ForwardMeta,
    table: Vec<u64>,
    record: Vec<u8>,
    errors: Errors,
    before: ErrorBefore,
    precision: Precision,
    scaled: HashMap<ScaledTerm, u32>,
    scaled_terms: Vec<ScaledTerm>,
    /// Terms and levels of the document being written, and those of its scaled terms.
    levels: Vec<(u32, u16)>,
    behind: Vec<(u32, u16)>,
}

/// What stored weights are off by.
#[derive(Debug, Clone, Copy, Default)]
struct Errors {
    largest: f64,
    squares: f64,
    /// Of a weight's own; of weights above the tolerance.
    relative: f64,
}

impl Errors {
    #[inline]
    fn add(&mut self, weight: f64, worth: f64, tolerance: Option<f64>) {
        let error = (weight - worth).abs();
        self.largest = self.largest.max(error);
        self.squares += error * error;
        // Compared without the division, which few weights need.
        let worse = error > self.relative * weight;
        if worse && tolerance.is_none_or(|tolerance| weight > tolerance) {
            self.relative = self.relative.max(error / weight);
        }
    }
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
        let meta = ForwardMeta {
            dimension,
            terms: width(u64::from(dimension)),
            quantization,
            components: 0,
            max_error: 0.0,
            mean_square_error: 0.0,
            scaled: 0,
            tolerance: None,
            max_relative_error: 0.0,
        };
        Ok(Self {
            part,
            meta,
            table: Vec::new(),
            record: Vec::new(),
            errors: Errors::default(),
            before: ErrorBefore::default(),
            precision: Precision::default(),
            scaled: HashMap::new(),
            scaled_terms: Vec::new(),
            levels: Vec::new(),
            behind: Vec::new(),
        })
    }

    /// Keeps weights that exactly. To be said before the first document.
    #[must_use]
    pub fn keeping(mut self, precision: Precision) -> Self {
        debug_assert!(self.table.is_empty(), "documents were written before");
        self.meta.terms = width(u64::from(self.meta.dimension) + u64::from(precision.scaled_terms));
        self.meta.tolerance = precision.tolerance;
        Self { precision, ..self }
    }

    /// Counts what the weights were off by before, of an index that they are read from.
    #[must_use]
    pub fn after(self, before: ErrorBefore) -> Self {
        Self { before, ..self }
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
        if let Some(&last) = terms.last()
            && last >= self.meta.dimension
        {
            return Err(limit(
                "term id",
                u64::from(last),
                u64::from(self.meta.dimension.saturating_sub(1)),
            ));
        }
        self.levels.clear();
        self.behind.clear();
        self.levels.reserve(terms.len());
        let (quantization, tolerance) = (self.meta.quantization, self.precision.tolerance);
        let mut errors = self.errors;
        for (term, weight) in terms.iter().zip(weights) {
            let (first, second) = quantization.split(*weight, tolerance);
            errors.add(f64::from(*weight), quantization.worth((first, second)), tolerance);
            if first.layer == 0 {
                self.levels.push((*term, first.level));
            } else {
                self.push_scaled(*term, first)?;
            }
            match second {
                Some(rest) if rest.layer == 0 => self.levels.push((*term, rest.level)),
                Some(rest) => self.push_scaled(*term, rest)?,
                None => {}
            }
        }
        self.errors = errors;
        if !self.behind.is_empty() {
            self.behind.sort_unstable();
            self.levels.append(&mut self.behind);
        }
        self.put()
    }

    /// Appends a document of levels of layer 0.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_levels(&mut self, levels: &[(u32, u16)]) -> Result<(), IndexError> {
        self.levels.clear();
        self.levels.extend_from_slice(levels);
        self.put()
    }

    /// A level of another layer stands behind those of layer 0.
    #[cold]
    fn push_scaled(&mut self, term: u32, level: Level) -> Result<(), IndexError> {
        let number = self.scaled_term(ScaledTerm { term, layer: level.layer })?;
        self.behind.push((number, level.level));
        Ok(())
    }

    fn scaled_term(&mut self, term: ScaledTerm) -> Result<u32, IndexError> {
        if let Some(number) = self.scaled.get(&term) {
            return Ok(*number);
        }
        let number = u32::try_from(self.scaled_terms.len())
            .ok()
            .and_then(|at| self.meta.dimension.checked_add(at))
            .filter(|number| self.meta.terms == TermWidth::U32 || *number <= 0xffff);
        let number = number.ok_or(IndexError::Limit {
            what: "scaled terms beside a lexicon's".into(),
            found: self.scaled_terms.len() as u64 + 1,
            limit: self.scaled_terms.len() as u64,
        })?;
        self.scaled_terms.push(term);
        self.scaled.insert(term, number);
        Ok(number)
    }

    /// Appends `levels` as a record.
    fn put(&mut self) -> Result<(), IndexError> {
        let limit = |what: &str, found: u64, limit: u64| IndexError::Limit {
            what: what.into(),
            found,
            limit,
        };
        let count = self.levels.len() as u64;
        if count >= 1 << COUNT_BITS {
            return Err(limit("components of a document", count, (1 << COUNT_BITS) - 1));
        }
        let units = self.part.section_len() / UNIT as u64;
        if units >= 1 << (64 - COUNT_BITS) {
            return Err(limit("bytes of a forward index", units, 1 << (64 - COUNT_BITS)));
        }
        self.table.push((units << COUNT_BITS) | count);
        self.record.clear();
        match self.meta.terms {
            TermWidth::U16 => {
                if let Some((wide, _)) = self.levels.iter().find(|(term, _)| *term > 0xffff) {
                    return Err(limit("term id", u64::from(*wide), 65_535));
                }
                #[expect(clippy::cast_possible_truncation, reason = "none is larger")]
                let narrow = self.levels.iter().map(|(term, _)| (*term as u16).to_le_bytes());
                self.record.extend(narrow.flatten());
            }
            TermWidth::U32 => {
                self.record.extend(self.levels.iter().flat_map(|(term, _)| term.to_le_bytes()));
            }
        }
        match self.meta.quantization.levels {
            LevelWidth::U8 => {
                let narrow = |(_, level): &(u32, u16)| u8::try_from(*level).unwrap_or(u8::MAX);
                self.record.extend(self.levels.iter().map(narrow));
            }
            LevelWidth::U16 => {
                self.record.extend(self.levels.iter().flat_map(|(_, level)| level.to_le_bytes()));
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
        let scaled = ScaledTerms::new(self.meta.dimension, self.scaled_terms);
        if !scaled.is_empty() {
            self.part.put_section("scaled", &scaled.pairs())?;
            self.meta.scaled = u32::try_from(scaled.len()).unwrap_or(u32::MAX);
            self.meta.dimension += self.meta.scaled;
        }
        let (errors, before) = (self.errors, self.before);
        self.meta.max_error = errors.largest + before.largest;
        self.meta.max_relative_error = errors.relative + before.relative;
        if self.meta.components > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a mean of errors")]
            let n = self.meta.components as f64;
            self.meta.mean_square_error = (errors.squares + before.squares) / n;
        }
        self.part.put_json("meta", &self.meta)?;
        let written = self.part.finish(self.table.len() as u64)?;
        Ok((written, self.meta))
    }
}

/// The width of a term, for this number of terms.
fn width(terms: u64) -> TermWidth {
    if terms <= 1 << 16 { TermWidth::U16 } else { TermWidth::U32 }
}
