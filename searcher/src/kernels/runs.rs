//! Finding a term's run of entries in a page of summaries.
//!
//! 1. the position of the term's low byte among the page's keys
//! 2. as many ends of runs are passed over among the page's entries, then one more is looked for
#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "intrinsics, with their checks"))]

use std::ops::Range;

use quarry_index::seismic::{LAST, SLACK};

use super::Kernels;

impl Kernels {
    /// The entries of the run of the key `low`: positions in `numbers`; empty when there is no such
    /// key. The first `keys.1` of `keys.0` are the page's, the first `numbers.1` of `numbers.0` its
    /// entries'.
    ///
    /// # Panics
    /// When fewer than [`SLACK`] bytes follow either.
    #[inline(always)]
    pub(crate) fn run(
        self,
        low: u8,
        keys: (&[u8], usize),
        numbers: (&[u8], usize),
    ) -> Range<usize> {
        // Loads of 64 bytes may begin at the last one.
        assert!(keys.0.len() >= keys.1 + SLACK, "keys without their slack");
        assert!(numbers.0.len() >= numbers.1 + SLACK, "entries without their slack");
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Kernels::available` saw AVX-512 BW and BMI2; lengths were just checked.
            Self::Avx512 => unsafe { x86::run_avx512(low, keys, numbers) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Kernels::available` saw AVX2 and BMI2; lengths were just checked.
            Self::Avx2 => unsafe { x86::run_avx2(low, keys, numbers) },
            _ => plain(low, keys, numbers),
        }
    }
}

/// The plain form.
fn plain(low: u8, keys: (&[u8], usize), numbers: (&[u8], usize)) -> Range<usize> {
    let Some(position) = keys.0[..keys.1].iter().position(|key| *key == low) else { return 0..0 };
    let mut ends =
        (0..).zip(&numbers.0[..numbers.1]).filter(|(_, n)| **n & LAST != 0).map(|(at, _)| at + 1);
    let start = if position == 0 { Some(0) } else { ends.nth(position - 1) };
    match (start, ends.next()) {
        (Some(start), Some(end)) => start..end,
        // Only in damaged bytes.
        _ => 0..0,
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
        _mm512_cmpeq_epi8_mask, _mm512_loadu_si512, _mm512_movepi8_mask, _mm512_set1_epi8,
        _pdep_u64,
    };
    use std::ops::Range;

    /// The shared course: `matches` and `lasts` give 64 bits for 64 bytes from a place on.
    macro_rules! course {
        ($keys:ident, $numbers:ident, $matches:expr, $lasts:expr) => {{
            let mut at = 0;
            let position = loop {
                if at >= $keys.1 {
                    return 0..0;
                }
                let mut hits: u64 = $matches($keys.0.as_ptr().wrapping_add(at));
                if $keys.1 - at < 64 {
                    hits &= (1 << ($keys.1 - at)) - 1;
                }
                if hits != 0 {
                    break at + hits.trailing_zeros() as usize;
                }
                at += 64;
            };
            // Ends still to be passed over before the run begins.
            let mut left = position;
            let (mut start, mut at) = (0, 0);
            while at < $numbers.1 {
                let mut ends: u64 = $lasts($numbers.0.as_ptr().wrapping_add(at));
                if $numbers.1 - at < 64 {
                    ends &= (1 << ($numbers.1 - at)) - 1;
                }
                let count = ends.count_ones() as usize;
                if count >= left {
                    if left > 0 {
                        let before: u64 = _pdep_u64(1 << (left - 1), ends);
                        start = at + before.trailing_zeros() as usize + 1;
                        ends &= !(before | (before - 1));
                        left = 0;
                    }
                    if ends != 0 {
                        return start..at + ends.trailing_zeros() as usize + 1;
                    }
                } else {
                    left -= count;
                }
                at += 64;
            }
            // Only in damaged bytes.
            0..0
        }};
    }

    /// # Safety
    /// The processor has AVX-512 BW and BMI2, and 64 bytes are readable from any of the first
    /// `keys.1` and `numbers.1` on.
    #[target_feature(enable = "avx512f,avx512bw,bmi2,popcnt,bmi1")]
    pub(super) unsafe fn run_avx512(
        low: u8,
        keys: (&[u8], usize),
        numbers: (&[u8], usize),
    ) -> Range<usize> {
        let wanted = _mm512_set1_epi8(low.cast_signed());
        // SAFETY: both are called for places below the counts alone, so by the contract 64 bytes
        // are readable.
        let matches = |from: *const u8| unsafe {
            _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(from.cast()), wanted)
        };
        // SAFETY: as above.
        let lasts =
            |from: *const u8| unsafe { _mm512_movepi8_mask(_mm512_loadu_si512(from.cast())) };
        course!(keys, numbers, matches, lasts)
    }

    /// # Safety
    /// The processor has AVX2 and BMI2, and 64 bytes are readable from any of the first `keys.1`
    /// and `numbers.1` on.
    #[target_feature(enable = "avx2,bmi2,popcnt,bmi1")]
    pub(super) unsafe fn run_avx2(
        low: u8,
        keys: (&[u8], usize),
        numbers: (&[u8], usize),
    ) -> Range<usize> {
        let wanted = _mm256_set1_epi8(low.cast_signed());
        // SAFETY: both are called for places below the counts alone, so by the contract 64 bytes
        // are readable.
        let matches = |from: *const u8| unsafe {
            let first = _mm256_cmpeq_epi8(_mm256_loadu_si256(from.cast()), wanted);
            let second = _mm256_cmpeq_epi8(_mm256_loadu_si256(from.add(32).cast()), wanted);
            u64::from(_mm256_movemask_epi8(first).cast_unsigned())
                | u64::from(_mm256_movemask_epi8(second).cast_unsigned()) << 32
        };
        // SAFETY: as above.
        let lasts = |from: *const u8| unsafe {
            u64::from(_mm256_movemask_epi8(_mm256_loadu_si256(from.cast())).cast_unsigned())
                | u64::from(
                    _mm256_movemask_epi8(_mm256_loadu_si256(from.add(32).cast())).cast_unsigned(),
                ) << 32
        };
        course!(keys, numbers, matches, lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_are_the_same(
            runs in prop::collection::btree_map(any::<u8>(), prop::collection::vec(0u8..128, 1..150), 0..40),
            slack in any::<u8>(),
            asked in any::<u8>(),
            cut in 0usize..3,
        ) {
            let mut keys: Vec<u8> = runs.keys().copied().collect();
            let mut numbers: Vec<u8> = Vec::new();
            let mut want = Vec::new();
            for run in runs.values() {
                let start = numbers.len();
                numbers.extend(run);
                *numbers.last_mut().unwrap() |= LAST;
                want.push(start..numbers.len());
            }
            // What follows a page is another page's, or anything; damage may shorten the entries.
            let counts = (keys.len(), numbers.len().saturating_sub(cut));
            keys.extend([slack; SLACK]);
            numbers.extend([slack; SLACK]);
            for low in runs.keys().copied().chain([asked]) {
                let found = plain(low, (&keys, counts.0), (&numbers, counts.1));
                if cut == 0 {
                    let at = runs.keys().position(|key| *key == low);
                    prop_assert_eq!(&found, &at.map_or(0..0, |at| want[at].clone()));
                }
                for kernels in Kernels::all() {
                    let form = kernels.run(low, (&keys, counts.0), (&numbers, counts.1));
                    prop_assert_eq!(&form, &found, "{:?}", kernels);
                }
            }
        }
    }
}
