//! Scoring where one step does not do: segments with scaled terms, and queries whose weights lie far
//! apart.
//!
//! 1. a query term is looked for under its own number and under those of its scaled terms
//! 2. a weight has up to 60 bits, so that light terms beside a heavy one are not rounded away
//! 3. the levels of each layer are summed up as integers; the layers' sums, finest first, become one score
//!    in the last step
//!
//! For lists the same terms get weights of 30 bits, rounded up: bounds made of them hold.
//! Cost: O(components of a document), without the kernels' instructions.

use quarry_index::forward::{Record, ScaledTerms, factor};
use quarry_vectors::SparseVector;

use crate::methods::query::{BITS, FixedQuery};

/// Bits of the heaviest weight.
const WIDE_BITS: i32 = 60;
/// Weights further apart than this power of two are scored here.
const APART: i32 = 18;

/// Whether the query's weights lie too far apart for those of 30 bits.
pub(crate) fn is_uneven(query: &SparseVector) -> bool {
    let heaviest = query.weights().iter().copied().fold(0.0f32, f32::max);
    let lightest = query.weights().iter().copied().fold(f32::INFINITY, f32::min);
    f64::from(lightest) * f64::from(APART).exp2() < f64::from(heaviest)
}

/// How a query meets the weights of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// In one step, by weights of 30 bits.
    Narrow,
    /// In several steps, none coarser than the segment's.
    Fine,
    /// In a coarser step, or by weights far apart: beside what is added up for the heavy ones the others
    /// would round to nothing, so lists are searched exactly.
    Heavy,
}

impl Meeting {
    /// How a query meets a segment with these scaled terms.
    pub(crate) fn of(query: &SparseVector, uneven: bool, scaled: &ScaledTerms) -> Self {
        if uneven {
            return Self::Heavy;
        }
        if scaled.is_empty() {
            return Self::Narrow;
        }
        let mut meeting = Self::Narrow;
        for term in query.terms() {
            if scaled.of(*term).any(|(_, layer)| layer > 0) {
                return Self::Heavy;
            }
            // A term that the segment does not know must not be taken for a scaled one.
            if !is_known(*term, scaled) || scaled.of(*term).next().is_some() {
                meeting = Self::Fine;
            }
        }
        meeting
    }
}

/// Whether a term is the lexicon's for a segment: later segments may have more.
fn is_known(term: u32, scaled: &ScaledTerms) -> bool {
    scaled.is_empty() || term < scaled.first()
}

/// A query's terms in a segment, each with the layer that its levels are of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WideQuery {
    /// Number, weight and layer, by number.
    terms: Vec<(u32, i64, i8)>,
    /// Weight = whole number / 2^shift.
    shift: i32,
    /// The same for lists: weights are rounded up, heaviest first.
    pub(crate) fixed: FixedQuery,
}

impl WideQuery {
    #[expect(clippy::cast_possible_truncation, reason = "rounded and at most 2^60")]
    pub(crate) fn new(query: &SparseVector, scaled: &ScaledTerms) -> Self {
        let heaviest = query.weights().iter().copied().fold(0.0f32, f32::max);
        let shift = shift_of(f64::from(heaviest), WIDE_BITS);
        let fixed = |weight: f32| ((f64::from(weight) * exp2(shift)).round() as i64).max(1);
        let mut terms = Vec::with_capacity(query.len());
        for (term, weight) in query.iter().filter(|(term, _)| is_known(*term, scaled)) {
            terms.push((term, fixed(weight), 0));
            terms.extend(scaled.of(term).map(|(number, layer)| (number, fixed(weight), layer)));
        }
        terms.sort_unstable_by_key(|t| t.0);
        #[expect(clippy::cast_precision_loss, reason = "rounded up below")]
        let worth = |t: &(u32, i64, i8)| t.1 as f64 * factor(t.2) * exp2(-shift);
        let heaviest = terms.iter().map(worth).fold(0.0, f64::max);
        let list_shift = shift_of(heaviest, BITS);
        let up = |t: &(u32, i64, i8)| (t.0, (worth(t) * exp2(list_shift)).ceil().max(1.0) as i32);
        let fixed = FixedQuery::of(terms.iter().map(up).collect(), list_shift);
        Self { terms, shift, fixed }
    }
}

/// The power of two that gives a positive number `bits` bits.
#[expect(clippy::cast_possible_truncation, reason = "an exponent")]
fn shift_of(number: f64, bits: i32) -> i32 {
    if number > 0.0 { bits - 1 - number.log2().floor() as i32 } else { 0 }
}

fn exp2(power: i32) -> f64 {
    f64::from(power).exp2()
}

/// A query's weights by term number, for scoring the documents of a segment; used again from query to
/// query.
#[derive(Debug, Default)]
pub(crate) struct WideTable {
    /// Weight and place of the layer, by number; a weight of 0 where the query lacks it.
    weights: Vec<(i64, u8)>,
    set: Vec<u32>,
    /// What a layer's sum is worth, ascending.
    layers: Vec<f64>,
}

impl WideTable {
    /// Takes a query in, for a segment of a step.
    pub(crate) fn load(&mut self, query: &WideQuery, scale: f64) {
        for term in self.set.drain(..) {
            self.weights[term as usize] = (0, 0);
        }
        let mut layers: Vec<i8> = query.terms.iter().map(|t| t.2).collect();
        layers.sort_unstable();
        layers.dedup();
        let last = query.terms.last().map_or(0, |t| t.0 as usize + 1);
        self.weights.resize(self.weights.len().max(last), (0, 0));
        for (number, weight, layer) in &query.terms {
            let place = layers.binary_search(layer).unwrap_or_default();
            self.weights[*number as usize] = (*weight, u8::try_from(place).unwrap_or(u8::MAX));
            self.set.push(*number);
        }
        self.layers.clear();
        self.layers.extend(layers.iter().map(|layer| scale * exp2(-query.shift) * factor(*layer)));
    }

    /// A document's score in original units; `None` where nothing matches.
    pub(crate) fn score(&self, record: &Record<'_>) -> Option<f64> {
        let mut sums = [0i128; 1 + 2 * 50];
        record.for_each(|term, level| {
            if let Some((weight, place)) = self.weights.get(term as usize) {
                sums[usize::from(*place)] += i128::from(*weight) * i128::from(level);
            }
        });
        #[expect(clippy::cast_precision_loss, reason = "integer to float, layer by layer")]
        let score: f64 =
            sums.iter().zip(&self.layers).map(|(sum, worth)| *sum as f64 * worth).sum();
        (score > 0.0).then_some(score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_queries_need_no_more_than_30_bits() {
        let query = SparseVector::new(vec![1, 2], vec![1.0, 250_000.0]).unwrap();
        assert!(!is_uneven(&query));
        let query = SparseVector::new(vec![1, 2], vec![1.0, 300_000.0]).unwrap();
        assert!(is_uneven(&query));
        assert!(!is_uneven(&SparseVector::default()));
    }

    #[test]
    fn lists_get_weights_that_are_not_less() {
        let query = SparseVector::new(vec![1, 2, 5], vec![1e-9, 3.3, 1e9]).unwrap();
        let wide = WideQuery::new(&query, &ScaledTerms::default());
        let unit = wide.fixed.unit(1.0);
        assert_eq!(wide.fixed.terms()[0].0, 5);
        for (term, weight) in query.iter() {
            let found = wide.fixed.terms().iter().find(|t| t.0 == term).unwrap().1;
            assert!(f64::from(found) * unit >= f64::from(weight));
        }
    }
}
