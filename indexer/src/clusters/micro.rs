//! Micro-clusters inside a group.
//!
//! 1. random documents are the first centroids, one per cluster wanted  2. a few rounds of k-means
//! 3. clusters that are too large are split into groups of nearest neighbours

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::index::sample;

use super::centroids::{Centroids, Mean, Vector};
use super::heads::{FOLDED, Head, term, weight};

/// Rounds of k-means; the next constant is the components of a centroid.
const ROUNDS: usize = 3;
const COMPONENTS: usize = 40;
/// Clusters larger than this multiple of the wanted size are split.
const MOST: usize = 2;
/// A cluster is split in portions of this multiple of the wanted size.
const TOGETHER: usize = 64;
/// Clusters of about `size` documents, at most [`MOST`] times that. The result depends only on the heads
/// and the seed, not on the number of threads. Cost: each document visits the centroids of its group.
pub(super) fn clusters(heads: &[Head], rows: &[u32], size: usize, seed: u64) -> Vec<Vec<u32>> {
    let count = rows.len().div_ceil(size);
    // The seed is mixed with the group's first document, so that groups differ.
    let mut random = SmallRng::seed_from_u64(seed ^ u64::from(rows.first().copied().unwrap_or(0)));
    let mut first = sample(&mut random, rows.len(), count).into_vec();
    first.sort_unstable();
    let mut members: Vec<Vec<u32>> = first.into_iter().map(|at| vec![rows[at]]).collect();
    let mut mean = Mean::default();
    for _ in 0..ROUNDS {
        let vectors: Vec<Vector> = members[..count]
            .iter()
            .map(|m| mean.of(m.iter().map(|row| &heads[*row as usize]), COMPONENTS))
            .collect();
        members = Centroids::new(&vectors).assign(heads, rows);
    }
    let mut out = Vec::new();
    let mut table = vec![0.0; FOLDED];
    for cluster in members.into_iter().filter(|m| !m.is_empty()) {
        if cluster.len() <= MOST * size {
            out.push(cluster);
        } else {
            for some in cluster.chunks(TOGETHER * size) {
                neighbours(heads, some.to_vec(), size, &mut table, &mut out);
            }
        }
    }
    out
}

/// Repeatedly takes the first document and those nearest to it as a cluster.
fn neighbours(
    heads: &[Head],
    mut rows: Vec<u32>,
    size: usize,
    table: &mut [f32],
    out: &mut Vec<Vec<u32>>,
) {
    while rows.len() > size + size / 2 {
        let first = &heads[rows[0] as usize];
        first.iter().for_each(|c| table[term(*c)] = weight(*c));
        let near = |row: u32| -> f32 {
            heads[row as usize].iter().map(|c| table[term(*c)] * weight(*c)).sum()
        };
        let mut order: Vec<(f32, u32)> = rows[1..].iter().map(|row| (near(*row), *row)).collect();
        first.iter().for_each(|c| table[term(*c)] = 0.0);
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut cluster: Vec<u32> = order[..size - 1].iter().map(|o| o.1).collect();
        cluster.push(rows[0]);
        cluster.sort_unstable();
        rows = order[size - 1..].iter().map(|o| o.1).collect();
        rows.sort_unstable();
        out.push(cluster);
    }
    out.push(rows);
}
