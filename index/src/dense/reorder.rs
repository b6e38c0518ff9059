//! The same vectors for the same rows in another order: a segment that is rewritten from one or several keeps its
//! dense vectors, bit by bit.

use std::path::Path;

use super::kept::DenseKept;
use super::store::DenseStore;
use super::write::{DenseOptions, DenseWriter};
use crate::container::Written;
use crate::error::IndexError;
use crate::tokens::OldRow;

/// Whether [`reorder`] can bring the rows of all of these into one part: they are of one source and stored alike.
#[must_use]
pub fn alike(stores: &[&DenseStore]) -> bool {
    let same = |pair: &[&DenseStore]| DenseKept::of(pair[0]).fits(&DenseKept::of(pair[1]));
    stores.windows(2).all(same)
}

/// Writes the part of a segment whose rows are those of `order`; `stores` are the vectors of the old segments.
///
/// # Errors
/// When the stores are not [`alike`], `order` names a row that is not there, or the disk refuses.
pub fn reorder(
    stores: &[&DenseStore],
    path: &Path,
    order: &[OldRow],
) -> Result<Written, IndexError> {
    let Some(first) = stores.first().filter(|_| alike(stores)) else {
        return Err(IndexError::corrupt(path, "the dense vectors differ in source or form"));
    };
    let DenseKept { dims, storage, source } = DenseKept::of(first);
    let mut part = DenseWriter::create(path, DenseOptions { dims, storage, source })?;
    for row in order {
        let store = stores.get(row.segment);
        let Some((store, (bytes, scale))) = store.and_then(|s| Some((s, s.raw(row.doc)?))) else {
            return Err(IndexError::corrupt(path, format!("there is no row {}", row.doc.0)));
        };
        part.copy(store.has(row.doc), scale, bytes)?;
    }
    Ok(part.finish()?.0)
}
