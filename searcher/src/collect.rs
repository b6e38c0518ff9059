//! The best hits of one segment, under the one total order.

use std::cmp::Ordering;

use quarry_index::doctable::DocTable;
use quarry_vectors::{DocId, TopK};

type Order<'a> = Box<dyn Fn(&(f32, DocId), &(f32, DocId)) -> Ordering + 'a>;

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
