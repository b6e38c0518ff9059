//! How weights become levels.
//!
//! 1. while documents are read, note the largest weight and, as long as they are few, the distinct
//!    weights  2. if all of them are whole multiples of one step, that step is the scale and
//!    nothing is lost (integer impacts; vectors that were quantised before)  3. otherwise the scale
//!    spreads the range of weights over two bytes (one, if the user says so)

use std::collections::HashSet;

use quarry_index::forward::{LevelWidth, Quantization};
use serde::{Deserialize, Serialize};

use crate::options::Levels;

/// More distinct weights than levels of two bytes cannot be multiples of one step.
const MOST_DISTINCT: usize = 1 << 16;
/// Shares of the step that a float may lie off a whole multiple while guessing the step.
const TOLERANCE: f64 = 1e-3;

/// Entries of the cache before the set.
const RECENT: usize = 4096;

/// What is known of a collection's weights.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct WeightStats {
    largest: f32,
    /// Bits of the distinct weights; dropped when there are too many.
    distinct: HashSet<u32>,
    many: bool,
    /// Weights seen lately, so that repeated ones cost no hashing.
    #[serde(skip)]
    recent: Vec<u32>,
}

impl WeightStats {
    pub(crate) fn add(&mut self, weights: &[f32]) {
        for weight in weights {
            self.largest = self.largest.max(*weight);
            if self.many {
                continue;
            }
            let bits = weight.to_bits();
            self.recent.resize(RECENT, 0);
            let slot = &mut self.recent[(bits.wrapping_mul(0x9E37_79B1) >> 20) as usize % RECENT];
            if *slot != bits {
                *slot = bits;
                self.distinct.insert(bits);
                self.trim();
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.largest = self.largest.max(other.largest);
        self.many |= other.many;
        self.distinct.extend(&other.distinct);
        self.trim();
    }

    fn trim(&mut self) {
        if self.many || self.distinct.len() > MOST_DISTINCT {
            self.many = true;
            self.distinct = HashSet::new();
        }
    }

    /// Decides the quantisation.
    pub(crate) fn choose(&self, levels: Levels) -> Quantization {
        if let Some((scale, most)) = self.step() {
            let width = match levels {
                Levels::Auto | Levels::U8 if most <= 255 => Some(LevelWidth::U8),
                Levels::Auto | Levels::U16 if most <= 65_535 => Some(LevelWidth::U16),
                _ => None,
            };
            if let Some(levels) = width {
                return Quantization { levels, scale, lossless: true };
            }
        }
        let largest = if self.largest > 0.0 { f64::from(self.largest) } else { 1.0 };
        let levels = if levels == Levels::U8 { LevelWidth::U8 } else { LevelWidth::U16 };
        let most = if levels == LevelWidth::U8 { 255.0 } else { 65_535.0 };
        Quantization { levels, scale: largest / most, lossless: false }
    }

    /// The step of which every weight is a whole multiple to the bit, and the largest multiple.
    fn step(&self) -> Option<(f64, u32)> {
        if self.many || self.distinct.is_empty() {
            return None;
        }
        let mut weights: Vec<f32> = self.distinct.iter().map(|b| f32::from_bits(*b)).collect();
        weights.sort_by(f32::total_cmp);
        let whole = Quantization { levels: LevelWidth::U16, scale: 1.0, lossless: true };
        if let Some(most) = reproduces(&weights, whole.scale) {
            return Some((1.0, most));
        }
        // Euclid's algorithm on floats; then the f32 values around the guess, since a step is
        // usually stored as one.
        let largest = f64::from(*weights.last()?);
        let guess = weights.iter().map(|w| f64::from(*w)).reduce(|a, b| divisor(a, b, largest))?;
        let multiple = (largest / guess).round();
        #[expect(clippy::cast_possible_truncation, reason = "candidates are f32")]
        let near = (largest / multiple) as f32;
        let candidates = [
            near,
            near.next_up(),
            near.next_down(),
            near.next_up().next_up(),
            near.next_down().next_down(),
        ];
        candidates
            .into_iter()
            .map(f64::from)
            .chain([largest / multiple])
            .find_map(|step| reproduces(&weights, step).map(|most| (step, most)))
    }
}

/// The largest multiple, if every weight is a multiple of `step` to the bit.
fn reproduces(weights: &[f32], step: f64) -> Option<u32> {
    if !(step.is_finite() && step > 0.0) {
        return None;
    }
    let mut most = 0;
    for weight in weights {
        let level = (f64::from(*weight) / step).round();
        if !(1.0..=65_535.0).contains(&level) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be 1..=65535"
        )]
        let level = level as u32;
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        if ((f64::from(level) * step) as f32).to_bits() != weight.to_bits() {
            return None;
        }
        most = most.max(level);
    }
    Some(most)
}

/// Greatest common divisor of two positive numbers, as far as f32 inputs allow.
fn divisor(mut a: f64, mut b: f64, largest: f64) -> f64 {
    let floor = largest / 65_535.0 * 0.5;
    while b > floor {
        let rest = a - (a / b).round() * b;
        (a, b) = (b, rest.abs());
        if b < TOLERANCE * a {
            break;
        }
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(weights: &[f32]) -> WeightStats {
        let mut stats = WeightStats::default();
        stats.add(weights);
        stats
    }

    #[test]
    fn integers_are_kept() {
        let chosen = stats(&[1.0, 7.0, 255.0]).choose(Levels::Auto);
        assert_eq!(chosen, Quantization { levels: LevelWidth::U8, scale: 1.0, lossless: true });
        let chosen = stats(&[1.0, 7.0, 256.0]).choose(Levels::Auto);
        assert_eq!(chosen, Quantization { levels: LevelWidth::U16, scale: 1.0, lossless: true });
    }

    #[test]
    fn a_step_is_found() {
        for step in [0.011_458_334_f32, 0.1, 3.0e-5, 1.7] {
            let weights: Vec<f32> = (1..=255u8).map(|b| f32::from(b) * step).collect();
            let chosen = stats(&weights).choose(Levels::Auto);
            assert!(chosen.lossless, "{step}");
            assert_eq!(chosen.levels, LevelWidth::U8);
            for w in weights {
                assert_eq!(chosen.weight(chosen.level(w)), w);
            }
        }
    }

    #[test]
    fn floats_take_two_bytes() {
        let weights: Vec<f32> =
            (0..1000u16).map(|i| 0.01 + (f32::from(i) * 0.7).sin().abs()).collect();
        let chosen = stats(&weights).choose(Levels::Auto);
        assert!(!chosen.lossless);
        assert_eq!(chosen.levels, LevelWidth::U16);
        for w in weights {
            assert!((chosen.weight(chosen.level(w)) - w).abs() <= 1.01 / 65_535.0);
        }
        assert_eq!(stats(&[]).choose(Levels::Auto).levels, LevelWidth::U16);
    }
}
