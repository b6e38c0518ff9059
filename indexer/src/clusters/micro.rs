//! Micro-clusters inside a group.
//!
//! 1. random documents are the first centroids, one for each cluster wanted  2. some rounds of
//!    k-means  3. clusters that grew too large are cut into nearest neighbours

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::index::sample;

use super::centroids::{Centroids, Mean, Vector};
use super::heads::{FOLDED, Head, term, weight};

/// Rounds of k-means, and components of a centroid.
const ROUNDS: usize = 3;
const COMPONENTS: usize = 40;
/// Clusters of more than so many times the documents wanted are cut.
const MOST: usize = 2;
/// Of a cluster that is cut, so many times the documents wanted are looked at together.
const TOGETHER: usize = 64;
/// Clusters of about `size` documents, at most [`MOST`] times that. The same for the same heads and
/// seed, whatever the number of threads. Cost: a document looks at the centroids of its group.
pub(super) fn clusters(heads: &[Head], rows: &[u32], size: usize, seed: u64) -> Vec<Vec<u32>> {
    let count = rows.len().div_ceil(size);
    // Groups differ in their first document.
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

/// Takes the first document and those nearest to it, again and again.
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
