//! Seismic's inner binary format, little-endian:
//!
//! ```text
//! u32 n, then n times: u32 nnz, nnz * u32 component (ascending), nnz * f32 value
//! ```

use std::io::Write;

use super::{Exported, Pass, cannot, counts, put};
use crate::error::DatasetError;

/// Writes vectors by number of the term. Two passes: one counts. Memory: one vector.
///
/// # Errors
/// When there are more than 2^32 - 1 vectors, the passes differ, or the disk refuses.
pub fn write_seismic_bin<E: From<DatasetError>>(
    out: &mut impl Write,
    pass: Pass<'_, E>,
) -> Result<Exported, E> {
    let total = counts(pass)?;
    let number = u32::try_from(total.documents)
        .map_err(|_| cannot(format!("{} vectors; .bin takes 2^32 - 1", total.documents)))?;
    put(out, &number.to_le_bytes())?;
    let mut written = Exported::default();
    let mut record = Vec::new();
    pass(&mut |_, vector| {
        record.clear();
        let nnz = u32::try_from(vector.len()).map_err(|_| cannot("a longer vector".into()))?;
        record.extend(nnz.to_le_bytes());
        vector.terms().iter().for_each(|term| record.extend(term.to_le_bytes()));
        vector.weights().iter().for_each(|weight| record.extend(weight.to_le_bytes()));
        put(out, &record)?;
        written.documents += 1;
        written.components += u64::from(nnz);
        Ok(())
    })?;
    if written != total {
        return Err(cannot("the documents changed while they were written".into()).into());
    }
    Ok(total)
}
