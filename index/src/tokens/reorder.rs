//! The same rows for the same documents in another order: a segment that is sealed anew keeps them.

use std::ops::Range;
use std::path::Path;

use quarry_vectors::DocId;

use super::{Form, KIND, TokenStore, VERSION};
use crate::IndexError;
use crate::container::{PartWriter, Written};

/// Writes the part of a segment whose row `i` is document `order[i]` of `store`.
///
/// # Errors
/// When the disk refuses.
///
/// # Panics
/// When `order` names a document that the store lacks.
pub fn reorder(store: &TokenStore, path: &Path, order: &[DocId]) -> Result<Written, IndexError> {
    let mut part = PartWriter::create(path, KIND, VERSION)?;
    let mut starts = vec![0u64];
    for doc in order {
        let next = starts.last().copied().unwrap_or(0) + store.rows(*doc).len() as u64;
        starts.push(next);
    }
    part.put_section("starts", &starts)?;
    let stride = store.meta().stride;
    let mut copy = |section: &str, bytes: &[u8], each: usize| {
        part.section(section)?;
        for doc in order {
            let Range { start, end } = store.rows(*doc);
            part.write(&bytes[start * each..end * each])?;
        }
        Ok::<_, IndexError>(())
    };
    for form in &store.meta().forms {
        match form {
            Form::Int8 => {
                let Some(rows) = store.int8() else { continue };
                copy("i8.rows", bytemuck::cast_slice(rows.rows), stride)?;
                copy("i8.scale", bytemuck::cast_slice(rows.scales), 4)?;
                copy("i8.error", bytemuck::cast_slice(rows.errors), 4)?;
            }
            Form::Fp16 => {
                let Some(rows) = store.fp16() else { continue };
                copy("f16.rows", bytemuck::cast_slice(rows), 2 * stride)?;
            }
            Form::Residual => {
                let Some(rows) = store.residual() else { continue };
                copy("r4.rows", rows.rows, stride / 2)?;
                copy("r4.scale", bytemuck::cast_slice(rows.scales), 4)?;
                copy("r4.centroid", bytemuck::cast_slice(rows.centroid), 4)?;
            }
            Form::Sign => {
                let Some(rows) = store.signs() else { continue };
                copy("b1.rows", rows.rows, stride / 8)?;
                copy("b1.scale", bytemuck::cast_slice(rows.scales), 4)?;
            }
        }
    }
    if let Some(rows) = store.residual() {
        part.put_section("r4.centroids", rows.centroids)?;
        part.put_section("r4.levels", rows.levels)?;
    }
    let mut meta = store.meta().clone();
    meta.tokens = starts.last().copied().unwrap_or(0);
    part.put_json("meta", &meta)?;
    part.finish(order.len() as u64)
}
