//! What walks over a new graph find and cost: for several k and beams the overlap with the scan, and the rows scored.
//!
//! Queries are made of the segment's own vectors: a random row's vector and a share of another's, each of length one.
//! The neighbours of a row's own vector, or of one moved by noise, are far easier to find than those of a real query,
//! which does not lie among the rows (decision 17).

use quarry_index::dense::DenseStore;
use quarry_index::neighbours::{MeasuredBeam, NeighbourGraph};
use quarry_vectors::{DenseVector, DocId};
use rayon::prelude::*;

use super::build::Vectors;
use crate::methods::dense::query::{DenseQuery, ScoreBuffers};
use crate::methods::dense::walk::{Walk, WalkScratch};
use crate::random::Random;

/// Results asked for.
const KS: [u32; 3] = [10, 100, 1000];
/// Beams of the smallest k; those of larger k are multiples of k.
const BEAMS: [u32; 15] = [10, 16, 24, 32, 48, 64, 96, 128, 160, 192, 256, 384, 512, 768, 1024];
/// Rows scored before the best are kept: the scores of all rows, on every core, would take more than the graph.
const SCORED_AT_ONCE: usize = 1 << 14;
/// Queries.
const QUERIES: usize = 256;

/// Share of the other row's vector in a query: chosen so that walks over 310,868 passages find about as much of these
/// queries' neighbours as of real ones'; the smaller the share, the more they find (decision 17).
const OTHER: f32 = 0.7;

/// Measures on all cores.
pub(crate) fn measure(
    vectors: Vectors<'_>,
    store: &DenseStore,
    (graph, order): (&NeighbourGraph, &[u32]),
    seed: u64,
) -> Vec<MeasuredBeam> {
    let queries = queries(store, order, seed);
    let most = KS.iter().filter(|k| (**k as usize) * 4 <= order.len()).max();
    let Some(most) = most.filter(|_| !queries.is_empty()) else { return Vec::new() };
    let exact: Vec<Vec<f64>> = queries
        .par_iter()
        .map(|query| {
            let (mut scores, mut buffers) = (Vec::new(), ScoreBuffers::default());
            let mut kept: Vec<f64> = Vec::new();
            for rows in order.chunks(SCORED_AT_ONCE) {
                vectors.scorer.score(query, rows, &mut buffers, &mut scores);
                kept.extend_from_slice(&scores);
                kept = best(kept, *most as usize);
            }
            kept
        })
        .collect();
    let mut measured = Vec::new();
    for k in KS.into_iter().filter(|k| k <= most) {
        let wide = [k, k * 3 / 2, k * 2, k * 3, k * 4, k * 6, k * 8];
        let beams: Vec<u32> = match k {
            10 => BEAMS.to_vec(),
            _ => wide.into_iter().filter(|beam| *beam as usize * 8 <= order.len()).collect(),
        };
        for beam in beams {
            let found = one((vectors, graph), (&queries, &exact), (k, beam));
            let enough = found.overlap >= 0.9995;
            measured.push(found);
            if enough {
                break;
            }
        }
    }
    measured
}

#[expect(clippy::cast_precision_loss, reason = "means")]
fn one(
    (vectors, graph): (Vectors<'_>, &NeighbourGraph),
    (queries, exact): (&[DenseQuery], &[Vec<f64>]),
    (k, beam): (u32, u32),
) -> MeasuredBeam {
    let walk = Walk {
        graph: graph.view(),
        scorer: vectors.scorer,
        rows: vectors.rows,
        offsets: None,
        beam: beam as usize,
    };
    let k = k as usize;
    let each = |scratch: &mut WalkScratch, (query, exact): (&DenseQuery, &Vec<f64>)| {
        let none = std::iter::empty();
        let scored = walk.run(query, none, |_| true, || false, scratch).unwrap_or_default();
        let found = best(scratch.found().map(|near| near.score).collect(), k);
        let least = exact.get(k - 1).or(exact.last()).copied().unwrap_or(f64::INFINITY);
        (found.iter().filter(|score| **score >= least).count(), scored)
    };
    let counts: Vec<(usize, u64)> =
        queries.par_iter().zip(exact).map_init(WalkScratch::default, each).collect();
    let queries = queries.len() as f64;
    let good: usize = counts.iter().map(|count| count.0).sum();
    let scored: u64 = counts.iter().map(|count| count.1).sum();
    MeasuredBeam {
        k: u32::try_from(k).unwrap_or(u32::MAX),
        beam,
        overlap: good as f64 / (k as f64 * queries),
        scored: scored as f64 / queries,
    }
}

/// The k best scores, best first.
fn best(mut scores: Vec<f64>, k: usize) -> Vec<f64> {
    if scores.len() > k {
        scores.select_nth_unstable_by(k, |a, b| b.total_cmp(a));
        scores.truncate(k);
    }
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    scores
}

/// Sums of a row's vector and a share of another's, each of length one.
fn queries(store: &DenseStore, order: &[u32], seed: u64) -> Vec<DenseQuery> {
    let mut random = Random(seed ^ 0x6e65_6172);
    let mut made = Vec::new();
    let mut unit = || {
        let mut values = store.vector(DocId(*order.get(random.below(order.len()))?))?;
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.iter_mut().for_each(|value| *value /= length);
        Some(values)
    };
    for _ in 0..QUERIES.min(order.len()) {
        let (Some(one), Some(other)) = (unit(), unit()) else { continue };
        let sum = one.iter().zip(&other).map(|(a, b)| a + OTHER * b).collect();
        if let Ok(vector) = DenseVector::new(sum) {
            made.push(DenseQuery::new(&vector, store.meta().stride));
        }
    }
    made
}
