//! How much documents add to a query, and how a query and what is added become one.

use std::num::NonZeroUsize;

use crate::error::SearchError;

/// Most terms that documents may add to a query.
pub const MOST_FEEDBACK_TERMS: usize = 1000;

/// Of what adds no terms.
pub(super) const MIN_TERMS: NonZeroUsize = NonZeroUsize::MIN;

/// How much documents add to a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expansion {
    /// Terms that are taken of the documents, the heaviest; at most [`MOST_FEEDBACK_TERMS`].
    pub terms: NonZeroUsize,
    /// Their share of the new query's weight, from 0 to 1; the rest is the query's own.
    pub weight: f64,
}

impl Expansion {
    /// # Errors
    /// [`SearchError::Param`] for a number out of its range.
    pub fn check(&self) -> Result<(), SearchError> {
        if self.terms.get() > MOST_FEEDBACK_TERMS {
            let found = self.terms.to_string();
            return Err(SearchError::Param { name: "terms", found, expected: "1 to 1000" });
        }
        if !(0.0..=1.0).contains(&self.weight) {
            let found = self.weight.to_string();
            return Err(SearchError::Param { name: "weight", found, expected: "0 to 1" });
        }
        Ok(())
    }

    /// What a weight of the query, and one of what is added, is multiplied by, given both sums:
    /// q' = |q| ((1 - b) q / |q| + b e / |e|), with b the share, so that the new query has the sum of the old one.
    pub(super) fn factors(&self, query: f64, added: f64) -> Factors {
        match query > 0.0 && added > 0.0 {
            true => Factors { query: 1.0 - self.weight, added: self.weight * query / added },
            false => Factors { query: 1.0, added: 0.0 },
        }
    }
}

/// See [`Expansion::factors`].
pub(super) struct Factors {
    pub(super) query: f64,
    pub(super) added: f64,
}

/// Leaves the `n` heaviest, the heaviest first; of equal weights the lesser name.
pub(super) fn heaviest<T: Ord>(n: NonZeroUsize, terms: &mut Vec<(T, f64)>) {
    let order = |a: &(T, f64), b: &(T, f64)| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0));
    if terms.len() > n.get() {
        terms.select_nth_unstable_by(n.get(), order);
        terms.truncate(n.get());
    }
    terms.sort_unstable_by(order);
}
