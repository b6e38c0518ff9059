//! Seismic's search (arXiv:2404.18812) over blocked lists with summaries.
//!
//! 1. take the `query_cut` heaviest query terms, or as many as have `kept` of the weight of all
//! 2. estimate every block of their lists from its summary
//! 3. visit blocks best first, over all lists together
//! 4. stop at the first block with `estimate < heap_factor * threshold`
//! 5. score each document of a visited block exactly, once
//!
//! The estimate is an upper bound on a block's documents only when summaries keep all their mass
//! and `heap_factor` is 1. The paper visits list by list; one order for all lists visits no more
//! documents and can stop instead of skipping.
//! Cost: O(entries of the query's terms in the summaries + components of the documents scored).

mod estimate;
mod target;
mod visit;

pub(crate) use target::Target;

use crate::error::SearchError;
use crate::methods::collect::SegmentHits;
use crate::methods::query::FixedQuery;
use crate::outcome::Stats;

/// Reused from query to query.
#[derive(Debug, Default)]
pub(crate) struct SeismicScratch {
    estimates: estimate::Scratch,
    visits: visit::Scratch,
}

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Setting {
    /// Query terms whose lists are visited, heaviest first.
    pub(crate) query_cut: usize,
    /// Share of the weight of all query terms that those have at least, in [0, 1].
    pub(crate) kept: f32,
    /// Stop at the first block with `estimate < heap_factor * threshold`.
    pub(crate) heap_factor: f32,
}

/// Terms whose lists are visited, and the share that they have of the weight of all.
pub(crate) fn cut(query: &FixedQuery, setting: Setting) -> (usize, f32) {
    let all: i64 = query.terms().iter().map(|(_, weight)| i64::from(*weight)).sum();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a share of two sums"
    )]
    let share = |kept: i64| (kept as f64 / all.max(1) as f64) as f32;
    let mut kept = 0;
    for (at, (_, weight)) in query.terms().iter().enumerate() {
        if at >= setting.query_cut && share(kept) >= setting.kept {
            return (at, share(kept));
        }
        kept += i64::from(*weight);
    }
    (query.terms().len(), 1.0)
}

pub(crate) fn search(
    target: Target<'_>,
    query: &FixedQuery,
    (k, setting): (usize, Setting),
    scratch: &mut SeismicScratch,
    stats: &mut Stats,
) -> Result<SegmentHits, SearchError> {
    let view = target.lists.view()?;
    let course = (target.kernels, || target.in_time());
    let (query_cut, _) = cut(query, setting);
    let mut order = estimate::estimate(course, &view, query, query_cut, &mut scratch.estimates)?;
    stats.blocks_estimated += order.len() as u64;
    let reused = (&mut scratch.visits, stats);
    let found = visit::visit(&target, &view, (k, setting.heap_factor), &mut order, reused);
    scratch.estimates.order = order.into_vec();
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use quarry_vectors::SparseVector;

    use super::*;

    #[test]
    fn a_longer_query_keeps_as_large_a_share_of_its_weight() {
        let query = |weights: &[f32]| {
            FixedQuery::new(&SparseVector::from_pairs((0..).zip(weights.iter().copied())).unwrap())
        };
        let of = |query_cut, kept| Setting { query_cut, kept, heap_factor: 0.9 };
        let short = query(&[4.0, 3.0, 2.0, 1.0]);
        assert_eq!(cut(&short, of(2, 0.0)), (2, 0.7));
        assert_eq!(cut(&short, of(2, 0.7)), (2, 0.7));
        assert_eq!(cut(&short, of(2, 0.71)), (3, 0.9));
        assert_eq!(cut(&short, of(1, 1.0)), (4, 1.0));
        assert_eq!(cut(&short, of(9, 0.5)), (4, 1.0));
        // Forty-five terms of one weight: eight of them would be a sixth of the question.
        let even = query(&[1.0; 45]);
        let (terms, kept) = cut(&even, of(8, 0.8));
        assert_eq!(terms, 36);
        assert!((kept - 0.8).abs() < 1e-6);
        assert_eq!(cut(&query(&[]), of(8, 0.8)), (0, 1.0));
    }
}
