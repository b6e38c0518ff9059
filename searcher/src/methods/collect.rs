//! The best hits of one segment, under the one total order.

use std::cmp::{Ordering, Reverse};

use quarry_index::doctable::DocTable;
use quarry_vectors::{DocId, TopK};

/// A document of a segment with its score in original units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    pub(crate) score: f64,
    pub(crate) doc: DocId,
}

/// The hits of one segment, best first.
pub(crate) type SegmentHits = Vec<Scored>;

/// Equal scores from which ids are looked up once each, rather than once a comparison.
const FEW_EQUAL: usize = 4;

type Order<'a> = Box<dyn Fn(&Scored, &Scored) -> Ordering + 'a>;

/// The higher score first; the order of equal ones is open.
fn by_score(a: &Scored, b: &Scored) -> Ordering {
    b.score.total_cmp(&a.score)
}

/// The k-th best score, if there are k. Cost: O(scored).
pub(crate) fn kth(k: usize, scored: &mut [Scored]) -> Option<f64> {
    if scored.len() < k {
        return None;
    }
    let (_, least, _) = scored.select_nth_unstable_by(k.checked_sub(1)?, by_score);
    Some(least.score)
}

/// The k best, best first; ids, which decide between equal scores, are looked up only then.
/// Cheaper than a [`Collector`] where all scores are there at once. Cost: O(scored + k log k).
pub(crate) fn best(k: usize, scored: &mut Vec<Scored>, documents: &DocTable) -> SegmentHits {
    if let Some(least) = kth(k, scored) {
        // All that reach the cut; ids decide which of those just at it stay.
        scored.retain(|found| found.score >= least);
    }
    scored.sort_unstable_by(by_score);
    let equal = |a: &Scored, b: &Scored| by_score(a, b) == Ordering::Equal;
    for equal in scored.chunk_by_mut(equal).filter(|equal| equal.len() > 1) {
        if equal.len() < FEW_EQUAL {
            equal.sort_unstable_by(|a, b| documents.id(b.doc).cmp(documents.id(a.doc)));
        } else {
            equal.sort_by_cached_key(|found| Reverse(documents.id(found.doc)));
        }
    }
    scored.truncate(k);
    scored.clone()
}

/// Keeps the k best documents; equal scores are decided by id, which is looked up only then.
pub(crate) struct Collector<'a> {
    top: TopK<Scored, Order<'a>>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(k: usize, documents: &'a DocTable) -> Self {
        let order = move |a: &Scored, b: &Scored| {
            by_score(a, b).then_with(|| documents.id(b.doc).cmp(documents.id(a.doc)))
        };
        Self { top: TopK::new(k, Box::new(order)) }
    }

    /// The score to reach once k are held: lower ones cannot enter, equal ones may.
    pub(crate) fn threshold(&self) -> Option<f64> {
        self.top.worst().map(|worst| worst.score)
    }

    pub(crate) fn offer(&mut self, scored: Scored) {
        if self.threshold().is_none_or(|worst| scored.score >= worst) {
            self.top.offer(scored);
        }
    }

    pub(crate) fn into_sorted(self) -> SegmentHits {
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
            let mut scored = Vec::new();
            for (doc, score) in (0u32..).zip(&scores) {
                let found = Scored { score: f64::from(*score), doc: DocId(doc) };
                collector.offer(found);
                scored.push(found);
            }
            prop_assert_eq!(kth(k, &mut scored.clone()), collector.threshold());
            prop_assert_eq!(best(k, &mut scored, &documents), collector.into_sorted());
        }
    }
}
