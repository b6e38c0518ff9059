//! The rank-safe search by vector: what it bounds scores with, and what it scores by. `bounded.rs` searches.
//!
//! A band's contribution is query weight x largest level, scaled and rounded up, so that a document's sum is an
//! upper bound of its score.

use quarry_index::impact::Lists;

use super::bounded::{Bounded, FULL, Upper};
use super::{ImpactScratch, Plan, Target, prefetch_directories, terms};
use crate::error::SearchError;
use crate::methods::collect::SegmentHits;
use crate::methods::query::FixedQuery;
use crate::outcome::Stats;

/// Queries of more terms leave too little of a sum for the weights: they are scanned instead.
pub(crate) const MOST_TERMS: usize = 8192;
/// Documents that a guess collects for each that is wanted.
const SPARE: usize = 4;
/// Share by which the k-th score is lowered before bounds are compared with it: what floats lose on the way.
const MARGIN: f64 = 1e-6;

pub(crate) fn search(
    target: &Target<'_>,
    query: &FixedQuery,
    k: usize,
    scratch: &mut ImpactScratch,
    stats: &mut Stats,
) -> Result<SegmentHits, SearchError> {
    let view = target.lists.view()?;
    let over = Bounded {
        documents: target.segment.documents(),
        rows: target.records.len(),
        windows: target.lists.meta().windows as usize,
        allowed: target.allowed,
        kernels: target.kernels,
        deadline: target.deadline,
        unit: target.unit,
        spare: SPARE,
        margin: MARGIN,
    };
    let score = |docs: &[u32], scored: &mut Vec<_>| {
        target.kernels.score_all(target.scorer, &target.records, docs, scored);
        Ok(())
    };
    over.search(k, || plan(query, &view), score, scratch, stats)
}

/// Upper bounds of all bands.
fn plan<'a>(query: &FixedQuery, view: &Lists<'a>) -> Upper<'a> {
    prefetch_directories(query, view);
    let terms = terms(query, view);
    let highest: f64 = terms.iter().map(|t| t.weight * f64::from(t.directory.high(0))).sum();
    #[expect(clippy::cast_precision_loss, reason = "at most MOST_TERMS")]
    let scale = (FULL - terms.len() as f64) / highest;
    let mut plan = Plan::new(terms.len());
    for term in &terms {
        plan.push_bounds(term, (scale, view.meta().windows as usize));
    }
    Upper { plan, scale }
}
