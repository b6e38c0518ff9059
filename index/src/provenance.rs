//! Where the components of documents' vectors come from: which token of the passage gave each its
//! weight, and where in title or text that token stands.
//!
//! A document is one record: the tokens that gave any component, ascending, then for each component, in
//! the order of the forward index, the number of its token in as few bits as tell them apart. Few of a
//! passage's tokens give components and many give several, so this is smaller than positions would be,
//! and a token's place is stored once.

use std::ops::Range;
use std::path::Path;

use quarry_vectors::{DocId, Field, Origin, PooledBy};
use serde::{Deserialize, Serialize};

use crate::container::{Part, PartWriter, Verify, Written};
use crate::error::IndexError;
use crate::part::SegmentPart;

/// Name of the part kind.
pub const KIND: &str = "provenance";
/// Version written.
pub const VERSION: u32 = 1;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;

/// What the part says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenanceMeta {
    /// What an origin is.
    pub pooled_by: PooledBy,
    /// Rows that have a record.
    pub rows: u64,
    /// Bytes of all records.
    pub bytes: u64,
}

/// The record of a vector's origins, one a component; empty for none. Positions and bytes of a field
/// may have any value.
#[must_use]
pub fn record(origins: &[Origin]) -> Vec<u8> {
    let mut tokens: Vec<&Origin> = origins.iter().collect();
    tokens.sort_unstable_by_key(|origin| key(origin));
    tokens.dedup_by_key(|origin| key(origin));
    let mut out = Vec::new();
    if tokens.is_empty() {
        return out;
    }
    put(&mut out, tokens.len() as u64);
    let mut before = Before::default();
    for token in &tokens {
        put(&mut out, u64::from(token.position - before.position));
        before.position = token.position;
        match &token.place {
            None => put(&mut out, 0),
            Some((field, bytes)) => {
                let length = u64::from(bytes.end.saturating_sub(bytes.start));
                put(&mut out, length << 2 | field_number(*field));
                let at = before.field(*field);
                put(&mut out, zigzag(i64::from(bytes.start) - i64::from(*at)));
                *at = bytes.start;
            }
        }
    }
    let width = width(tokens.len());
    let (mut bits, mut filled) = (0u64, 0);
    for origin in origins {
        let number = tokens.partition_point(|token| key(token) < key(origin));
        bits |= (number as u64) << filled;
        filled += width;
        while filled >= 8 {
            out.push((bits & 0xff) as u8);
            (bits, filled) = (bits >> 8, filled - 8);
        }
    }
    if filled > 0 {
        out.push((bits & 0xff) as u8);
    }
    out
}

/// The origins of `components` components that a record has; `None` when it is not such a record.
#[must_use]
pub fn origins(record: &[u8], components: usize) -> Option<Vec<Origin>> {
    let mut rest = record;
    // A token takes two bytes at least.
    let count = usize::try_from(take(&mut rest)?).ok().filter(|n| (1..=rest.len()).contains(n))?;
    let mut tokens = Vec::with_capacity(count);
    let mut before = Before::default();
    for _ in 0..count {
        before.position = before.position.checked_add(narrow(take(&mut rest)?)?)?;
        let head = take(&mut rest)?;
        let place = match head & 3 {
            0 if head == 0 => None,
            number => {
                let field = if number == 1 { Field::Title } else { Field::Text };
                if number != field_number(field) {
                    return None;
                }
                let at = before.field(field);
                let start = i64::from(*at).checked_add(unzigzag(take(&mut rest)?))?;
                *at = u32::try_from(start).ok()?;
                Some((field, *at..at.checked_add(narrow(head >> 2)?)?))
            }
        };
        tokens.push(Origin { position: before.position, place });
    }
    let width = width(count);
    if rest.len() != components.checked_mul(width as usize)?.div_ceil(8) {
        return None;
    }
    let mut bytes = rest.iter();
    let (mut bits, mut filled) = (0u64, 0);
    let mut out = Vec::with_capacity(components);
    for _ in 0..components {
        while filled < width {
            bits |= u64::from(*bytes.next()?) << filled;
            filled += 8;
        }
        let number = usize::try_from(bits & ((1 << width) - 1)).ok()?;
        out.push(tokens.get(number)?.clone());
        (bits, filled) = (bits >> width, filled - width);
    }
    Some(out)
}

/// The token before, from which the next is counted.
#[derive(Debug, Default)]
struct Before {
    position: u32,
    title: u32,
    text: u32,
}

impl Before {
    fn field(&mut self, field: Field) -> &mut u32 {
        match field {
            Field::Title => &mut self.title,
            Field::Text => &mut self.text,
        }
    }
}

fn field_number(field: Field) -> u64 {
    match field {
        Field::Title => 1,
        Field::Text => 2,
    }
}

/// What tells tokens apart, and their order.
fn key(origin: &Origin) -> (u32, Option<(Field, u32, u32)>) {
    (origin.position, origin.place.as_ref().map(|(field, b)| (*field, b.start, b.end)))
}

/// Bits that tell `count` tokens apart.
fn width(count: usize) -> u32 {
    usize::BITS - count.saturating_sub(1).leading_zeros()
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn narrow(value: u64) -> Option<u32> {
    u32::try_from(value).ok()
}

/// Small numbers of either sign as small numbers.
fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Writes the part, front to back.
#[derive(Debug)]
pub struct ProvenanceWriter {
    part: PartWriter,
    ends: Vec<u64>,
    meta: ProvenanceMeta,
}

impl ProvenanceWriter {
    /// Begins the part.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn create(path: &Path, pooled_by: PooledBy) -> Result<Self, IndexError> {
        let mut part = PartWriter::create(path, KIND, VERSION)?;
        part.section("records")?;
        let meta = ProvenanceMeta { pooled_by, rows: 0, bytes: 0 };
        Ok(Self { part, ends: Vec::new(), meta })
    }

    /// Appends the next document's [`record`]; empty where its origins are not known.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn push(&mut self, record: &[u8]) -> Result<(), IndexError> {
        self.meta.rows += u64::from(!record.is_empty());
        self.meta.bytes += record.len() as u64;
        self.ends.push(self.meta.bytes);
        self.part.write(record)
    }

    /// Ends the part.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> Result<(Written, ProvenanceMeta), IndexError> {
        self.part.put_section("ends", &self.ends)?;
        self.part.put_json("meta", &self.meta)?;
        let written = self.part.finish(self.ends.len() as u64)?;
        Ok((written, self.meta))
    }
}

/// The origins of an open segment's components.
#[derive(Debug, Clone)]
pub struct Provenance {
    part: Part,
    meta: ProvenanceMeta,
    ends: Range<usize>,
    records: Range<usize>,
}

impl Provenance {
    /// Opens the part and checks that the records lie inside it, one after another. Records are looked
    /// into when they are read.
    ///
    /// # Errors
    /// As [`Part::open`]; and when the ends do not share the records among the documents.
    pub fn open(path: &Path, verify: Verify) -> Result<Self, IndexError> {
        Self::read(Part::open(path, KIND, READABLE, verify)?, verify)
    }

    /// What the part says of itself.
    #[must_use]
    pub fn meta(&self) -> &ProvenanceMeta {
        &self.meta
    }

    /// Bytes of the part.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.part.file().len() as u64
    }

    /// A document's record as it is stored; empty where its origins are not known.
    ///
    /// # Panics
    /// When the segment has no such document.
    #[must_use]
    pub fn record(&self, doc: DocId) -> &[u8] {
        let ends: &[u64] = bytemuck::cast_slice(&self.part.file()[self.ends.clone()]);
        let at = |i: usize| usize::try_from(ends[i]).unwrap_or(usize::MAX);
        let start = doc.index().checked_sub(1).map_or(0, at);
        &self.part.file()[self.records.clone()][start..at(doc.index())]
    }

    /// The origins of a document's `components` components, in the order of its vector; `None` where
    /// they are not known.
    ///
    /// # Errors
    /// When the record does not have that many components.
    ///
    /// # Panics
    /// When the segment has no such document.
    pub fn origins(
        &self,
        doc: DocId,
        components: usize,
    ) -> Result<Option<Vec<Origin>>, IndexError> {
        match self.record(doc) {
            [] => Ok(None),
            record => origins(record, components).map(Some).ok_or_else(|| {
                let what = format!(
                    "record {} does not hold the origins of {components} components",
                    doc.0
                );
                IndexError::corrupt(self.part.path(), what)
            }),
        }
    }
}

impl SegmentPart for Provenance {
    fn read(part: Part, _: Verify) -> Result<Self, IndexError> {
        let path = &part.path().to_path_buf();
        let meta: ProvenanceMeta = part.json("meta")?;
        let missing = |s: &str| IndexError::corrupt(path, format!("section `{s}` is missing"));
        let ends = part.section_range("ends").ok_or_else(|| missing("ends"))?;
        let records = part.section_range("records").ok_or_else(|| missing("records"))?;
        let all: &[u64] = part.array("ends")?;
        let fits = all.len() as u64 == part.documents()
            && all.is_sorted()
            && all.last().copied().unwrap_or(0) == records.len() as u64
            && meta.bytes == records.len() as u64;
        if !fits {
            let what = "`ends` does not assign every record to a document";
            return Err(IndexError::corrupt(path, what));
        }
        Ok(Self { part, meta, ends, records })
    }

    fn part(&self) -> &Part {
        &self.part
    }

    fn part_mut(&mut self) -> &mut Part {
        &mut self.part
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Positions with places that need not make sense; a few of them, so that components share them.
    fn any_origins() -> impl Strategy<Value = Vec<Origin>> {
        let place = (0u8..3, 0u32..3000, 0u32..40).prop_map(|(kind, start, length)| match kind {
            0 => None,
            1 => Some((Field::Title, start..start + length)),
            _ => Some((Field::Text, start..start + length)),
        });
        let token = (0u32..600, place).prop_map(|(position, place)| Origin { position, place });
        (
            prop::collection::vec(token, 1..80),
            prop::collection::vec(any::<prop::sample::Index>(), 0..150),
        )
            .prop_map(|(tokens, picks)| picks.iter().map(|p| p.get(&tokens).clone()).collect())
    }

    #[test]
    fn the_smallest_and_the_largest() {
        let none = Origin::default();
        assert_eq!(record(&[]), [0u8; 0]);
        assert_eq!(record(std::slice::from_ref(&none)), [1, 0, 0]);
        assert_eq!(origins(&[1, 0, 0], 5).unwrap(), vec![none.clone(); 5]);
        // The bytes of the format.
        let title = Origin { position: 1, place: Some((Field::Title, 0..5)) };
        let text = Origin { position: 3, place: Some((Field::Text, 4..8)) };
        let four = [title.clone(), text, title, none.clone()];
        assert_eq!(record(&four), [3, 0, 0, 1, 21, 0, 2, 18, 8, 0b00_01_10_01]);
        let far = Origin { position: u32::MAX, place: Some((Field::Text, u32::MAX - 1..u32::MAX)) };
        let all = vec![far.clone(), none, far];
        assert_eq!(origins(&record(&all), 3).unwrap(), all);
        // Position and start beyond 32 bits; an unknown field; more tokens than bytes.
        let ten_bytes = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0];
        for bad in [&ten_bytes[..], &[1, 0, 3], &[1, 0, 6, 1], &[200, 1, 0, 0], &[1, 0], &[0]] {
            assert_eq!(origins(bad, 1), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_damage_is_no_panic(
            documents in prop::collection::vec(any_origins(), 0..12),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("provenance.qry");
            let mut writer = ProvenanceWriter::create(&path, PooledBy::Sum).unwrap();
            documents.iter().for_each(|d| writer.push(&record(d)).unwrap());
            let (_, meta) = writer.finish().unwrap();
            let known = documents.iter().filter(|d| !d.is_empty()).count();
            prop_assert_eq!((meta.pooled_by, meta.rows), (PooledBy::Sum, known as u64));
            let read = Provenance::open(&path, Verify::Full).unwrap();
            prop_assert_eq!((read.meta(), read.part().documents()), (&meta, documents.len() as u64));
            for (doc, document) in (0..).map(DocId).zip(&documents) {
                let found = read.origins(doc, document.len()).unwrap();
                prop_assert_eq!(found.unwrap_or_default(), document.clone());
                // Eight more components need more bytes, unless there is one token for all.
                if read.record(doc).first().is_some_and(|n| *n > 1) {
                    prop_assert!(read.origins(doc, document.len() + 8).is_err());
                }
            }
            let mut bytes = std::fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            if bytes[at] != byte {
                bytes[at] = byte;
                std::fs::write(&path, bytes).unwrap();
                prop_assert!(Provenance::open(&path, Verify::Full).is_err());
                if let Ok(read) = Provenance::open(&path, Verify::Envelope) {
                    for (doc, document) in (0..).map(DocId).zip(documents.iter()).take(read.part().documents().try_into().unwrap()) {
                        let _ = read.origins(doc, document.len());
                    }
                }
            }
        }

        #[test]
        fn foreign_records_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), components in 0usize..200) {
            let _ = origins(&bytes, components);
        }
    }
}
