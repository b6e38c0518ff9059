//! Documents are deleted: their rows are marked, nothing is rewritten.

use std::path::Path;

use super::{Checked, Deletions, IndexWriter};
use crate::BuildError;

/// What a deletion did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeleteReport {
    /// The generation that is current now; the one before when nothing was deleted.
    pub generation: u64,
    /// Documents deleted.
    pub deleted: u64,
    /// Ids that no document has, in the order given.
    pub unknown: Vec<String>,
}

/// Deletes the documents with these ids. Ids that no document has are reported, and change nothing.
/// Cost: O(ids x segments x log documents), and a bitmap a segment.
///
/// # Errors
/// When there is no index, another process writes there, an unfinished build lies there, or the disk
/// refuses; then nothing is deleted.
pub fn delete<'a>(
    folder: &Path,
    ids: impl IntoIterator<Item = &'a str>,
) -> Result<DeleteReport, BuildError> {
    let writer = IndexWriter::take(folder, Checked::Rewritten, |_| false)?;
    let mut deletions = Deletions::new(writer.index().segments());
    let unknown: Vec<String> =
        ids.into_iter().filter(|id| !deletions.delete(id)).map(str::to_owned).collect();
    let deleted = deletions.count();
    let mut manifest = writer.index().manifest().clone();
    let mut generation = manifest.generation;
    if deleted > 0 {
        deletions.write(writer.storage(), &mut manifest.segments)?;
        generation = writer.commit(manifest)?;
    }
    Ok(DeleteReport { generation, deleted, unknown })
}
