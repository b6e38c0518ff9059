//! Cuts the levels of a posting list into bands.
//!
//! 1. count postings by level (large levels in bins of 1/128 of their size)
//! 2. give each bin a share of the bands that grows with the cube root of its density
//! 3. cut where the shares add up to whole bands
//!
//! With many bands this is the quantiser of least mean square error (Panter and Dite, "Quantization
//! distortion in pulse-count modulation with nonuniform spacing of levels", 1951). Unlike bands of
//! equal width, it is not affected by a few very large weights.

use quarry_index::impact::{BANDS, BandData};

/// Levels below this have a bin of their own.
const PLAIN: u16 = 256;
/// Bins per octave of larger levels.
const PER_OCTAVE: usize = 128;
/// Number of bins for 16-bit levels.
const BINS: usize = 256 + 8 * PER_OCTAVE;
/// A list gets one more band for this many postings, up to [`BANDS`].
const POSTINGS_PER_BAND: usize = 2;

/// Cuts lists into bands; reuses its counters.
#[derive(Debug)]
pub(crate) struct Banding {
    counts: Vec<u32>,
    band_of: Vec<u8>,
}

impl Banding {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BINS], band_of: vec![0; BINS] }
    }

    /// The bands of a list, largest levels first, none empty. `docs` ascend; `levels` are parallel to them.
    /// Cost: O(postings + bins); nothing for an empty
    /// list.
    pub(crate) fn cut(&mut self, docs: &[u32], levels: &[u16]) -> Vec<BandData> {
        if docs.is_empty() {
            return Vec::new();
        }
        self.counts.fill(0);
        for level in levels {
            self.counts[bin(*level)] += 1;
        }
        let bands = BANDS.min(docs.len().div_ceil(POSTINGS_PER_BAND));
        let count = self.assign(bands);
        let mut out = vec![BandData::default(); count];
        let mut sums = vec![0u64; count];
        for (doc, level) in docs.iter().zip(levels) {
            let at = usize::from(self.band_of[bin(*level)]);
            out[at].docs.push(*doc);
            out[at].high = out[at].high.max(*level);
            sums[at] += u64::from(*level);
        }
        for (band, sum) in out.iter_mut().zip(sums) {
            let n = band.docs.len().max(1) as u64;
            band.typical = u16::try_from((sum + n / 2) / n).unwrap_or(u16::MAX);
        }
        out
    }

    /// Assigns bins to bands, from the largest level down; returns the number of bands.
    fn assign(&mut self, bands: usize) -> usize {
        let used = || (0..BINS).rev().filter(|b| self.counts[*b] > 0);
        let distinct = used().count();
        let share = |b: usize| {
            let width = width(b);
            (f64::from(self.counts[b]) / width).cbrt() * width
        };
        let total: f64 = used().map(share).sum();
        let (mut sum, mut at, mut last) = (0.0, 0usize, None);
        let mut numbers = Vec::with_capacity(distinct);
        for b in used() {
            let wanted = if distinct <= bands {
                numbers.len()
            } else {
                // The band that contains the middle of the bin's share.
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a number below the bands"
                )]
                let band = ((sum + share(b) / 2.0) / total * bands as f64) as usize;
                sum += share(b);
                band.min(bands - 1)
            };
            if last.is_some_and(|l| l != wanted) {
                at += 1;
            }
            last = Some(wanted);
            numbers.push((b, u8::try_from(at).unwrap_or(u8::MAX)));
        }
        for (b, number) in numbers {
            self.band_of[b] = number;
        }
        if last.is_some() { at + 1 } else { 0 }
    }
}

fn bin(level: u16) -> usize {
    if level < PLAIN {
        return usize::from(level);
    }
    let exponent = 15 - level.leading_zeros() as usize;
    256 + (exponent - 8) * PER_OCTAVE + (usize::from(level) >> (exponent - 7)) % PER_OCTAVE
}

/// Number of levels in a bin.
fn width(bin: usize) -> f64 {
    match bin.checked_sub(usize::from(PLAIN)) {
        None => 1.0,
        Some(above) => f64::from(2u16 << (above / PER_OCTAVE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bins_ascend_and_have_their_width() {
        let mut counts = vec![0u32; BINS];
        let mut last = 0;
        for level in 1..=u16::MAX {
            assert!(bin(level) == last || bin(level) == last + 1, "{level}");
            last = bin(level);
            counts[last] += 1;
        }
        for (b, count) in counts.iter().enumerate().skip(1) {
            assert!((width(b) - f64::from(*count)).abs() < 0.5, "{b}");
        }
    }

    proptest! {
        #[test]
        fn every_posting_is_in_one_band_in_order(
            levels in prop::collection::vec(prop_oneof![1u16..40, 1u16..=255, 1u16..=u16::MAX], 0..300),
        ) {
            let docs: Vec<u32> = (0..levels.len()).map(|d| u32::try_from(3 * d).unwrap()).collect();
            let bands = Banding::new().cut(&docs, &levels);
            prop_assert!(bands.len() <= BANDS);
            let mut all: Vec<u32> = bands.iter().flat_map(|b| b.docs.clone()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, docs);
            let mut floor = u32::from(u16::MAX) + 1;
            for band in &bands {
                prop_assert!(band.docs.windows(2).all(|w| w[0] < w[1]));
                let of: Vec<u16> = band.docs.iter().map(|d| levels[*d as usize / 3]).collect();
                prop_assert_eq!(of.iter().copied().max(), Some(band.high));
                prop_assert!(u32::from(band.high) < floor);
                prop_assert!(band.typical <= band.high && band.typical > 0);
                floor = u32::from(*of.iter().min().unwrap());
            }
        }
    }
}
