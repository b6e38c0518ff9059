//! The same rows for the same documents in another order: a segment that is rewritten from one or several
//! keeps its token embeddings.

use std::ops::Range;
use std::path::Path;

use quarry_vectors::DocId;

use super::kept::TokensKept;
use super::layout::{Form, KIND, TokensMeta, VERSION};
use super::rows::{Int8Rows, ResidualRows, SignRows};
use super::store::TokenStore;
use crate::container::{PartWriter, Written};
use crate::error::IndexError;

/// Whether [`reorder`] can bring the rows of all of these into one part: they are of one source and
/// stored alike, with the same centroids where the form has any.
#[must_use]
pub fn alike(stores: &[&TokenStore]) -> bool {
    let same = |a: &TokenStore, b: &TokenStore| {
        let (kept, other) = (TokensKept::of(a), TokensKept::of(b));
        let centroids = match (a.residual(), b.residual()) {
            (None, None) => true,
            (Some(a), Some(b)) => a.centroids == b.centroids && a.levels == b.levels,
            _ => false,
        };
        (kept.dims, &kept.forms, kept.pool) == (other.dims, &other.forms, other.pool)
            && kept.same_source(&other.source)
            && centroids
    };
    stores.windows(2).all(|w| same(w[0], w[1]))
}

/// A row of a segment that is written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldRow {
    /// Which of the old segments has it.
    pub segment: usize,
    /// Its row there.
    pub doc: DocId,
}

/// Writes the part of a segment whose rows are those of `order`; `stores` are the embeddings of the old
/// segments.
///
/// # Errors
/// When the stores are not [`alike`], or the disk refuses.
///
/// # Panics
/// When `order` names a document or a store that is not there.
pub fn reorder(
    stores: &[&TokenStore],
    path: &Path,
    order: &[OldRow],
) -> Result<Written, IndexError> {
    let Some(first) = stores.first().filter(|_| alike(stores)) else {
        return Err(IndexError::corrupt(path, "the token embeddings differ in source or form"));
    };
    let mut part = PartWriter::create(path, KIND, VERSION)?;
    let mut starts = vec![0u64];
    for row in order {
        let length = stores[row.segment].rows(row.doc).len() as u64;
        let next = starts.last().copied().unwrap_or(0) + length;
        starts.push(next);
    }
    part.put_section("starts", &starts)?;
    let stride = first.meta().stride;
    let mut copy = |section: &str, bytes: &[&[u8]], each: usize| {
        part.section(section)?;
        for row in order {
            let Range { start, end } = stores[row.segment].rows(row.doc);
            part.write(&bytes[row.segment][start * each..end * each])?;
        }
        Ok::<_, IndexError>(())
    };
    for form in &first.meta().forms {
        match form {
            Form::Int8 => {
                let of = |get: fn(Int8Rows<'_>) -> &[u8]| -> Vec<&[u8]> {
                    stores.iter().map(|s| s.int8().map_or(&[][..], get)).collect()
                };
                copy("i8.rows", &of(|rows| bytemuck::cast_slice(rows.rows)), stride)?;
                copy("i8.scale", &of(|rows| bytemuck::cast_slice(rows.scales)), 4)?;
                copy("i8.error", &of(|rows| bytemuck::cast_slice(rows.errors)), 4)?;
            }
            Form::Fp16 => {
                let rows = stores.iter().map(|s| s.fp16().map_or(&[][..], bytemuck::cast_slice));
                copy("f16.rows", &rows.collect::<Vec<_>>(), 2 * stride)?;
            }
            Form::Residual => {
                let of = |get: fn(ResidualRows<'_>) -> &[u8]| -> Vec<&[u8]> {
                    stores.iter().map(|s| s.residual().map_or(&[][..], get)).collect()
                };
                copy("r4.rows", &of(|rows| rows.rows), stride / 2)?;
                copy("r4.scale", &of(|rows| bytemuck::cast_slice(rows.scales)), 4)?;
                copy("r4.centroid", &of(|rows| bytemuck::cast_slice(rows.centroid)), 4)?;
            }
            Form::Sign => {
                let of = |get: fn(SignRows<'_>) -> &[u8]| -> Vec<&[u8]> {
                    stores.iter().map(|s| s.signs().map_or(&[][..], get)).collect()
                };
                copy("b1.rows", &of(|rows| rows.rows), stride / 8)?;
                copy("b1.scale", &of(|rows| bytemuck::cast_slice(rows.scales)), 4)?;
            }
        }
    }
    if let Some(rows) = first.residual() {
        part.put_section("r4.centroids", rows.centroids)?;
        part.put_section("r4.levels", rows.levels)?;
    }
    let mut meta = first.meta().clone();
    meta.tokens = starts.last().copied().unwrap_or(0);
    meta.longest = starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
    let metas = || stores.iter().map(|store| store.meta());
    meta.max_norm = metas().map(|m| m.max_norm).fold(0.0, f32::max);
    // Of all rows that the stores have, those of deleted documents among them.
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let weighed = |m: &TokensMeta| (m.mean_error * m.tokens as f64, m.tokens as f64);
    let (sum, rows) = metas().map(weighed).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    meta.mean_error = if rows > 0.0 { sum / rows } else { 0.0 };
    part.put_json("meta", &meta)?;
    part.finish(order.len() as u64)
}
