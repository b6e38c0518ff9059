//! The best hits of one segment, under the one total order.

use std::cmp::Ordering;

use quarry_index::doctable::DocTable;
use quarry_vectors::{DocId, TopK};

type Order<'a> = Box<dyn Fn(&(f32, DocId), &(f32, DocId)) -> Ordering + 'a>;

/// A score and its document as one number that orders by score: the bits of a float that is not
/// negative order as it does.
pub(crate) fn key(score: f32, doc: u32) -> u64 {
    u64::from(score.to_bits()) << 32 | u64::from(doc)
}

pub(crate) fn score_of(key: u64) -> f32 {
    f32::from_bits((key >> 32) as u32)
}

/// The k-th score of [`key`]s, if there are k. Cost: O(keys).
pub(crate) fn kth(k: usize, keys: &mut [u64]) -> Option<f32> {
    if keys.len() < k {
        return None;
    }
    let (_, key, _) = keys.select_nth_unstable_by(k.checked_sub(1)?, |a, b| b.cmp(a));
    Some(score_of(*key))
}

/// The k best of [`key`]s, best first; ids, which decide of equal scores, are looked up only then.
/// Cheaper than a [`Collector`] where all scores are there at once. Cost: O(keys + k log k).
pub(crate) fn best(k: usize, keys: &mut Vec<u64>, documents: &DocTable) -> Vec<(f32, DocId)> {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is a document's number")]
    let doc_of = |key: u64| DocId(key as u32);
    if let Some(least) = kth(k, keys) {
        // All that reach the cut; ids decide which of those just at it stay.
        keys.retain(|key| score_of(*key) >= least);
    }
    keys.sort_unstable_by(|a, b| b.cmp(a));
    for equal in keys.chunk_by_mut(|a, b| a >> 32 == b >> 32).filter(|equal| equal.len() > 1) {
        equal.sort_unstable_by(|a, b| documents.id(doc_of(*b)).cmp(documents.id(doc_of(*a))));
    }
    keys.truncate(k);
    keys.iter().map(|key| (score_of(*key), doc_of(*key))).collect()
}

/// Keeps the k best documents; equal scores are decided by id, which is looked up only then.
pub(crate) struct Collector<'a> {
    top: TopK<(f32, DocId), Order<'a>>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(k: usize, documents: &'a DocTable) -> Self {
        let order = move |a: &(f32, DocId), b: &(f32, DocId)| {
            b.0.total_cmp(&a.0).then_with(|| documents.id(b.1).cmp(documents.id(a.1)))
        };
        Self { top: TopK::new(k, Box::new(order)) }
    }

    /// The score to reach once k are held: lower ones cannot enter, equal ones may.
    pub(crate) fn threshold(&self) -> Option<f32> {
        self.top.worst().map(|w| w.0)
    }

    pub(crate) fn offer(&mut self, score: f32, doc: DocId) {
        if self.threshold().is_none_or(|worst| score >= worst) {
            self.top.offer((score, doc));
        }
    }

    pub(crate) fn into_sorted(self) -> Vec<(f32, DocId)> {
        self.top.into_sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quarry_index::Verify;
    use quarry_index::doctable::DocTableBuilder;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_best_are_those_that_a_collector_keeps(
            scores in prop::collection::vec(0u8..6, 0..40),
            k in 1usize..12,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("documents");
            let mut ids = DocTableBuilder::default();
            for doc in 0..scores.len() {
                // Neither ascending nor descending by row.
                ids.push(&format!("{}-{doc}", doc * 7 % 10), None).unwrap();
            }
            ids.write(&path).unwrap();
            let documents = DocTable::open(&path, Verify::Full).unwrap();
            let mut collector = Collector::new(k, &documents);
            let mut keys = Vec::new();
            for (doc, score) in (0u32..).zip(&scores) {
                collector.offer(f32::from(*score), DocId(doc));
                keys.push(key(f32::from(*score), doc));
            }
            prop_assert_eq!(kth(k, &mut keys.clone()), collector.threshold());
            prop_assert_eq!(best(k, &mut keys, &documents), collector.into_sorted());
        }
    }
}
