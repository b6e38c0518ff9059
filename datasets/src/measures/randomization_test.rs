//! Fisher's paired randomisation test, two-sided, by sampling.
//!
//! 1. if the two systems were the same, each difference could as well have the other sign
//! 2. signs are drawn `rounds` times; counted is how often the mean is at least as far from zero
//! 3. the count and the observed value itself, over `rounds + 1`, is the probability

use super::count::number;
use super::t_test::differences;
use crate::error::DatasetError;

/// The probability of a difference of means at least as large if the two systems were the same.
/// The result is a function of the arguments alone. Cost: O(rounds * pairs).
///
/// # Errors
/// When the lists differ in length, hold fewer than two values, or one that is not finite.
pub fn randomization_test(
    left: &[f64],
    right: &[f64],
    rounds: usize,
    seed: u64,
) -> Result<f64, DatasetError> {
    let differences = differences(left, right)?;
    let observed = differences.iter().sum::<f64>().abs();
    // Sums of the same numbers in another order of signs may differ by rounding.
    let threshold = observed - 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let mut state = seed;
    let mut as_far = 0;
    for _ in 0..rounds {
        let mut sum = 0.0;
        for chunk in differences.chunks(64) {
            let mut signs = split_mix(&mut state);
            for difference in chunk {
                sum += if signs & 1 == 0 { *difference } else { -difference };
                signs >>= 1;
            }
        }
        as_far += usize::from(sum.abs() >= threshold);
    }
    Ok(number(as_far + 1) / number(rounds + 1))
}

/// SplitMix64 (Steele, Lea, Flood 2014). Written out because published probabilities must come out again, and
/// `rand` may change its generators with a version.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approaches_the_exact_probability() {
        // Five differences of one sign: 2 of the 32 assignments are as far from zero.
        let left = [0.9, 0.8, 0.7, 0.9, 0.6];
        let right = [0.1, 0.2, 0.3, 0.4, 0.5];
        let p = randomization_test(&left, &right, 100_000, 7).unwrap();
        assert!((p - 2.0 / 32.0).abs() < 0.005, "{p}");
        assert_eq!(p, randomization_test(&left, &right, 100_000, 7).unwrap());
        assert_eq!(randomization_test(&left, &left, 100, 7).unwrap(), 1.0);
        assert!(randomization_test(&left, &right[1..], 10, 7).is_err());
    }
}
