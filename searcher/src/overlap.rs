//! Agreement of an approximate search with the exact one.

use crate::searcher::Outcome;

/// overlap@k, averaged over queries: the share of the exact hits whose place the search filled with
/// a hit of at least the k-th exact score. Ties at the cut count as found, whichever came. A query
/// without exact hits does not count. Both slices are in the same order of queries.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a mean of shares")]
pub fn mean_overlap(found: &[Outcome], exact: &[Outcome]) -> f64 {
    let (mut sum, mut queries) = (0.0, 0u32);
    for (found, exact) in found.iter().zip(exact) {
        let Some(last) = exact.hits.last() else { continue };
        let good =
            found.hits.iter().take(exact.hits.len()).filter(|h| h.score >= last.score).count();
        sum += good as f64 / exact.hits.len() as f64;
        queries += 1;
    }
    if queries == 0 { 1.0 } else { sum / f64::from(queries) }
}
