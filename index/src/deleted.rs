//! Deleted rows of a sealed segment: a part of its own, written anew with each deletion.

use std::path::Path;

use roaring::RoaringBitmap;

use crate::IndexError;
use crate::container::{Part, PartWriter, Verify, Written};

/// Name of the part kind.
pub const KIND: &str = "deleted";
/// Version written.
pub const VERSION: u32 = 1;

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

/// Reads the part: the deleted rows, and the rows of the segment that it was written for.
///
/// # Errors
/// As [`Part::open`]; when the section is no bitmap of rows of the segment.
pub fn open(path: &Path, verify: Verify) -> Result<(RoaringBitmap, u64), IndexError> {
    let part = Part::open(path, KIND, 1..VERSION + 1, verify)?;
    let rows = part.documents();
    let deleted = RoaringBitmap::deserialize_from(part.bytes("rows")?)
        .map_err(|e| IndexError::corrupt(path, format!("no bitmap: {e}")))?;
    check(path, rows, &deleted)?;
    Ok((deleted, rows))
}

fn check(path: &Path, rows: u64, deleted: &RoaringBitmap) -> Result<(), IndexError> {
    match deleted.max() {
        Some(last) if u64::from(last) >= rows => {
            Err(IndexError::corrupt(path, format!("row {last} is deleted, of {rows} rows")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
