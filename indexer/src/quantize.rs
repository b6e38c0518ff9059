//! Chooses how weights are quantised to levels.
//!
//! 1. if all weights are whole multiples of one step, that step is the scale and nothing is lost
//!    (integer impacts; vectors that were quantised before)
//! 2. otherwise the scale is the power of two that gives most weights a single 16-bit level, neither too
//!    coarse for the small ones nor too fine for the largest (or, if the user asks for one byte, the range
//!    of weights over 255 levels); a few outliers do not affect it
//! 3. the permitted error of a small weight is a thousandth of the median
//!
//! Scales are powers of two so that a merge can bring the weights of two segments to one step without
//! rounding those of the finer segment again.

use quarry_index::forward::{ForwardIndex, LevelWidth, Precision, Quantization};

use crate::options::Levels;
use crate::weights::WeightStats;

/// While guessing the step: how far, in steps, a float may lie from a whole multiple.
const TOLERANCE: f64 = 1e-3;
/// Permitted error of small weights, as a fraction of the median.
const OF_MEDIAN: f64 = 1e-3;
/// A weight of at least this many steps is rounded by at most 1/2,048 of itself.
const FINE: f64 = 1024.0;
/// Cost of a weight stored in two levels, relative to one stored in a finer layer.
const HEAVY: u64 = 64;
/// Whole weights below this are stored exactly with 16-bit levels; the next constant is for 8 bits.
const WHOLE_U16: f32 = (1u32 << 28) as f32;
const WHOLE_U8: u32 = 1 << 14;
/// Largest impact, 32 bits: up to here a few large ones do not change the step of whole weights.
const IMPACTS: f32 = (1u64 << 32) as f32;
/// The largest weight is an outlier when it exceeds the 99.9th percentile by this factor.
const OUTLIER: f64 = 8.0;

/// The storage form of weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stored {
    pub(crate) quantization: Quantization,
    /// Permitted absolute error of small weights.
    pub(crate) tolerance: Option<f64>,
}

impl Stored {
    /// The storage form of a forward index.
    pub(crate) fn of(forward: &ForwardIndex) -> Self {
        let meta = forward.meta();
        Self { quantization: meta.quantization, tolerance: meta.tolerance }
    }
}

/// Chooses how weights are stored.
pub(crate) fn choose(stats: &WeightStats, levels: Levels) -> Stored {
    let quantization = quantization(stats, levels);
    let wide = quantization.levels == LevelWidth::U16 && stats.histogram().count() > 0;
    Stored { quantization, tolerance: wide.then(|| OF_MEDIAN * stats.histogram().quantile(0.5)) }
}

fn quantization(stats: &WeightStats, levels: Levels) -> Quantization {
    if let Some((scale, most)) = step(stats)
        && let Some(levels) = lossless_width(stats, (scale, most), levels)
    {
        return Quantization { levels, scale, lossless: true };
    }
    let largest = if stats.largest > 0.0 { f64::from(stats.largest) } else { 1.0 };
    if levels == Levels::U8 {
        let usual = 1.125 * stats.histogram().quantile(0.999);
        let top = if usual > 0.0 && largest > OUTLIER * usual { usual } else { largest };
        return Quantization { levels: LevelWidth::U8, scale: top / 255.0, lossless: false };
    }
    if keeps_whole(stats) {
        return Quantization { levels: LevelWidth::U16, scale: 1.0, lossless: false };
    }
    let tolerance = OF_MEDIAN * stats.histogram().quantile(0.5);
    let most = f64::from(u16::MAX) + 0.5;
    // From the step that spans the whole range down to one fine enough for all weights.
    let widest = (largest / most).log2().ceil();
    let cost = |scale: f64| {
        let heavy = stats.histogram().between(2.0 * scale * 32_768.0, f64::INFINITY);
        let fine = stats.histogram().between(tolerance, FINE * scale);
        heavy.saturating_mul(HEAVY) + fine
    };
    let mut best = (cost(widest.exp2()), widest.exp2());
    let mut finer = widest - 1.0;
    while best.0 > 0 && FINE * finer.exp2() > tolerance.max(f64::MIN_POSITIVE) && finer > -200.0 {
        let costs = cost(finer.exp2());
        if costs < best.0 {
            best = (costs, finer.exp2());
        }
        finer -= 1.0;
    }
    Quantization { levels: LevelWidth::U16, scale: best.1, lossless: false }
}

/// Whether to keep step 1 for whole impacts: those below 2^28 are then exact. The few that are larger take
/// two levels (error below a millionth), and the few fractions a finer layer.
fn keeps_whole(stats: &WeightStats) -> bool {
    let beyond = stats.histogram().between(f64::from(WHOLE_U16), f64::INFINITY);
    let few = |n: u64| n.saturating_mul(HEAVY) <= stats.histogram().count();
    few(stats.fractions) && stats.largest > 0.0 && (stats.largest <= IMPACTS || few(beyond))
}

/// How exactly weights are stored, and the largest number of scaled terms that takes.
pub(crate) fn precision(stats: &WeightStats, stored: Stored, dimension: u32) -> Precision {
    let Stored { quantization, tolerance } = stored;
    let histogram = stats.histogram();
    if histogram.count() == 0 {
        return Precision::default();
    }
    let most = (f64::from(quantization.max_level()) + 0.5) * quantization.scale;
    let largest = f64::from(stats.largest);
    let heavy = if largest <= most { 0 } else { histogram.between(most, f64::INFINITY) };
    let light = tolerance.filter(|_| !quantization.lossless);
    let whole = keeps_whole(stats) && quantization.scale == 1.0;
    // Whole weights with step 1 need no finer layer.
    let fine = match light {
        Some(_) if whole => stats.fractions,
        Some(least) => histogram.between(least, FINE * quantization.scale),
        None => 0,
    };
    // Layers are a factor of 64 apart.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "f32 has at most 50 of them each way"
    )]
    let layers = |ratio: f64| ratio.max(1.0).log(64.0).ceil().min(50.0) as u64;
    let above = if heavy > 0 { layers(largest / most) } else { 0 };
    let below = light.map_or(0, |least| {
        layers(FINE * quantization.scale / least.max(f64::from(f32::MIN_POSITIVE)))
    });
    let below = if fine > 0 { below } else { 0 };
    let scaled = (2 * heavy + fine).min((above + below) * u64::from(dimension));
    Precision { tolerance, scaled_terms: u32::try_from(scaled).unwrap_or(u32::MAX) }
}

/// The level width that is lossless for multiples of a step up to `most`.
fn lossless_width(
    stats: &WeightStats,
    (scale, most): (f64, u32),
    levels: Levels,
) -> Option<LevelWidth> {
    let above = stats.histogram().between(256.0 * scale, f64::INFINITY);
    let few = most < WHOLE_U8 && above.saturating_mul(HEAVY) <= stats.histogram().count();
    match levels {
        Levels::Auto | Levels::U8 if most <= 255 => Some(LevelWidth::U8),
        Levels::Auto if few => Some(LevelWidth::U8),
        Levels::U8 if most < WHOLE_U8 => Some(LevelWidth::U8),
        Levels::Auto | Levels::U16 => Some(LevelWidth::U16),
        Levels::U8 => None,
    }
}

/// The step that every weight is an exact multiple of, and the largest multiple.
fn step(stats: &WeightStats) -> Option<(f64, u32)> {
    if stats.whole && stats.largest > 0.0 && stats.largest < WHOLE_U16 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number below 2^28"
        )]
        return Some((1.0, stats.largest as u32));
    }
    let weights = stats.distinct().filter(|weights| !weights.is_empty())?;
    // Euclid's algorithm on floats, then the f32 values around the guess, since a step is
    // usually stored as an f32.
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

/// The largest multiple, if every weight is an exact multiple of `step`.
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

/// Greatest common divisor of two positive numbers, within the precision of f32 inputs.
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
        let chosen = quantization(&stats(&[1.0, 7.0, 255.0]), Levels::Auto);
        assert_eq!(chosen, Quantization { levels: LevelWidth::U8, scale: 1.0, lossless: true });
        let chosen = quantization(&stats(&[1.0, 7.0, 256.0]), Levels::Auto);
        assert_eq!(chosen, Quantization { levels: LevelWidth::U16, scale: 1.0, lossless: true });
    }

    #[test]
    fn a_step_is_found() {
        for step in [0.011_458_334_f32, 0.1, 3.0e-5, 1.7] {
            let weights: Vec<f32> = (1..=255u8).map(|b| f32::from(b) * step).collect();
            let chosen = quantization(&stats(&weights), Levels::Auto);
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
        let chosen = quantization(&stats(&weights), Levels::Auto);
        assert!(!chosen.lossless);
        assert_eq!(chosen.levels, LevelWidth::U16);
        for w in weights {
            assert!((chosen.weight(chosen.level(w)) - w).abs() <= 1.01 / 65_535.0);
        }
        assert_eq!(quantization(&stats(&[]), Levels::Auto).levels, LevelWidth::U16);
    }

    #[test]
    fn an_outlier_does_not_decide_the_step() {
        let mut weights: Vec<f32> =
            (0..9000u16).map(|i| 0.01 + (f32::from(i) * 0.7).sin().abs() * 3.0).collect();
        let before = quantization(&stats(&weights), Levels::Auto);
        weights.push(65_504.0);
        let after = quantization(&stats(&weights), Levels::Auto);
        assert_eq!(before, after);
        let precision = precision(&stats(&weights), choose(&stats(&weights), Levels::Auto), 1000);
        assert!(precision.tolerance.is_some_and(|t| (1e-3..3e-3).contains(&t)), "{precision:?}");
        let one = quantization(&stats(&weights), Levels::U8);
        assert!(one.scale < 0.03, "{one:?}");
    }

    #[test]
    fn whole_impacts_beyond_two_bytes_keep_their_step() {
        for most in [70_000u32, (1 << 24) - 1] {
            #[expect(clippy::cast_precision_loss, reason = "below 2^24")]
            let chosen = quantization(&stats(&[3.0, 99_999.0, most as f32]), Levels::Auto);
            assert_eq!(
                chosen,
                Quantization { levels: LevelWidth::U16, scale: 1.0, lossless: true }
            );
        }
        // One 32-bit weight among them does not affect the others.
        let mut impacts: Vec<f32> = (0..2000u16).map(|i| f32::from(i) * 8_000.0 + 3.0).collect();
        for spam in [0.5, 4_294_967_040.0f32, 1e15] {
            impacts.push(spam);
            let stored = choose(&stats(&impacts), Levels::Auto);
            for weight in &impacts {
                let parts = stored.quantization.split(*weight, stored.tolerance);
                let error = stored.quantization.worth(parts) - f64::from(*weight);
                let most = match *weight {
                    // Far below a thousandth of the median.
                    weight if weight < 1.0 => 0.5,
                    weight if weight < WHOLE_U16 => 0.0,
                    weight => f64::from(weight) * 1e-6,
                };
                assert!(error.abs() <= most, "{weight} is off by {error}");
            }
        }
        let mut bytes: Vec<f32> = (0..2000u16).map(|i| f32::from(i % 255 + 1)).collect();
        bytes.push(16_000.0);
        assert_eq!(quantization(&stats(&bytes), Levels::Auto).levels, LevelWidth::U8);
        bytes.push(16_384.0);
        assert_eq!(quantization(&stats(&bytes), Levels::Auto).levels, LevelWidth::U16);
    }

    #[test]
    fn six_decades_are_kept_whatever_the_step() {
        // One weight in each thousandth of a decade, from 1e-3 to 1e3.
        let weights: Vec<f32> =
            (0..6000u16).map(|i| 10f32.powf(f32::from(i) / 1000.0 - 3.0)).collect();
        let stats = stats(&weights);
        let stored = choose(&stats, Levels::Auto);
        let (chosen, precision) = (stored.quantization, precision(&stats, stored, 100));
        let mut scaled = std::collections::HashSet::new();
        for weight in weights {
            let (first, second) = chosen.split(weight, precision.tolerance);
            let error = (chosen.worth((first, second)) - f64::from(weight)).abs();
            assert!(error <= f64::from(weight) * 1e-3, "{weight} is off by {error}");
            scaled.extend([Some(first), second].into_iter().flatten().map(|l| l.layer));
        }
        scaled.remove(&0);
        assert!(scaled.len() * 100 <= precision.scaled_terms as usize, "{scaled:?} {precision:?}");
    }
}
