//! Centroids of token embeddings by k-means over a sample (Lloyd), for the form `4bit`.

use quarry_index::tokens::{Centroids, nearest};
use quarry_vectors::{DocId, TokenEmbeddings};
use rayon::prelude::*;

use crate::BuildError;

/// Sampled rows per centroid; the next constant is the rounds of k-means.
const ROWS_EACH: usize = 64;
const ROUNDS: usize = 8;

/// Finds `count` centroids of the rows of all documents, or fewer if there are fewer rows. The sample
/// takes documents at even distances; nothing is random.
pub(super) fn find(
    documents: usize,
    dims: usize,
    count: usize,
    read: &mut dyn FnMut(DocId) -> Result<TokenEmbeddings, BuildError>,
) -> Result<Centroids, BuildError> {
    let most = count * ROWS_EACH;
    // This step fills the sample if each of these documents gives four rows, one in eight of its rows.
    let step = (documents / most.div_ceil(4).max(1)).max(1);
    let mut sample: Vec<f32> = Vec::new();
    for doc in (0..documents).step_by(step) {
        let rows = read(DocId(u32::try_from(doc).unwrap_or(u32::MAX)))?;
        for row in rows.rows().skip(doc % 8).step_by(8) {
            sample.extend(row);
        }
        if sample.len() >= most * dims {
            break;
        }
    }
    let rows = sample.len() / dims;
    let count = count.min(rows);
    // The first centroids are rows at even distances.
    let mut centroids: Vec<f32> = (0..count)
        .flat_map(|c| sample[c * rows / count * dims..][..dims].iter().copied())
        .collect();
    for _ in 0..ROUNDS {
        let owner: Vec<u32> =
            sample.par_chunks_exact(dims).map(|row| nearest(row, &centroids, dims)).collect();
        let mut sums = vec![0f64; count * dims];
        let mut sizes = vec![0f64; count];
        for (row, of) in sample.chunks_exact(dims).zip(&owner) {
            let of = *of as usize;
            sizes[of] += 1.0;
            let sum = &mut sums[of * dims..(of + 1) * dims];
            sum.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
        }
        for (c, size) in sizes.iter().enumerate().filter(|(_, size)| **size > 0.0) {
            let at = c * dims..(c + 1) * dims;
            #[expect(clippy::cast_possible_truncation, reason = "rows are f32")]
            for (value, sum) in centroids[at.clone()].iter_mut().zip(&sums[at]) {
                *value = (sum / size) as f32;
            }
        }
    }
    Ok(Centroids { values: centroids })
}
