//! A sparse vector: ascending terms with finite, positive weights.

use serde::Serialize;

/// Why a list of terms and weights is not a sparse vector.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VectorError {
    /// The two arrays differ in length.
    #[error("{terms} terms but {weights} weights")]
    Lengths {
        /// Number of terms given.
        terms: usize,
        /// Number of weights given.
        weights: usize,
    },
    /// A weight is NaN, infinite or negative.
    #[error("component {at} (term {term}): weight {found} is not a finite number of at least 0")]
    Weight {
        /// Position in the input.
        at: usize,
        /// The term it belongs to.
        term: u32,
        /// The offending weight.
        found: f32,
    },
    /// Terms are not strictly ascending where that was promised.
    #[error("component {at}: term {term} does not ascend")]
    Order {
        /// Position in the input.
        at: usize,
        /// The offending term.
        term: u32,
    },
    /// The sum of a repeated term's weights is no longer finite.
    #[error("term {term}: the sum of its weights overflows")]
    Overflow {
        /// The offending term.
        term: u32,
    },
}

/// Terms in strictly ascending order, each with a finite weight greater than zero.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SparseVector {
    terms: Vec<u32>,
    weights: Vec<f32>,
}

impl SparseVector {
    /// Takes arrays that are already in order. Weights of zero are dropped.
    ///
    /// # Errors
    /// When the lengths differ, a weight is not finite or is negative, or the terms do not ascend.
    pub fn new(terms: Vec<u32>, weights: Vec<f32>) -> Result<Self, VectorError> {
        if terms.len() != weights.len() {
            return Err(VectorError::Lengths { terms: terms.len(), weights: weights.len() });
        }
        check_weights(&terms, &weights)?;
        if let Some(at) = terms.windows(2).position(|w| w[0] >= w[1]) {
            return Err(VectorError::Order { at: at + 1, term: terms[at + 1] });
        }
        if weights.iter().all(|w| *w > 0.0) {
            return Ok(Self { terms, weights });
        }
        let (terms, weights) = terms.into_iter().zip(weights).filter(|(_, w)| *w > 0.0).unzip();
        Ok(Self { terms, weights })
    }

    /// Takes components in any order; a repeated term's weights are summed (in input order),
    /// zeros are dropped.
    ///
    /// # Errors
    /// When a weight is not finite or is negative, or a sum overflows.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (u32, f32)>) -> Result<Self, VectorError> {
        let mut pairs: Vec<(u32, f32)> = pairs.into_iter().collect();
        for (at, &(term, found)) in pairs.iter().enumerate() {
            if !(found.is_finite() && found >= 0.0) {
                return Err(VectorError::Weight { at, term, found });
            }
        }
        pairs.sort_by_key(|p| p.0);
        let mut out = Self::default();
        for (term, weight) in pairs {
            if out.terms.last() == Some(&term) {
                let last = out.weights.len() - 1;
                out.weights[last] += weight;
                if !out.weights[last].is_finite() {
                    return Err(VectorError::Overflow { term });
                }
            } else if weight > 0.0 {
                out.terms.push(term);
                out.weights.push(weight);
            }
        }
        Ok(out)
    }

    /// The terms, strictly ascending.
    #[must_use]
    pub fn terms(&self) -> &[u32] {
        &self.terms
    }

    /// The weights, in the order of [`Self::terms`], each finite and greater than zero.
    #[must_use]
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Number of components.
    #[must_use]
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether there is no component.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The components in ascending order of term.
    pub fn iter(&self) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.terms.iter().copied().zip(self.weights.iter().copied())
    }

    /// Keeps the `n` heaviest components (of equal weights the smaller term), still in order.
    /// Cost: O(len log len).
    #[must_use]
    pub fn heaviest(&self, n: usize) -> Self {
        if self.len() <= n {
            return self.clone();
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by(|&a, &b| self.weights[b].total_cmp(&self.weights[a]).then(a.cmp(&b)));
        order.truncate(n);
        order.sort_unstable();
        Self {
            terms: order.iter().map(|&i| self.terms[i]).collect(),
            weights: order.iter().map(|&i| self.weights[i]).collect(),
        }
    }

    /// The dot product, summed in 64 bits in ascending order of term.
    #[must_use]
    pub fn dot(&self, other: &Self) -> f64 {
        let (mut i, mut j, mut sum) = (0, 0, 0.0);
        while i < self.len() && j < other.len() {
            match self.terms[i].cmp(&other.terms[j]) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => {
                    sum += f64::from(self.weights[i]) * f64::from(other.weights[j]);
                    i += 1;
                    j += 1;
                }
            }
        }
        sum
    }
}

fn check_weights(terms: &[u32], weights: &[f32]) -> Result<(), VectorError> {
    match weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
        Some(at) => Err(VectorError::Weight { at, term: terms[at], found: weights[at] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_not_a_vector() {
        assert!(matches!(
            SparseVector::new(vec![1, 2], vec![1.0]),
            Err(VectorError::Lengths { terms: 2, weights: 1 })
        ));
        assert!(matches!(
            SparseVector::new(vec![1, 2], vec![1.0, f32::NAN]),
            Err(VectorError::Weight { at: 1, term: 2, .. })
        ));
        assert!(matches!(
            SparseVector::new(vec![2, 2], vec![1.0, 1.0]),
            Err(VectorError::Order { at: 1, term: 2 })
        ));
        assert!(matches!(
            SparseVector::from_pairs([(7, -1.0)]),
            Err(VectorError::Weight { at: 0, term: 7, .. })
        ));
        assert!(matches!(
            SparseVector::from_pairs([(7, f32::MAX), (7, f32::MAX)]),
            Err(VectorError::Overflow { term: 7 })
        ));
    }

    #[test]
    fn repeated_terms_are_summed_and_zeros_dropped() {
        let v = SparseVector::from_pairs([(5, 1.0), (3, 0.0), (5, 0.5), (1, 2.0)]).unwrap();
        assert_eq!(v.terms(), [1, 5]);
        assert_eq!(v.weights(), [2.0, 1.5]);
        let v = SparseVector::new(vec![1, 2], vec![0.0, 1.0]).unwrap();
        assert_eq!(v.terms(), [2]);
    }

    proptest! {
        #[test]
        fn heaviest_keeps_the_largest(pairs in prop::collection::vec((0u32..50, 0.0f32..9.0), 0..40), n in 0usize..20) {
            let v = SparseVector::from_pairs(pairs).unwrap();
            let top = v.heaviest(n);
            prop_assert_eq!(top.len(), n.min(v.len()));
            let floor = top.weights().iter().copied().fold(f32::INFINITY, f32::min);
            for (t, w) in v.iter() {
                prop_assert!(top.terms().contains(&t) || w <= floor);
            }
        }
    }
}
