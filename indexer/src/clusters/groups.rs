//! Coarse groups of documents, so that what follows costs the same for each document however many
//! there are: k-means over a sample, then every document to its nearest centroid; a group that is
//! still too large is cut again.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::index::sample;
use rayon::prelude::*;

use super::centroids::{Centroids, Mean, Vector};
use super::heads::Head;

/// Documents of a group, about, and at most.
const DOCUMENTS: usize = 16_384;
const MOST: usize = 2 * DOCUMENTS;
/// Groups that are cut off at once.
const PARTS: usize = 64;
/// Documents of the sample for each part, rounds over it, components of a centroid.
const SAMPLE: usize = 256;
const ROUNDS: usize = 4;
const COMPONENTS: usize = 256;

/// Cuts `rows` into groups of at most [`MOST`], none empty. The same for the same heads
/// and seed, whatever the number of threads. `cut_off` hears of every group's size.
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
            // All alike: any cut is as good as another.
            cut_off(part.len());
            out.extend(part.chunks(DOCUMENTS).map(<[u32]>::to_vec));
        } else {
            let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(number);
            out.extend(groups(heads, part, seed, cut_off));
        }
    }
    out
}

/// One cut into `parts`, some of which may be empty; the last takes documents that are near none.
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
