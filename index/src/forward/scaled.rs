//! Scaled terms: where levels of other layers than 0 stand in records and lists.
//!
//! A scaled term is a number behind the lexicon's terms that stands for a term and a layer: its levels
//! are worth 64^layer times those of the term itself. Records and lists treat it like any term, so a
//! search reaches the weights of all layers by looking for a query term's scaled terms too.

use std::path::Path;

use super::levels::{LAYER_BITS, MOST_LAYERS};
use crate::error::IndexError;

/// A term and a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScaledTerm {
    /// The lexicon's term.
    pub term: u32,
    /// The layer, never 0.
    pub layer: i8,
}

/// The scaled terms of a segment, by number.
#[derive(Debug, Clone, Default)]
pub struct ScaledTerms {
    /// Number of the first: the lexicon's terms that the segment knows.
    first: u32,
    terms: Vec<ScaledTerm>,
    /// Places in `terms`, by term.
    by_term: Vec<u32>,
}

impl ScaledTerms {
    /// Scaled terms numbered from `first` on.
    pub(super) fn new(first: u32, terms: Vec<ScaledTerm>) -> Self {
        let mut by_term: Vec<u32> = (0..u32::try_from(terms.len()).unwrap_or(u32::MAX)).collect();
        by_term.sort_unstable_by_key(|at| (terms[*at as usize].term, terms[*at as usize].layer));
        Self { first, terms, by_term }
    }

    /// Reads pairs of a term and a layer.
    pub(super) fn read(path: &Path, first: u32, pairs: &[u32]) -> Result<Self, IndexError> {
        let corrupt =
            |at: usize, what: &str| IndexError::corrupt(path, format!("scaled term {at} {what}"));
        let (pairs, rest) = pairs.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(corrupt(pairs.len(), "is truncated"));
        }
        let mut terms = Vec::with_capacity(pairs.len());
        for (at, [term, layer]) in pairs.iter().enumerate() {
            let layer = i8::try_from(layer.cast_signed()).ok();
            let Some(layer) = layer.filter(|l| *l != 0 && i32::from(*l).abs() <= MOST_LAYERS)
            else {
                return Err(corrupt(at, "has an impossible layer"));
            };
            if *term >= first {
                return Err(corrupt(at, "names an unknown term"));
            }
            terms.push(ScaledTerm { term: *term, layer });
        }
        let scaled = Self::new(first, terms);
        let of = |at: &u32| scaled.terms[*at as usize];
        if let Some(twice) = scaled.by_term.windows(2).find(|w| of(&w[0]) == of(&w[1])) {
            return Err(corrupt(twice[1] as usize, "appears twice"));
        }
        Ok(scaled)
    }

    /// As they are written.
    pub(super) fn pairs(&self) -> Vec<u32> {
        let pair = |s: &ScaledTerm| [s.term, i32::from(s.layer).cast_unsigned()];
        self.terms.iter().flat_map(pair).collect()
    }

    /// How many there are.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether all levels are of layer 0.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Number of the first scaled term.
    #[must_use]
    pub fn first(&self) -> u32 {
        self.first
    }

    /// What a number of a record stands for; `None` for the lexicon's terms and unknown numbers.
    #[must_use]
    pub(crate) fn get(&self, number: u32) -> Option<ScaledTerm> {
        self.terms.get(number.checked_sub(self.first)? as usize).copied()
    }

    /// The numbers that stand for a term, with their layers. Cost: O(log of all).
    pub fn of(&self, term: u32) -> impl Iterator<Item = (u32, i8)> + '_ {
        let start = self.by_term.partition_point(|at| self.terms[*at as usize].term < term);
        self.by_term[start..]
            .iter()
            .map(|at| (self.first + at, self.terms[*at as usize]))
            .take_while(move |(_, scaled)| scaled.term == term)
            .map(|(number, scaled)| (number, scaled.layer))
    }

    /// What a level of the number is worth, in levels of layer 0; 1 for the lexicon's terms.
    #[must_use]
    pub fn factor(&self, number: u32) -> f64 {
        self.get(number).map_or(1.0, |scaled| factor(scaled.layer))
    }
}

/// What a level of a layer is worth, in levels of layer 0.
#[must_use]
pub fn factor(layer: i8) -> f64 {
    f64::from(LAYER_BITS * i32::from(layer)).exp2()
}
