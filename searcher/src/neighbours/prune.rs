//! Which candidates become a row's neighbours: near ones in different directions.
//!
//! Nearest first: a candidate is kept, and leaves out all that are at least as near to it as to the row. A walk
//! reaches those through it.

use crate::methods::dense::query::{DenseQuery, DenseScorer, ScoreBuffers};
use crate::methods::dense::walk::Near;

/// What a row's neighbours are chosen by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selection<'a> {
    pub(crate) scorer: DenseScorer<'a>,
    /// Half the squared length of each row's vector.
    pub(crate) halves: &'a [f64],
    pub(crate) row: u32,
    pub(crate) degree: usize,
}

/// Memory that choosing uses again.
#[derive(Debug, Default)]
pub(crate) struct Pruner {
    query: DenseQuery,
    left: Vec<u32>,
    /// Half the squared distance of each of `left` to the row.
    distances: Vec<f64>,
    scores: Vec<f64>,
    buffers: ScoreBuffers,
}

impl Pruner {
    /// The neighbours among `found`, nearest first; scores there are the row's dot product less half the squared length.
    pub(crate) fn keep(&mut self, of: Selection<'_>, found: &mut [Near]) -> Vec<u32> {
        let Self { query, left, distances, scores, buffers } = self;
        found.sort_unstable_by(|a, b| b.cmp(a));
        let own = of.halves[of.row as usize];
        left.clear();
        distances.clear();
        for near in found.iter().filter(|near| near.row != of.row) {
            left.push(near.row);
            distances.push(own - near.score);
        }
        let mut kept = Vec::with_capacity(of.degree);
        while !left.is_empty() && kept.len() < of.degree {
            let nearest = left.remove(0);
            distances.remove(0);
            kept.push(nearest);
            of.scorer.query_of(nearest, query);
            of.scorer.score(query, left, buffers, scores);
            let half = of.halves[nearest as usize];
            let mut at = 0;
            let stays = |other: u32, distance: f64, score: f64| {
                let between = half + of.halves[other as usize] - score;
                between > distance
            };
            for from in 0..left.len() {
                if stays(left[from], distances[from], scores[from]) {
                    left[at] = left[from];
                    distances[at] = distances[from];
                    at += 1;
                }
            }
            left.truncate(at);
            distances.truncate(at);
        }
        kept
    }
}
