//! Stores a calibration table in an index: a new generation with the same segments.

use std::path::Path;

use quarry_index::calibration::{self, Calibration};
use quarry_index::manifest::{Manifest, PartEntry};
use quarry_index::names;

use super::IndexWriter;
use crate::BuildError;

/// Stores `tables`, one per segment (`None`: that segment gets none), in the index in `folder` and returns
/// the new generation's number. `measured` is the manifest of the generation that was calibrated.
///
/// # Errors
/// If the index has changed since ([`BuildError::Changed`]), another process writes to it, or writing
/// fails.
pub fn store_calibration(
    folder: &Path,
    measured: &Manifest,
    tables: &[Option<Calibration>],
) -> Result<u64, BuildError> {
    let writer = IndexWriter::take_beside_work(folder)?;
    let mut manifest = writer.index().manifest().clone();
    if manifest != *measured {
        return Err(BuildError::Changed { path: folder.to_path_buf() });
    }
    for (segment, table) in manifest.segments.iter_mut().zip(tables) {
        segment.parts.retain(|p| p.kind != calibration::KIND);
        if let Some(table) = table {
            // A segment may be calibrated again, so the file needs a new name.
            let file = names::next_part(segment.id, calibration::KIND);
            let written = table.write(&writer.storage().path(&file), segment.rows)?;
            let (kind, version) = (calibration::KIND, calibration::VERSION);
            segment.parts.push(PartEntry::new(kind, version, &file, written, false));
        }
    }
    writer.commit(manifest)
}
