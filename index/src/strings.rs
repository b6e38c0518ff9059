//! A table of strings with lookup both ways: by number, and by content through a sorted
//! permutation. Used for document ids and for the lexicon.

use std::cmp::Ordering;

use crate::container::{Part, PartWriter};
use crate::error::IndexError;
use crate::map::MappedFile;

/// Longest table: offsets are 32 bits.
const MAX_BYTES: u64 = u32::MAX as u64;

/// Collects strings in order of number.
#[derive(Debug, Default)]
pub struct StringTableBuilder {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl StringTableBuilder {
    /// Appends the next string.
    ///
    /// # Errors
    /// When the table would exceed 4 GiB of text or 2^32 - 1 strings.
    pub fn push(&mut self, text: &str) -> Result<(), IndexError> {
        self.bytes.extend_from_slice(text.as_bytes());
        let found = self.bytes.len() as u64;
        let over =
            IndexError::Limit { what: "bytes of a string table".into(), found, limit: MAX_BYTES };
        self.ends.push(u32::try_from(found).map_err(|_| over)?);
        if u32::try_from(self.ends.len()).is_err() {
            return Err(IndexError::Limit {
                what: "strings of a table".into(),
                found: self.ends.len() as u64,
                limit: MAX_BYTES,
            });
        }
        Ok(())
    }

    /// Number of strings so far.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string with a number.
    #[must_use]
    #[inline]
    pub(crate) fn get(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] as usize };
        &self.bytes[start..self.ends[number] as usize]
    }

    /// Numbers in ascending order of their strings (equal strings by number).
    /// Cost: O(n log n) comparisons over all cores.
    #[must_use]
    pub(crate) fn sorted(&self) -> Vec<u32> {
        use rayon::slice::ParallelSliceMut;
        let count = u32::try_from(self.len()).unwrap_or(u32::MAX);
        let mut order: Vec<u32> = (0..count).collect();
        order.par_sort_unstable_by(|&a, &b| {
            self.get(a as usize).cmp(self.get(b as usize)).then(a.cmp(&b))
        });
        order
    }

    /// Writes the three sections `PREFIX.ends`, `PREFIX.bytes` and `PREFIX.sorted`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn write(
        &self,
        part: &mut PartWriter,
        prefix: &str,
        sorted: &[u32],
    ) -> Result<(), IndexError> {
        part.put_section(&format!("{prefix}.ends"), &self.ends)?;
        part.put_section(&format!("{prefix}.bytes"), &self.bytes)?;
        part.put_section(&format!("{prefix}.sorted"), sorted)
    }
}

/// A string table in a mapped file. Everything was validated when it was opened.
#[derive(Debug, Clone)]
pub(crate) struct StringTable {
    file: MappedFile,
    ends: std::ops::Range<usize>,
    bytes: std::ops::Range<usize>,
    sorted: std::ops::Range<usize>,
}

impl StringTable {
    /// Opens the sections that [`StringTableBuilder::write`] wrote.
    ///
    /// # Errors
    /// When a section is missing, offsets descend or leave the text, the text is not UTF-8, or the
    /// permutation names a string that does not exist. Cost: one pass over the table.
    pub(crate) fn open(part: &Part, prefix: &str) -> Result<Self, IndexError> {
        let corrupt =
            |what: &str| IndexError::corrupt(part.path(), format!("table `{prefix}`: {what}"));
        let range = |name: &str| {
            let section = format!("{prefix}.{name}");
            part.section_range(&section).ok_or_else(|| {
                IndexError::corrupt(part.path(), format!("section `{section}` is missing"))
            })
        };
        let ends: &[u32] = part.array(&format!("{prefix}.ends"))?;
        let sorted: &[u32] = part.array(&format!("{prefix}.sorted"))?;
        let text = std::str::from_utf8(part.bytes(&format!("{prefix}.bytes"))?)
            .map_err(|_| corrupt("text is not UTF-8"))?;
        if ends.windows(2).any(|w| w[0] > w[1])
            || ends.last().map_or(0, |e| *e as usize) != text.len()
            || ends.iter().any(|e| !text.is_char_boundary(*e as usize))
        {
            return Err(corrupt("offsets do not fit the text"));
        }
        if sorted.len() != ends.len() || sorted.iter().any(|n| *n as usize >= ends.len()) {
            return Err(corrupt("the sorted order does not match the strings"));
        }
        Ok(Self {
            file: part.file().clone(),
            ends: range("ends")?,
            bytes: range("bytes")?,
            sorted: range("sorted")?,
        })
    }

    /// Number of strings.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.ends.len() / 4
    }

    /// Whether there is none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The string with a number below [`Self::len`].
    ///
    /// # Panics
    /// When the number is too large.
    #[must_use]
    #[inline]
    pub(crate) fn get(&self, number: usize) -> &str {
        let ends: &[u32] = bytemuck::cast_slice(&self.file[self.ends.clone()]);
        let start = if number == 0 { 0 } else { ends[number - 1] as usize };
        let bytes = &self.file[self.bytes.clone()][start..ends[number] as usize];
        // Validated as a whole, with every end on a boundary, in `open`.
        std::str::from_utf8(bytes).unwrap_or("")
    }

    /// The numbers of all strings equal to `text`, ascending. Cost: two binary searches.
    pub(crate) fn find(&self, text: &str) -> impl Iterator<Item = usize> + '_ {
        let sorted: &[u32] = bytemuck::cast_slice(&self.file[self.sorted.clone()]);
        let order = |n: &u32| self.get(*n as usize).as_bytes().cmp(text.as_bytes());
        let start = sorted.partition_point(|n| order(n) == Ordering::Less);
        let end = start + sorted[start..].partition_point(|n| order(n) == Ordering::Equal);
        sorted[start..end].iter().map(|n| *n as usize)
    }
}
