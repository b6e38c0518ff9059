//! Deletes documents: their rows are marked, nothing is rewritten.

use std::path::Path;

use super::{Checked, Deletions, IndexWriter};
use crate::BuildError;

/// The result of a deletion.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeleteReport {
    /// The current generation afterwards; unchanged if nothing was deleted.
    pub generation: u64,
    /// Documents deleted.
    pub deleted: u64,
    /// Ids that no document has, in the order given.
    pub unknown: Vec<String>,
}

/// Deletes the documents with these ids. Unknown ids are reported and have no other effect.
/// Cost: O(ids x segments x log documents), plus writing one bitmap per segment.
///
/// # Errors
/// If there is no index, another process writes to it, it holds an unfinished build, or writing fails;
/// nothing is deleted then.
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
