//! Coarse groups of documents, so that later steps cost the same for each document at any collection size:
//! k-means over a sample, then every document joins its nearest centroid; a group that is still too large
//! is split again.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::index::sample;
use rayon::prelude::*;

use super::centroids::{Centroids, Mean, Vector};
use super::heads::Head;

/// Target number of documents per group; the next constant is the largest number.
const DOCUMENTS: usize = 16_384;
const MOST: usize = 2 * DOCUMENTS;
/// Most parts of one split.
const PARTS: usize = 64;
/// k-means: sampled documents per part, then rounds, then components of a centroid.
const SAMPLE: usize = 256;
const ROUNDS: usize = 4;
const COMPONENTS: usize = 256;

/// Splits `rows` into groups of at most [`MOST`] documents, none empty. The result depends only on the
/// heads and the seed, not on the number of threads. `cut_off` is called with the size of every group.
pub(super) fn groups(
    heads: &[Head],
    rows: Vec<u32>,
    seed: u64,
    cut_off: &mut dyn FnMut(usize),
) -> Vec<Vec<u32>> {
    if rows.is_empty() {
        return Vec::new();
    }
    if rows.len() <= MOST {
        cut_off(rows.len());
        return vec![rows];
    }
    let parts = rows.len().div_ceil(DOCUMENTS).clamp(2, PARTS);
    let mut out = Vec::new();
    for (number, part) in (1u64..).zip(cut(heads, &rows, parts, seed)) {
        if part.len() == rows.len() {
            // All documents are alike: split anywhere.
            cut_off(part.len());
            out.extend(part.chunks(DOCUMENTS).map(<[u32]>::to_vec));
        } else {
            let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(number);
            out.extend(groups(heads, part, seed, cut_off));
        }
    }
    out
}

/// One split into `parts` and one more for documents that are near none; some may be empty.
fn cut(heads: &[Head], rows: &[u32], parts: usize, seed: u64) -> Vec<Vec<u32>> {
    let mut random = SmallRng::seed_from_u64(seed);
    let size = (parts * SAMPLE).min(rows.len());
    let mut some: Vec<u32> =
        sample(&mut random, rows.len(), size).into_iter().map(|at| rows[at]).collect();
    let mut mean = Mean::default();
    let mut vectors: Vec<Vector> = some[..parts]
        .iter()
        .map(|row| mean.of(std::iter::once(&heads[*row as usize]), COMPONENTS))
        .collect();
    some.sort_unstable();
    for _ in 0..ROUNDS {
        let parts = Centroids::new(&vectors).assign(heads, &some);
        vectors = parts[..parts.len() - 1]
            .par_iter()
            .map_init(Mean::default, |mean, part| {
                mean.of(part.iter().map(|row| &heads[*row as usize]), COMPONENTS)
            })
            .collect();
    }
    Centroids::new(&vectors).assign(heads, rows)
}
