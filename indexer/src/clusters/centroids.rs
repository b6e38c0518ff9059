//! Centroids, and the nearest centroid of a document.
//!
//! A centroid is the mean of its documents' heads, cut to its largest components and scaled to unit
//! length; the nearest is the one with the largest dot product. Centroids are stored as posting lists by
//! term, so a document only visits those that share a term with it.

use rayon::prelude::*;

use super::heads::{FOLDED, Head, term, weight};

/// Documents per job.
const JOB: usize = 1024;

/// Centroids as posting lists by term.
#[derive(Debug)]
pub(super) struct Centroids {
    starts: Vec<u32>,
    entries: Vec<(u32, f32)>,
    count: usize,
}

/// A centroid under construction: terms and weights.
pub(super) type Vector = Vec<(u32, f32)>;

impl Centroids {
    pub(super) fn new(vectors: &[Vector]) -> Self {
        let mut starts = vec![0u32; FOLDED + 1];
        for (term, _) in vectors.iter().flatten() {
            starts[*term as usize + 1] += 1;
        }
        for at in 0..FOLDED {
            starts[at + 1] += starts[at];
        }
        let mut cursors = starts.clone();
        let mut entries = vec![(0, 0.0); starts[FOLDED] as usize];
        for (number, vector) in (0u32..).zip(vectors) {
            for (term, weight) in vector {
                let cursor = &mut cursors[*term as usize];
                entries[*cursor as usize] = (number, *weight);
                *cursor += 1;
            }
        }
        Self { starts, entries, count: vectors.len() }
    }

    /// The documents of each centroid, in the order given; one more group takes those that share no term
    /// with any centroid. Uses all cores.
    pub(super) fn assign(&self, heads: &[Head], rows: &[u32]) -> Vec<Vec<u32>> {
        let nearest: Vec<Vec<usize>> = rows
            .par_chunks(JOB)
            .map_init(Vec::new, |sums, rows| {
                let mut of = |row: &u32| self.nearest(&heads[*row as usize], sums);
                rows.iter().map(|row| of(row).unwrap_or(self.count)).collect()
            })
            .collect();
        let mut members = vec![Vec::new(); self.count + 1];
        for (row, at) in rows.iter().zip(nearest.into_iter().flatten()) {
            members[at].push(*row);
        }
        members
    }

    /// The nearest centroid; `None` if no centroid shares a term. `sums` is a reused buffer.
    /// Cost: O(centroids + lists of the document's terms).
    fn nearest(&self, head: &Head, sums: &mut Vec<f32>) -> Option<usize> {
        sums.clear();
        sums.resize(self.count, 0.0);
        for component in head {
            let (term, weight) = (term(*component), weight(*component));
            let list = self.starts[term] as usize..self.starts[term + 1] as usize;
            for (number, share) in &self.entries[list] {
                sums[*number as usize] += weight * share;
            }
        }
        // First the largest value, then its position: two loops that compilers vectorise.
        let most = sums.iter().fold(0.0f32, |a, b| if *b > a { *b } else { a });
        if most <= 0.0 {
            return None;
        }
        sums.iter().position(|s| *s >= most)
    }
}

/// Sums heads.
#[derive(Debug)]
pub(super) struct Mean {
    sums: Vec<f32>,
    touched: Vec<u32>,
}

impl Default for Mean {
    fn default() -> Self {
        Self { sums: vec![0.0; FOLDED], touched: Vec::new() }
    }
}

impl Mean {
    /// The mean of some heads, cut to its `keep` largest components.
    pub(super) fn of<'a>(&mut self, heads: impl Iterator<Item = &'a Head>, keep: usize) -> Vector {
        for component in heads.flatten().filter(|c| **c != 0) {
            let sum = &mut self.sums[term(*component)];
            if *sum == 0.0 {
                self.touched.push(u32::try_from(term(*component)).unwrap_or(0));
            }
            *sum += weight(*component);
        }
        let take = |term: &u32| (*term, std::mem::take(&mut self.sums[*term as usize]));
        let mut vector: Vector = self.touched.iter().map(take).collect();
        self.touched.clear();
        let heavier = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if vector.len() > keep {
            vector.select_nth_unstable_by(keep - 1, heavier);
            vector.truncate(keep);
        }
        vector.sort_unstable_by_key(|c| c.0);
        let length = vector.iter().map(|c| c.1 * c.1).sum::<f32>().sqrt();
        if length > 0.0 {
            vector.iter_mut().for_each(|c| c.1 /= length);
        }
        vector
    }
}
