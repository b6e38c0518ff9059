//! A row of model output becomes a sparse vector: the `k` heaviest weights above zero.
//!
//! 1. refuse a row with a value that is not finite  2. gather what is above zero
//! 3. select the k heaviest (no full sort)  4. put them in order of term

use quarry_vectors::SparseVector;

use crate::EncoderError;

/// What is kept of a row.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Keep {
    /// Keep this many, the heaviest; 0 keeps all.
    pub(crate) top_k: usize,
    /// What is above this share of the heaviest; 0 keeps all.
    pub(crate) ratio: f32,
    /// Dimensions that never are.
    pub(crate) dropped: Vec<u32>,
}

/// Selects components; its scratch space is reused from row to row.
#[derive(Debug, Default)]
pub(crate) struct Components {
    found: Vec<(u32, f32)>,
}

impl Components {
    /// The components of `row` that `keep` keeps; of equal weights, the smaller term goes first.
    /// `passage` is for messages. Cost: one pass over the row and O(components above zero).
    pub(crate) fn select(
        &mut self,
        row: &[f32],
        keep: &Keep,
        passage: usize,
    ) -> Result<SparseVector, EncoderError> {
        if row.iter().fold(false, |bad, w| bad | !w.is_finite()) {
            return Err(not_finite(row, passage));
        }
        self.found.clear();
        self.found.extend((0..).zip(row.iter().copied()).filter(|c| c.1 > 0.0));
        self.found.retain(|c| !keep.dropped.contains(&c.0));
        if keep.ratio > 0.0 {
            let least = keep.ratio * self.found.iter().fold(0.0f32, |most, c| most.max(c.1));
            self.found.retain(|c| c.1 > least);
        }
        let k = keep.top_k;
        if k > 0 && self.found.len() > k {
            self.found
                .select_nth_unstable_by(k - 1, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            self.found.truncate(k);
            self.found.sort_unstable_by_key(|c| c.0);
        }
        let (terms, weights) = self.found.iter().copied().unzip();
        Ok(SparseVector::new(terms, weights)?)
    }
}

#[cold]
fn not_finite(row: &[f32], passage: usize) -> EncoderError {
    let bad = (0..).zip(row).find(|(_, w)| !w.is_finite());
    let (term, found) = bad.map_or((0, f32::NAN), |(term, w)| (term, *w));
    EncoderError::OutputValue { passage, term, found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_not_finite() {
        let mut components = Components::default();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = components.select(&[0.0, 1.0, bad, 2.0], &Keep::default(), 7).unwrap_err();
            assert!(
                matches!(error, EncoderError::OutputValue { passage: 7, term: 2, .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn drops_the_named_dimensions_before_counting() {
        let row = [9.0, 1.0, 2.0, 3.0, -4.0];
        let mut keep = Keep { top_k: 2, dropped: vec![0], ..Keep::default() };
        let v = Components::default().select(&row, &keep, 0).unwrap();
        assert_eq!(v.terms(), [2, 3]);
        // Above a half of 3, not of 9.
        keep = Keep { ratio: 0.5, dropped: vec![0], ..Keep::default() };
        assert_eq!(Components::default().select(&row, &keep, 0).unwrap().terms(), [2, 3]);
        keep.ratio = 2.0 / 3.0;
        assert_eq!(Components::default().select(&row, &keep, 0).unwrap().terms(), [3]);
    }

    proptest! {
        #[test]
        fn equals_the_heaviest(row in prop::collection::vec(prop_oneof![Just(0.0f32), Just(0.5), -1.0f32..3.0], 0..80), k in 0usize..20) {
            let all = SparseVector::from_pairs((0..).zip(row.iter().map(|w| w.max(0.0)))).unwrap();
            let want = if k == 0 { all } else { all.heaviest(k) };
            let keep = Keep { top_k: k, ..Keep::default() };
            prop_assert_eq!(Components::default().select(&row, &keep, 0).unwrap(), want);
        }
    }
}
