//! A query in fixed point, and the scoring of one document.
//!
//! Query weights become whole numbers, `round(weight * 2^shift)`, with `shift` such that the
//! heaviest has 30 bits; whole weights stay exact. Documents' weights are whole levels already. So
//! a score is a sum of integers, the same in any order and on any machine, and becomes an f64 in
//! original units in one last step. What rounding costs is at most 2^-31 of the heaviest query
//! weight a component. Where that is too much (weights far apart) or a segment stores weights in several
//! steps, `wide.rs` takes this file's place.

use quarry_index::forward::{LevelWidth, Record, TermWidth};
use quarry_vectors::SparseVector;

/// Bits of the heaviest fixed-point weight, and of the sum of all.
pub(crate) const BITS: i32 = 30;
const SUM_BITS: i32 = 46;
/// Entries of the lookup table at least: every u16 is in range without a check.
const TABLE: usize = 1 << 16;

/// A query vector in fixed point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FixedQuery {
    /// Terms with their weights, heaviest first (equal weights by term).
    terms: Vec<(u32, i32)>,
    /// Weight = fixed / 2^shift.
    shift: i32,
}

impl FixedQuery {
    /// Converts a vector. Components below 2^-31 of the heaviest round to nothing and are dropped.
    #[expect(clippy::cast_possible_truncation, reason = "rounded and at most 2^30")]
    pub(crate) fn new(query: &SparseVector) -> Self {
        let heaviest = query.weights().iter().copied().fold(0.0f32, f32::max);
        if heaviest == 0.0 {
            return Self { terms: Vec::new(), shift: 0 };
        }
        // With levels of two bytes, no sum of 64 bits overflows.
        let all: f64 = query.weights().iter().map(|w| f64::from(*w)).sum();
        let bits = BITS - 1 - f64::from(heaviest).log2().floor() as i32;
        let shift = bits.min(SUM_BITS - 1 - all.log2().floor() as i32);
        let unit = f64::from(shift).exp2();
        let mut terms: Vec<(u32, i32)> = query
            .iter()
            .map(|(term, weight)| (term, (f64::from(weight) * unit).round() as i32))
            .collect();
        terms.retain(|t| t.1 > 0);
        Self::of(terms, shift)
    }

    /// Terms with positive weights in units of 2^-shift.
    pub(crate) fn of(mut terms: Vec<(u32, i32)>, shift: i32) -> Self {
        terms.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        Self { terms, shift }
    }

    /// Terms and fixed weights, heaviest first.
    pub(crate) fn terms(&self) -> &[(u32, i32)] {
        &self.terms
    }

    /// What one unit of an integer score is worth, for documents of a given scale.
    pub(crate) fn unit(&self, scale: f64) -> f64 {
        scale * f64::from(-self.shift).exp2()
    }
}

/// The query's weights by term, for scoring documents. Belongs to a scratch that is used again, so
/// only entries that were set are cleared.
#[derive(Debug)]
pub(crate) struct QueryTable {
    weights: Vec<i32>,
    set: Vec<u32>,
    filter: Filter,
}

/// Small sets of the query's terms by their low bits, for kernels: a component outside cannot
/// match.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Filter {
    words: [u16; 64],
    bytes: [u8; 32],
}

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "for the kernels of x86-64"))]
impl Filter {
    const EMPTY: Self = Self { words: [0; 64], bytes: [0; 32] };

    fn insert(&mut self, term: u32) {
        self.words[(term >> 4) as usize % 64] |= 1 << (term % 16);
        self.bytes[(term >> 3) as usize % 32] |= 1 << (term % 8);
    }

    /// 1,024 bits: the term's low ten.
    pub(crate) fn words(&self) -> &[u16; 64] {
        &self.words
    }

    /// 256 bits: the term's low eight.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl QueryTable {
    pub(crate) fn new(dimension: u32) -> Self {
        let weights = vec![0; TABLE.max(dimension as usize)];
        Self { weights, set: Vec::new(), filter: Filter::EMPTY }
    }

    /// Takes the query in; terms beyond the dimension match no document and are left out.
    pub(crate) fn load(&mut self, query: &FixedQuery) {
        for term in self.set.drain(..) {
            self.weights[term as usize] = 0;
        }
        self.filter = Filter::EMPTY;
        for &(term, weight) in query.terms() {
            if let Some(slot) = self.weights.get_mut(term as usize) {
                *slot = weight;
                self.set.push(term);
                self.filter.insert(term);
            }
        }
    }

    /// The fixed weight of a term; 0 when the query lacks it.
    pub(crate) fn weight(&self, term: u32) -> i32 {
        self.weights.get(term as usize).copied().unwrap_or(0)
    }

    /// The weights of the first 65,536 terms.
    pub(crate) fn narrow(&self) -> &[i32; TABLE] {
        // The table never has fewer entries.
        self.weights.first_chunk().unwrap_or(&[0; TABLE])
    }

    /// The sets that kernels test components against.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "for the kernels of x86-64"))]
    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The integer score of a document. Cost: one lookup a component.
    pub(crate) fn score(&self, record: &Record<'_>, terms: TermWidth, levels: LevelWidth) -> i64 {
        let (term_bytes, level_bytes) = record.raw();
        match (terms, levels) {
            (TermWidth::U16, LevelWidth::U8) => {
                let table = self.narrow();
                term_bytes
                    .chunks_exact(2)
                    .zip(level_bytes)
                    .map(|(t, l)| {
                        let weight = table[usize::from(u16::from_le_bytes([t[0], t[1]]))];
                        i64::from(weight) * i64::from(*l)
                    })
                    .sum()
            }
            (TermWidth::U16, LevelWidth::U16) => {
                let table = self.narrow();
                term_bytes
                    .chunks_exact(2)
                    .zip(level_bytes.chunks_exact(2))
                    .map(|(t, l)| {
                        let weight = table[usize::from(u16::from_le_bytes([t[0], t[1]]))];
                        i64::from(weight) * i64::from(u16::from_le_bytes([l[0], l[1]]))
                    })
                    .sum()
            }
            (TermWidth::U32, _) => record
                .iter()
                .map(|(term, level)| i64::from(self.weight(term)) * i64::from(level))
                .sum(),
        }
    }
}

/// An integer score in original units.
#[expect(clippy::cast_precision_loss, reason = "the one rounding of a score: integer to f64")]
pub(crate) fn to_score(sum: i64, unit: f64) -> f64 {
    sum as f64 * unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_weights_stay_exact() {
        let query = SparseVector::new(vec![1, 2, 9], vec![3.0, 117.0, 1.0]).unwrap();
        let fixed = FixedQuery::new(&query);
        let unit = fixed.unit(1.0);
        let back: Vec<f64> = fixed.terms().iter().map(|t| to_score(i64::from(t.1), unit)).collect();
        assert_eq!(back, [117.0, 3.0, 1.0]);
    }

    #[test]
    fn tiny_and_huge_weights() {
        let query = SparseVector::new(vec![1, 2], vec![f32::MAX, f32::MIN_POSITIVE]).unwrap();
        assert_eq!(FixedQuery::new(&query).terms().len(), 1);
        let query = SparseVector::new(vec![1], vec![1e-40]).unwrap();
        assert_eq!(FixedQuery::new(&query).terms().len(), 1);
        assert!(FixedQuery::new(&SparseVector::default()).terms().is_empty());
    }

    proptest! {
        #[test]
        fn fixed_point_is_as_precise_as_f32(
            pairs in prop::collection::vec((0u32..500, 1e-3f32..1e3), 1..60),
        ) {
            let query = SparseVector::from_pairs(pairs).unwrap();
            let fixed = FixedQuery::new(&query);
            let unit = fixed.unit(1.0);
            let heaviest = query.weights().iter().copied().fold(0.0, f32::max);
            for (term, weight) in query.iter() {
                let found = fixed.terms().iter().find(|t| t.0 == term).map_or(0, |t| t.1);
                prop_assert!((f64::from(found) * unit - f64::from(weight)).abs()
                    <= f64::from(heaviest) * f64::from(-24f32).exp2());
            }
        }
    }
}
