//! Agreement of an approximate search with the exact one.

use crate::outcome::Outcome;

/// overlap@k, averaged over queries: the share of the exact top k that the search found. A hit counts as found if its score reaches the
/// k-th exact score, so it does not matter which of several ties at the cut it is. A query
/// without exact hits does not count. Both slices are in the same order of queries.
#[must_use]
pub fn mean_overlap(found: &[Outcome], exact: &[Outcome]) -> f64 {
    mean_by(found, exact, |outcome| outcome.hits.iter().map(|h| h.score).collect())
}

/// [`mean_overlap`] of anything that has scores, best first.
#[expect(clippy::cast_precision_loss, reason = "a mean of shares")]
pub(crate) fn mean_by<T>(found: &[T], exact: &[T], scores: impl Fn(&T) -> Vec<f64>) -> f64 {
    let (mut sum, mut queries) = (0.0, 0u32);
    for (found, exact) in found.iter().zip(exact) {
        let (found, exact) = (scores(found), scores(exact));
        let Some(last) = exact.last() else { continue };
        let good = found.iter().take(exact.len()).filter(|score| *score >= last).count();
        sum += good as f64 / exact.len() as f64;
        queries += 1;
    }
    if queries == 0 { 1.0 } else { sum / f64::from(queries) }
}
