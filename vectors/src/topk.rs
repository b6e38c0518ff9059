//! The k best items so far, under the caller's total order.

use std::cmp::Ordering;

/// Keeps the `k` best of the items offered, by `order` (`Less` stands first).
///
/// A bounded binary heap with its worst item on top. Offering costs O(log k) comparisons when the
/// item enters and one when it does not.
pub struct TopK<T, F> {
    k: usize,
    heap: Vec<T>,
    order: F,
}

impl<T: std::fmt::Debug, F> std::fmt::Debug for TopK<T, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopK").field("k", &self.k).field("heap", &self.heap).finish_non_exhaustive()
    }
}

impl<T, F: Fn(&T, &T) -> Ordering> TopK<T, F> {
    /// An empty collector for `k` items.
    pub fn new(k: usize, order: F) -> Self {
        Self { k, heap: Vec::with_capacity(k.min(1 << 16)), order }
    }

    /// The worst item kept, once `k` are held: what a newcomer has to beat.
    #[inline]
    pub fn worst(&self) -> Option<&T> {
        if self.heap.len() == self.k { self.heap.first() } else { None }
    }

    /// Offers an item; says whether it was kept.
    pub fn offer(&mut self, item: T) -> bool {
        if self.k == 0 {
            return false;
        }
        if self.heap.len() < self.k {
            self.heap.push(item);
            self.sift_up(self.heap.len() - 1);
            return true;
        }
        if (self.order)(&item, &self.heap[0]) != Ordering::Less {
            return false;
        }
        self.heap[0] = item;
        self.sift_down(0);
        true
    }

    /// The items kept, best first.
    #[must_use]
    pub fn into_sorted(self) -> Vec<T> {
        let Self { mut heap, order, .. } = self;
        heap.sort_by(|a, b| order(a, b));
        heap
    }

    fn sift_up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if (self.order)(&self.heap[at], &self.heap[parent]) != Ordering::Greater {
                break;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let mut worst = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len()
                    && (self.order)(&self.heap[child], &self.heap[worst]) == Ordering::Greater
                {
                    worst = child;
                }
            }
            if worst == at {
                return;
            }
            self.heap.swap(at, worst);
            at = worst;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_sorting(items in prop::collection::vec(0u32..100, 0..200), k in 0usize..30) {
            let mut top = TopK::new(k, |a: &u32, b: &u32| b.cmp(a));
            for &x in &items {
                top.offer(x);
            }
            let mut want = items;
            want.sort_unstable_by(|a, b| b.cmp(a));
            want.truncate(k);
            prop_assert_eq!(top.into_sorted(), want);
        }
    }
}
