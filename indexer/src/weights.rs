//! Statistics of a collection's weights: the largest, a histogram and, as long as there are few, the
//! distinct values.

use std::collections::HashSet;

use quarry_index::forward::ErrorBefore;
use serde::{Deserialize, Serialize};

/// A 16-bit grid has 65,536 levels at most; more distinct weights cannot all be multiples of one step.
const MOST_DISTINCT: usize = 1 << 16;
/// Entries of the cache in front of the set.
const RECENT: usize = 4096;
/// Low bits of a weight that do not affect its bin: bins are an eighth of an octave wide.
const BIN_SHIFT: u32 = 20;
const BINS: usize = 1 << (31 - BIN_SHIFT);

/// Statistics of a collection's weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WeightStats {
    pub(crate) largest: f32,
    /// Whether all are whole numbers.
    pub(crate) whole: bool,
    /// Number of weights that are not whole.
    #[serde(default)]
    pub(crate) fractions: u64,
    /// The error that these weights already have if they were read from an index.
    #[serde(default)]
    pub(crate) before: ErrorBefore,
    /// Bits of the distinct weights; emptied when there are too many.
    distinct: HashSet<u32>,
    many: bool,
    histogram: Histogram,
    /// Recently seen weights, so that repeated ones need no hashing.
    #[serde(skip)]
    recent: Vec<u32>,
}

impl Default for WeightStats {
    fn default() -> Self {
        Self {
            largest: 0.0,
            whole: true,
            fractions: 0,
            before: ErrorBefore::default(),
            distinct: HashSet::new(),
            many: false,
            histogram: Histogram::default(),
            recent: Vec::new(),
        }
    }
}

impl WeightStats {
    pub(crate) fn add(&mut self, weights: &[f32]) {
        let mut fractions = 0;
        for weight in weights {
            self.largest = self.largest.max(*weight);
            fractions += u64::from(!is_whole(*weight));
        }
        self.whole &= fractions == 0;
        self.fractions += fractions;
        self.histogram.add(weights);
        self.recent.resize(RECENT, 0);
        for weight in weights {
            if self.many {
                break;
            }
            let bits = weight.to_bits();
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
        self.whole &= other.whole;
        self.fractions += other.fractions;
        self.before.merge(&other.before);
        self.histogram.merge(&other.histogram);
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

    /// The distinct weights, ascending; `None` if there are too many.
    pub(crate) fn distinct(&self) -> Option<Vec<f32>> {
        let mut weights: Vec<f32> = self.distinct.iter().map(|b| f32::from_bits(*b)).collect();
        weights.sort_by(f32::total_cmp);
        Some(weights).filter(|_| !self.many)
    }

    pub(crate) fn histogram(&self) -> &Histogram {
        &self.histogram
    }
}

/// Whether a weight is a whole number.
#[inline]
fn is_whole(weight: f32) -> bool {
    // From 2^24 on, every f32 is whole.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        clippy::float_cmp,
        reason = "exact below 2^24"
    )]
    let whole = weight >= 16_777_216.0 || (weight as u32) as f32 == weight;
    whole
}

/// Counts of weights by bins whose edges are an eighth of an octave apart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(usize, u64)>", into = "Vec<(usize, u64)>")]
pub(crate) struct Histogram {
    /// Empty, or [`BINS`] of them.
    bins: Vec<u64>,
}

impl From<Vec<(usize, u64)>> for Histogram {
    fn from(counts: Vec<(usize, u64)>) -> Self {
        let mut bins = vec![0; if counts.is_empty() { 0 } else { BINS }];
        for (bin, count) in counts {
            if let Some(slot) = bins.get_mut(bin) {
                *slot = count;
            }
        }
        Self { bins }
    }
}

impl From<Histogram> for Vec<(usize, u64)> {
    fn from(histogram: Histogram) -> Self {
        histogram.bins.into_iter().enumerate().filter(|bin| bin.1 > 0).collect()
    }
}

/// The lower edge of a bin; infinity for [`BINS`] and beyond the largest float.
fn edge(bin: usize) -> f64 {
    let bits = u32::try_from(bin).unwrap_or(u32::MAX).saturating_mul(1 << BIN_SHIFT);
    f64::from(f32::from_bits(bits.min(f32::INFINITY.to_bits())))
}

impl Histogram {
    fn add(&mut self, weights: &[f32]) {
        self.bins.resize(BINS, 0);
        for weight in weights {
            if let Some(bin) = self.bins.get_mut((weight.to_bits() >> BIN_SHIFT) as usize) {
                *bin += 1;
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.bins.resize(self.bins.len().max(other.bins.len()), 0);
        self.bins.iter_mut().zip(&other.bins).for_each(|(a, b)| *a += b);
    }

    /// Number of weights.
    pub(crate) fn count(&self) -> u64 {
        self.bins.iter().sum()
    }

    /// The weight at quantile `share` (0 to 1), or a value at most an eighth of an octave below it.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
        let wanted = self.count() as f64 * share;
        let mut below = 0u64;
        for (bin, count) in self.bins.iter().enumerate() {
            below += count;
            #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
            if *count > 0 && below as f64 >= wanted {
                return edge(bin);
            }
        }
        0.0
    }

    /// Upper bound on the number of weights between `low` and `high`: counts every bin the range touches.
    pub(crate) fn between(&self, low: f64, high: f64) -> u64 {
        let touches = |bin: usize| edge(bin) < high && edge(bin + 1) > low;
        self.bins.iter().enumerate().filter(|bin| touches(bin.0)).map(|bin| bin.1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_ranges() {
        let mut stats = WeightStats::default();
        assert_eq!((stats.histogram().count(), stats.histogram().quantile(0.5)), (0, 0.0));
        let weights: Vec<f32> = (1..=1000u16).map(f32::from).collect();
        stats.add(&weights[..400]);
        let mut other = WeightStats::default();
        other.add(&weights[400..]);
        stats.merge(&other);
        assert_eq!(stats.histogram().count(), 1000);
        let median = stats.histogram().quantile(0.5);
        assert!((440.0..=500.0).contains(&median), "{median}");
        let above = stats.histogram().between(512.0, f64::INFINITY);
        assert_eq!(above, 1000 - 511);
        assert!(stats.histogram().between(600.0, 700.0) >= 100);
        assert_eq!(stats.histogram().between(1100.0, 1e9), 0);
        let back: Vec<(usize, u64)> = stats.histogram().clone().into();
        assert_eq!(Histogram::from(back).between(512.0, f64::INFINITY), above);
    }

    #[test]
    fn the_smallest_and_the_largest_have_bins() {
        let mut stats = WeightStats::default();
        stats.add(&[f32::from_bits(1), f32::MIN_POSITIVE, f32::MAX]);
        assert_eq!(stats.histogram().between(1e38, f64::INFINITY), 1);
        assert_eq!(stats.histogram().between(0.0, 1e-37), 2);
        assert!(!stats.whole);
    }
}
