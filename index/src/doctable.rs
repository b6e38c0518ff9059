//! The document table: a segment's rows and the collection's own ids, both ways.
//!
//! A row is a document, or one passage of a split document; then the id is that of the document
//! and the row carries the passage's ordinal and its bytes in the document's text.

use std::ops::Range;
use std::path::Path;

use quarry_vectors::DocId;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use crate::container::{Part, PartWriter, Verify, Written};
use crate::error::IndexError;
use crate::part::SegmentPart;
use crate::strings::{StringTable, StringTableBuilder};

/// Name of the part kind.
pub const KIND: &str = "documents";
/// Version written.
pub const VERSION: u32 = 1;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;

#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    passages: bool,
}

/// Where a row comes from in a split document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassageSpan {
    /// Position of the passage in its document, from 0.
    pub ordinal: u32,
    /// Its bytes in the document's text.
    pub bytes: Range<u64>,
}

/// Collects the rows of a segment in their order.
#[derive(Debug, Default)]
pub struct DocTableBuilder {
    ids: StringTableBuilder,
    ordinals: Vec<u32>,
    spans: Vec<u64>,
}

impl DocTableBuilder {
    /// Appends a whole document, or with `passage` a part of one.
    ///
    /// # Errors
    /// When the table outgrows the format.
    pub fn push(&mut self, id: &str, passage: Option<&PassageSpan>) -> Result<(), IndexError> {
        if let Some(span) = passage {
            // Rows before the first split one are whole documents: passage 0 of nothing.
            self.ordinals.resize(self.ids.len(), 0);
            self.spans.resize(2 * self.ids.len(), 0);
            self.ordinals.push(span.ordinal);
            self.spans.extend([span.bytes.start, span.bytes.end]);
        } else if !self.ordinals.is_empty() {
            self.ordinals.push(0);
            self.spans.extend([0, 0]);
        }
        self.ids.push(id)
    }

    /// Number of rows so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Two rows with the same id that are not different passages of one document, if there are any.
    /// Cost: sorts the ids.
    #[must_use]
    pub fn repeated_id(&self) -> Option<(usize, usize)> {
        let ordinal = |row: &u32| self.ordinals.get(*row as usize).copied().unwrap_or(0);
        let id = |row: &u32| self.ids.get(*row as usize);
        for rows in self.ids.sorted().chunk_by_mut(|a, b| id(a) == id(b)) {
            rows.sort_unstable_by_key(|row| (ordinal(row), *row));
            if let Some(pair) = rows.windows(2).find(|w| ordinal(&w[0]) == ordinal(&w[1])) {
                return Some((pair[0] as usize, pair[1] as usize));
            }
        }
        None
    }

    /// Writes the part.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, path: &Path) -> Result<Written, IndexError> {
        let mut part = PartWriter::create(path, KIND, VERSION)?;
        part.put_json("meta", &Meta { passages: !self.ordinals.is_empty() })?;
        self.ids.write(&mut part, "id", &self.ids.sorted())?;
        if !self.ordinals.is_empty() {
            part.put_section("row.ordinal", &self.ordinals)?;
            part.put_section("row.span", &self.spans)?;
        }
        part.finish(self.ids.len() as u64)
    }
}

/// The document table of an open segment.
#[derive(Debug, Clone)]
pub struct DocTable {
    part: Part,
    ids: StringTable,
    passages: bool,
}

impl DocTable {
    /// Opens and validates the part.
    ///
    /// # Errors
    /// As [`Part::open`] and `StringTable::open`.
    pub fn open(path: &Path, verify: Verify) -> Result<Self, IndexError> {
        Self::read(Part::open(path, KIND, READABLE, verify)?, verify)
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many documents there are without those of `deleted` rows: of a split one its first passage
    /// counts.
    #[must_use]
    pub(crate) fn count(&self, deleted: Option<&RoaringBitmap>) -> u64 {
        let ordinals: &[u32] = match self.passages {
            true => self.part.array("row.ordinal").unwrap_or_default(),
            false => {
                let deleted = deleted.map_or(0, RoaringBitmap::len);
                return (self.len() as u64).saturating_sub(deleted);
            }
        };
        let live = |row: &u32| !deleted.is_some_and(|deleted| deleted.contains(*row));
        let first = (0u32..).zip(ordinals).filter(|(_, ordinal)| **ordinal == 0);
        first.filter(|(row, _)| live(row)).count() as u64
    }

    /// The document's own id.
    ///
    /// # Panics
    /// When the segment has no such row.
    #[must_use]
    #[inline]
    pub fn id(&self, doc: DocId) -> &str {
        self.ids.get(doc.index())
    }

    /// The rows of a document, ascending; more than one only when it was split.
    pub fn find(&self, id: &str) -> impl Iterator<Item = DocId> + '_ {
        self.ids.find(id).map(|n| DocId(u32::try_from(n).unwrap_or(u32::MAX)))
    }

    /// Whether rows may be passages.
    #[must_use]
    pub fn has_passages(&self) -> bool {
        self.passages
    }

    /// Where the row lies in its document, when the segment has split documents.
    #[must_use]
    pub fn passage(&self, doc: DocId) -> Option<PassageSpan> {
        if !self.passages {
            return None;
        }
        let ordinals: &[u32] = self.part.array("row.ordinal").ok()?;
        let spans: &[u64] = self.part.array("row.span").ok()?;
        let at = doc.index();
        Some(PassageSpan {
            ordinal: *ordinals.get(at)?,
            bytes: *spans.get(2 * at)?..*spans.get(2 * at + 1)?,
        })
    }
}

impl SegmentPart for DocTable {
    fn read(part: Part, _: Verify) -> Result<Self, IndexError> {
        let path = &part.path().to_path_buf();
        let meta: Meta = part.json("meta")?;
        let ids = StringTable::open(&part, "id")?;
        if ids.len() as u64 != part.documents() {
            return Err(IndexError::corrupt(
                path,
                format!("{} ids for {} rows", ids.len(), part.documents()),
            ));
        }
        if meta.passages {
            let ordinals: &[u32] = part.array("row.ordinal")?;
            let spans: &[u64] = part.array("row.span")?;
            if ordinals.len() != ids.len() || spans.len() != 2 * ids.len() {
                return Err(IndexError::corrupt(path, "the passages do not match the rows"));
            }
        }
        Ok(Self { part, ids, passages: meta.passages })
    }

    fn part(&self) -> &Part {
        &self.part
    }

    fn part_mut(&mut self) -> &mut Part {
        &mut self.part
    }
}
