//! Token pooling: similar rows of a document become their mean (Clavié et al., *Reducing the
//! Footprint of Multi-Vector Retrieval with Minimal Performance Impact via Token Pooling*, 2024).
//!
//! Clusters by Ward's criterion, joined pair by pair until rows / factor are left. Chains of nearest
//! neighbours find the cheapest pairs: all merges are collected first, then applied from the cheapest on,
//! which gives the clusters of Ward's tree.

use quarry_vectors::TokenEmbeddings;

/// Documents with more rows than this are pooled in runs of this many, to bound time and memory.
const MOST: usize = 2048;

/// Pools a document's rows to one per `factor`, each normalised to length one, in the order of the
/// clusters' first rows.
pub(super) fn pool(document: &TokenEmbeddings, factor: usize) -> TokenEmbeddings {
    let dims = document.dims();
    let mut values = Vec::new();
    for run in document.values().chunks(MOST * dims.max(1)) {
        values.extend(run_of(run, dims, factor));
    }
    // Means of finite rows are finite.
    TokenEmbeddings::new(dims.max(1), values).unwrap_or_default()
}

fn run_of(values: &[f32], dims: usize, factor: usize) -> Vec<f32> {
    let rows = values.len() / dims;
    let wanted = rows.div_ceil(factor);
    let clusters = cut(ward(values, dims), rows, wanted);
    let mut out = Vec::with_capacity(wanted * dims);
    for cluster in clusters {
        let mut sum = vec![0f64; dims];
        for row in &cluster {
            let row = &values[row * dims..(row + 1) * dims];
            sum.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
        }
        let norm = sum.iter().map(|s| s * s).sum::<f64>().sqrt();
        if norm < 1e-6 {
            // Rows that cancel out have no mean direction; the first one represents them.
            let first = cluster[0];
            out.extend(&values[first * dims..(first + 1) * dims]);
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "rows are f32")]
            out.extend(sum.iter().map(|s| (s / norm) as f32));
        }
    }
    out
}

/// Ward's merges `(cost, a, b)`: `a` and `b` are rows of the two clusters that were joined.
fn ward(values: &[f32], dims: usize) -> Vec<(f64, usize, usize)> {
    let rows = values.len() / dims;
    let mut sums: Vec<Vec<f64>> =
        values.chunks_exact(dims).map(|row| row.iter().map(|v| f64::from(*v)).collect()).collect();
    let mut sizes = vec![1f64; rows];
    let mut alive: Vec<usize> = (0..rows).collect();
    let mut merges = Vec::new();
    let mut chain: Vec<usize> = Vec::new();
    while alive.len() > 1 {
        if chain.is_empty() {
            chain.push(alive[0]);
        }
        let top = chain[chain.len() - 1];
        let before = chain.len().checked_sub(2).map(|at| chain[at]);
        let cost = |other: usize| {
            let (n, m) = (sizes[top], sizes[other]);
            let far: f64 =
                sums[top].iter().zip(&sums[other]).map(|(a, b)| (a / n - b / m).powi(2)).sum();
            far * n * m / (n + m)
        };
        // On a tie the previous cluster wins, so that chains end.
        let mut best = before.map_or((f64::INFINITY, usize::MAX), |b| (cost(b), b));
        for other in alive.iter().copied().filter(|o| *o != top) {
            let found = cost(other);
            if found < best.0 {
                best = (found, other);
            }
        }
        if Some(best.1) == before {
            chain.truncate(chain.len() - 2);
            let (keep, gone) = (top.min(best.1), top.max(best.1));
            merges.push((best.0, keep, gone));
            let other = std::mem::take(&mut sums[gone]);
            sums[keep].iter_mut().zip(other).for_each(|(s, o)| *s += o);
            sizes[keep] += sizes[gone];
            alive.retain(|c| *c != gone);
        } else {
            chain.push(best.1);
        }
    }
    merges
}

/// The clusters left after the cheapest merges, ordered by their first row.
fn cut(mut merges: Vec<(f64, usize, usize)>, rows: usize, wanted: usize) -> Vec<Vec<usize>> {
    merges.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut root: Vec<usize> = (0..rows).collect();
    let find = |root: &mut Vec<usize>, mut at: usize| {
        while root[at] != at {
            root[at] = root[root[at]];
            at = root[at];
        }
        at
    };
    for (_, a, b) in merges.into_iter().take(rows - wanted) {
        let (a, b) = (find(&mut root, a), find(&mut root, b));
        root[a.max(b)] = a.min(b);
    }
    let mut clusters: Vec<Vec<usize>> = Vec::new();
    let mut number = vec![usize::MAX; rows];
    for row in 0..rows {
        let of = find(&mut root, row);
        if number[of] == usize::MAX {
            number[of] = clusters.len();
            clusters.push(Vec::new());
        }
        clusters[number[of]].push(row);
    }
    clusters
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn similar_rows_become_one() {
        let rows = vec![1., 0., 0., 1., 0.99, 0.1, 0.1, 0.99];
        let pooled = pool(&TokenEmbeddings::new(2, rows).unwrap(), 2);
        assert_eq!(pooled.len(), 2);
        let first = pooled.rows().next().unwrap();
        assert!(first[0] > 0.99 && first[1] > 0.0, "{first:?}");
        assert!(pool(&TokenEmbeddings::default(), 3).is_empty());
    }

    proptest! {
        #[test]
        fn pooling_gives_the_rows_wanted_at_length_one(
            rows in 0usize..40,
            factor in 1usize..6,
            seed in prop::collection::vec(-1f32..1.0, 40 * 4),
        ) {
            let document = TokenEmbeddings::new(4, seed[..rows * 4].to_vec()).unwrap();
            let pooled = pool(&document, factor);
            prop_assert_eq!(pooled.len(), rows.div_ceil(factor));
            // Applied in order of cost, each merge joins two separate clusters.
            let mut all: Vec<usize> =
                cut(ward(&seed[..rows * 4], 4), rows, rows.div_ceil(factor)).concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..rows).collect::<Vec<_>>());
        }
    }
}
