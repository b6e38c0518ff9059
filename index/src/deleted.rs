//! Deleted rows of a sealed segment: a part of its own, written again with each deletion.

use std::ops::Range;
use std::path::Path;

use roaring::RoaringBitmap;

use crate::container::{Part, PartWriter, Verify, Written};
use crate::error::IndexError;
use crate::part::SegmentPart;

/// Name of the part kind.
pub const KIND: &str = "deleted";
/// Version written.
pub const VERSION: u32 = 1;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;

/// Writes the rows that are deleted, of a segment of `rows`, as a roaring bitmap in its portable
/// form.
///
/// # Errors
/// When a row lies beyond the segment, or the disk refuses.
pub fn write(path: &Path, rows: u64, deleted: &RoaringBitmap) -> Result<Written, IndexError> {
    check(path, rows, deleted)?;
    let mut bytes = Vec::with_capacity(deleted.serialized_size());
    deleted.serialize_into(&mut bytes).map_err(IndexError::io(path))?;
    let mut part = PartWriter::create(path, KIND, VERSION)?;
    part.put_section("rows", &bytes)?;
    part.finish(rows)
}

/// The deleted rows of an open segment; the part says how many rows the segment had when it was written.
#[derive(Debug)]
pub(crate) struct Deleted {
    part: Part,
    rows: RoaringBitmap,
}

impl Deleted {
    pub(crate) fn rows(&self) -> &RoaringBitmap {
        &self.rows
    }
}

impl SegmentPart for Deleted {
    fn read(part: Part, _: Verify) -> Result<Self, IndexError> {
        let rows = RoaringBitmap::deserialize_from(part.bytes("rows")?)
            .map_err(|e| IndexError::corrupt(part.path(), format!("not a bitmap: {e}")))?;
        check(part.path(), part.documents(), &rows)?;
        Ok(Self { part, rows })
    }

    fn part(&self) -> &Part {
        &self.part
    }

    fn part_mut(&mut self) -> &mut Part {
        &mut self.part
    }
}

fn check(path: &Path, rows: u64, deleted: &RoaringBitmap) -> Result<(), IndexError> {
    match deleted.max() {
        Some(last) if u64::from(last) >= rows => Err(IndexError::corrupt(
            path,
            format!("row {last} is marked as deleted, but the segment has {rows} rows"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(path: &Path, verify: Verify) -> Result<(RoaringBitmap, u64), IndexError> {
        let deleted = Deleted::read(Part::open(path, KIND, READABLE, verify)?, verify)?;
        Ok((deleted.rows().clone(), deleted.part().documents()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_written_is_read_and_damage_is_no_panic(
            rows in prop::collection::btree_set(0u32..70_000, 0..100),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("deleted.qry");
            let deleted: RoaringBitmap = rows.into_iter().collect();
            write(&path, 70_000, &deleted).unwrap();
            prop_assert_eq!(open(&path, Verify::Full).unwrap(), (deleted.clone(), 70_000));
            if let Some(last) = deleted.max() {
                prop_assert!(write(&path.with_extension("b"), u64::from(last), &deleted).is_err());
            }
            let mut bytes = std::fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            std::fs::write(&path, bytes).unwrap();
            let _ = open(&path, Verify::Envelope);
        }
    }
}
