//! Records as they lie in the file.

use std::ops::Range;

use quarry_vectors::DocId;

use super::layout::{COUNT_BITS, UNIT};
use super::levels::{LevelWidth, TermWidth};

/// One document's record: terms and levels as they lie in the file.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub(super) terms: &'a [u8],
    pub(super) levels: &'a [u8],
    pub(super) term_width: TermWidth,
    pub(super) level_width: LevelWidth,
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
    #[inline]
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
    #[inline]
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

    #[inline(always)]
    fn term(&self, i: usize) -> u32 {
        let t = self.terms;
        match self.term_width {
            TermWidth::U16 => u32::from(u16::from_le_bytes([t[2 * i], t[2 * i + 1]])),
            TermWidth::U32 => {
                u32::from_le_bytes([t[4 * i], t[4 * i + 1], t[4 * i + 2], t[4 * i + 3]])
            }
        }
    }

    #[inline(always)]
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
    pub(super) table: &'a [u64],
    pub(super) bytes: &'a [u8],
    pub(super) term_width: TermWidth,
    pub(super) level_width: LevelWidth,
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
        let Place { start, components: count } = self.place(doc);
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

    /// Where a record lies. All of its bytes and [`SLACK`](super::layout::SLACK) more are inside
    /// [`Self::bytes`]; that was checked when the part was opened.
    ///
    /// # Panics
    /// When the segment has no such document.
    #[must_use]
    #[inline]
    pub fn place(&self, doc: DocId) -> Place {
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

/// Where a record lies, and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its first byte, of the bytes of all records.
    pub start: usize,
    /// Its components.
    pub components: usize,
}

/// The place that an entry of the table says.
#[inline]
pub(super) fn place(entry: u64) -> Place {
    let start = usize::try_from(entry >> COUNT_BITS).unwrap_or(usize::MAX).saturating_mul(UNIT);
    let components = usize::try_from(entry & ((1 << COUNT_BITS) - 1)).unwrap_or(usize::MAX);
    Place { start, components }
}
