//! The sparse matrix file of the `BigANN` benchmark's sparse track, little-endian:
//!
//! ```text
//! i64 rows, columns, nnz; i64 indptr[rows + 1]; i32 indices[nnz]; f32 data[nnz]
//! ```

use std::io::Write;

use super::{Exported, Pass, cannot, counts, put};
use crate::error::DatasetError;

/// Writes a matrix with a row a document and a column a term. Four passes: the arrays stand one after
/// another. Memory: one vector.
///
/// # Errors
/// When a term lies beyond `columns`, there are more columns than an i32 counts, the passes differ, or
/// the disk refuses.
pub fn write_csr<E: From<DatasetError>>(
    out: &mut impl Write,
    columns: u32,
    pass: Pass<'_, E>,
) -> Result<Exported, E> {
    if i32::try_from(columns).is_err() {
        return Err(cannot(format!("{columns} terms; .csr counts them in an i32")).into());
    }
    let total = counts(pass)?;
    let signed = |n: u64| {
        i64::try_from(n).map_err(|_| cannot(format!("{n} components; .csr takes 2^63 - 1")))
    };
    for number in [total.documents, u64::from(columns), total.components] {
        put(out, &signed(number)?.to_le_bytes())?;
    }
    let mut seen = Exported::default();
    put(out, &0i64.to_le_bytes())?;
    pass(&mut |_, vector| {
        seen.documents += 1;
        seen.components += vector.len() as u64;
        Ok(put(out, &signed(seen.components)?.to_le_bytes())?)
    })?;
    let (mut terms, mut weights) = (0, 0);
    pass(&mut |id, vector| {
        for term in vector.terms() {
            let column = i32::try_from(*term).ok().filter(|_| *term < columns);
            let column = column
                .ok_or_else(|| cannot(format!("term {term} of `{id}` is beyond {columns}")))?;
            put(out, &column.to_le_bytes())?;
        }
        terms += vector.len() as u64;
        Ok(())
    })?;
    pass(&mut |_, vector| {
        for weight in vector.weights() {
            put(out, &weight.to_le_bytes())?;
        }
        weights += vector.len() as u64;
        Ok(())
    })?;
    if seen != total || terms != total.components || weights != total.components {
        return Err(cannot("the documents changed while they were written".into()).into());
    }
    Ok(total)
}
