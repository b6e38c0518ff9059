//! The version of each row of a segment: the number of the change that wrote its document.
//!
//! A document that no numbered change wrote has a version of its segment's ([`of_segment`]). So two contents of a document
//! never have the same version in one folder: numbers are not given twice, and segments' ids are random.

use std::ops::Range;
use std::path::Path;

use quarry_vectors::DocId;
use uuid::Uuid;

use crate::container::{Part, PartWriter, Verify, Written};
use crate::error::IndexError;
use crate::part::SegmentPart;

/// Name of the part kind.
pub const KIND: &str = "versions";
/// Version of the format written.
pub const VERSION: u32 = 1;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;

/// Versions from here on are those of segments; numbers of changes lie below. All are below 2^53, so that a double holds
/// them.
const OF_SEGMENTS: u64 = 1 << 52;

/// The version of documents in a segment that has no versions of its own: 2^52, and 52 bits of the segment's id.
#[must_use]
pub fn of_segment(id: Uuid) -> u64 {
    let (high, _) = id.as_u64_pair();
    OF_SEGMENTS | (high >> 12)
}

/// Writes the versions of a segment's rows, in their order.
///
/// # Errors
/// When the disk refuses.
pub fn write(path: &Path, rows: &[u64]) -> Result<Written, IndexError> {
    let mut part = PartWriter::create(path, KIND, VERSION)?;
    part.put_section("row.version", rows)?;
    part.finish(rows.len() as u64)
}

/// The versions of an open segment.
#[derive(Debug)]
pub(crate) struct Versions {
    part: Part,
}

impl Versions {
    /// Of a row that the segment has.
    pub(crate) fn get(&self, doc: DocId) -> Option<u64> {
        self.part.array::<u64>("row.version").ok()?.get(doc.index()).copied()
    }
}

impl SegmentPart for Versions {
    fn read(part: Part, _: Verify) -> Result<Self, IndexError> {
        let rows: &[u64] = part.array("row.version")?;
        if rows.len() as u64 != part.documents() {
            let what = format!("{} versions for {} rows", rows.len(), part.documents());
            return Err(IndexError::corrupt(part.path(), what));
        }
        Ok(Self { part })
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

    #[test]
    fn versions_of_segments_differ_and_fit_a_double() {
        let all: std::collections::BTreeSet<u64> =
            (0..1000).map(|_| of_segment(Uuid::new_v4())).collect();
        assert_eq!(all.len(), 1000);
        assert!(all.iter().all(|v| (1 << 52..1 << 53).contains(v)));
        assert_eq!(of_segment(Uuid::max()), (1 << 53) - 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_written_is_read_and_damage_is_no_panic(
            rows in prop::collection::vec(any::<u64>(), 0..50),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("versions.qry");
            write(&path, &rows).unwrap();
            let part = Part::open(&path, KIND, READABLE, Verify::Full).unwrap();
            let read = Versions::read(part, Verify::Full).unwrap();
            let found: Vec<u64> = (0..50).map_while(|row| read.get(DocId(row))).collect();
            prop_assert_eq!(&found, &rows);
            drop(read);
            let mut bytes = std::fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            std::fs::write(&path, bytes).unwrap();
            if let Ok(part) = Part::open(&path, KIND, READABLE, Verify::Envelope) {
                let _ = Versions::read(part, Verify::Envelope).map(|read| read.get(DocId(0)));
            }
        }
    }
}
