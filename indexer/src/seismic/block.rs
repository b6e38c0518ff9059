//! Geometric blocking of one list: a single pass of k-means with random documents as centroids.
//!
//! 1. draw `centroid_fraction` of the list's documents as centroids (seeded by term)
//! 2. assign each document to the centroid with the largest dot product over the document's
//!    `document_cut` heaviest terms (and the list's term, which all of them share)
//! 3. dissolve blocks of at most `min_cluster_size` documents and assign theirs to the other blocks
//!
//! Cost: O(list length x `document_cut` x centroids that share a term).

use quarry_index::forward::ForwardIndex;
use quarry_index::seismic::SeismicParams;
use quarry_vectors::DocId;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::index::sample;

use super::prune::Posting;

/// Cuts lists into blocks; reuses its memory from list to list.
#[derive(Debug)]
pub(crate) struct Blocker {
    /// Per term: where its centroids begin in `entries`; valid only for the terms in `used`.
    starts: Vec<u32>,
    counts: Vec<u32>,
    used: Vec<u32>,
    entries: Vec<(u32, u16)>,
    scores: Vec<u64>,
    heavy: Vec<(u16, u32)>,
}

impl Blocker {
    pub(crate) fn new(dimension: u32) -> Self {
        Self {
            starts: vec![0; dimension as usize],
            counts: vec![0; dimension as usize],
            used: Vec::new(),
            entries: Vec::new(),
            scores: Vec::new(),
            heavy: Vec::new(),
        }
    }

    /// Cuts a list into blocks. Every document is in exactly one block; documents ascend in each.
    pub(crate) fn cut(
        &mut self,
        forward: &ForwardIndex,
        list: &[Posting],
        term: u32,
        (params, seed): (&SeismicParams, u64),
    ) -> Vec<Vec<u32>> {
        if list.is_empty() {
            return Vec::new();
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a count"
        )]
        let wanted = (list.len() as f64 * f64::from(params.centroid_fraction)).ceil() as usize;
        let wanted = wanted.clamp(1, list.len());
        if wanted == 1 {
            return vec![list.iter().map(|p| p.doc).collect()];
        }
        let mut rng =
            SmallRng::seed_from_u64(seed ^ u64::from(term).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut drawn: Vec<u32> =
            sample(&mut rng, list.len(), wanted).into_iter().map(|at| list[at].doc).collect();
        let least = params.min_cluster_size as usize;
        let cut = params.document_cut as usize;
        self.load(forward, &drawn);
        let mut blocks: Vec<Vec<u32>> = vec![Vec::new(); drawn.len()];
        for posting in list {
            blocks[self.nearest(forward, posting.doc, term, cut)].push(posting.doc);
        }
        let small: Vec<u32> =
            blocks.iter().filter(|b| b.len() <= least).flatten().copied().collect();
        if !small.is_empty() && blocks.iter().any(|b| b.len() > least) {
            let keep: Vec<bool> = blocks.iter().map(|b| b.len() > least).collect();
            let mut flags = keep.iter();
            drawn.retain(|_| *flags.next().unwrap_or(&false));
            blocks.retain(|b| b.len() > least);
            self.load(forward, &drawn);
            for doc in small {
                blocks[self.nearest(forward, doc, term, cut)].push(doc);
            }
            for block in &mut blocks {
                block.sort_unstable();
            }
        }
        blocks.retain(|b| !b.is_empty());
        blocks
    }

    /// Inverts the centroids with a counting sort by term.
    fn load(&mut self, forward: &ForwardIndex, centroids: &[u32]) {
        for term in self.used.drain(..) {
            self.counts[term as usize] = 0;
        }
        for doc in centroids {
            for (term, _) in forward.record(DocId(*doc)).iter() {
                let count = &mut self.counts[term as usize];
                if *count == 0 {
                    self.used.push(term);
                }
                *count += 1;
            }
        }
        let mut at = 0;
        for term in &self.used {
            self.starts[*term as usize] = at;
            at += self.counts[*term as usize];
            self.counts[*term as usize] = 0;
        }
        self.entries.clear();
        self.entries.resize(at as usize, (0, 0));
        for (number, doc) in (0u32..).zip(centroids) {
            for (term, level) in forward.record(DocId(*doc)).iter() {
                let count = &mut self.counts[term as usize];
                self.entries[(self.starts[term as usize] + *count) as usize] = (number, level);
                *count += 1;
            }
        }
        self.scores.clear();
        self.scores.resize(centroids.len(), 0);
    }

    /// The centroid with the largest dot product; the first one on ties.
    fn nearest(&mut self, forward: &ForwardIndex, doc: u32, list_term: u32, cut: usize) -> usize {
        self.heavy.clear();
        let mut own = 0;
        for (term, level) in forward.record(DocId(doc)).iter() {
            if term == list_term {
                own = level;
            } else {
                self.heavy.push((level, term));
            }
        }
        if self.heavy.len() > cut {
            self.heavy.select_nth_unstable_by(cut, |a, b| b.cmp(a));
            self.heavy.truncate(cut);
        }
        self.heavy.push((own, list_term));
        for &(weight, term) in &self.heavy {
            let start = self.starts[term as usize] as usize;
            let count = self.counts[term as usize] as usize;
            if count == 0 {
                continue;
            }
            for &(centroid, level) in &self.entries[start..start + count] {
                self.scores[centroid as usize] += u64::from(weight) * u64::from(level);
            }
        }
        let mut best = 0;
        for (at, score) in self.scores.iter().enumerate() {
            if *score > self.scores[best] {
                best = at;
            }
        }
        self.scores.fill(0);
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::forward_of;
    use proptest::prelude::*;
    use quarry_vectors::SparseVector;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn blocks_partition_the_list(
            docs in prop::collection::vec(prop::collection::vec((0u32..40, 0.1f32..3.0), 0..12), 1..60),
            fraction in 0.01f32..1.0,
            least in 0u32..5,
        ) {
            let vectors: Vec<SparseVector> =
                docs.into_iter().map(|d| SparseVector::from_pairs(d).unwrap()).collect();
            let (_folder, forward) = forward_of(&vectors, 40);
            let params = SeismicParams {
                centroid_fraction: fraction,
                min_cluster_size: least,
                ..crate::default_seismic()
            };
            let mut blocker = Blocker::new(40);
            for term in 0..40u32 {
                let list: Vec<Posting> = (0u32..).zip(&vectors)
                    .filter(|(_, v)| v.terms().contains(&term))
                    .map(|(doc, _)| Posting { doc, level: 1 })
                    .collect();
                let blocks = blocker.cut(&forward, &list, term, (&params, 7));
                prop_assert!(blocks.iter().all(|b| !b.is_empty() && b.windows(2).all(|w| w[0] < w[1])));
                let mut all: Vec<u32> = blocks.into_iter().flatten().collect();
                all.sort_unstable();
                let want: Vec<u32> = list.iter().map(|p| p.doc).collect();
                prop_assert_eq!(all, want);
            }
        }
    }
}
