//! How a weight becomes levels, and back.
//!
//! 1. a weight that is a whole multiple of the segment's step, up to the largest level, is one level
//! 2. a heavier one is two: its leading part in a layer of a coarser step, the rest in a finer layer
//! 3. a lighter one is one level, of the segment's step where that rounds it well enough, else of the
//!    first finer layer that does
//!
//! The step of layer `n` is 64^n times the segment's. Levels of layer 0 stand under their term; those of
//! other layers under a scaled term (`scaled.rs`). In collections without outliers nearly all are of
//! layer 0, and with whole impacts up to the largest level all of them.

use serde::{Deserialize, Serialize};

/// The step of a layer is 2 to this power times that of the layer below it.
pub(super) const LAYER_BITS: i32 = 6;
/// Layers above and below 0: f32 has no weights beyond them.
pub(super) const MOST_LAYERS: i32 = 50;
/// Relative error that rounding to a level of two bytes may leave. Half of what is promised: a merge
/// may round once more, to another step.
const RELATIVE: f64 = 1.0 / 2048.0;

/// A level and its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Whole multiples of the layer's step, at least 1.
    pub level: u16,
    /// The layer: its step is 64^layer times the segment's.
    pub layer: i8,
}

/// Bytes a stored term takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TermWidth {
    /// Term ids below 65,536.
    U16,
    /// Any term id.
    U32,
}

/// Bytes a stored level takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LevelWidth {
    /// Levels 1 to 255.
    U8,
    /// Levels 1 to 65,535.
    U16,
}

/// How weights became levels: `weight ~ level * scale`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantization {
    /// Width of a level.
    pub levels: LevelWidth,
    /// Weight of one level, in original units; finite and greater than zero.
    pub scale: f64,
    /// Whether every weight is reproduced to the bit.
    pub lossless: bool,
}

impl Quantization {
    /// Largest level.
    #[must_use]
    #[inline]
    pub fn max_level(&self) -> u16 {
        match self.levels {
            LevelWidth::U8 => 255,
            LevelWidth::U16 => u16::MAX,
        }
    }

    /// The nearest level of layer 0, at least 1 (a component never vanishes).
    #[must_use]
    #[inline]
    pub fn level(&self, weight: f32) -> u16 {
        self.rounded(f64::from(weight) / self.scale)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 1..=max_level first"
    )]
    #[inline]
    fn rounded(&self, steps: f64) -> u16 {
        let steps = steps.clamp(1.0, f64::from(self.max_level()));
        // As `round()`, which is a call on a CPU of the oldest kind that is built for.
        let whole = steps as u16;
        whole + u16::from(steps - f64::from(whole) >= 0.5)
    }

    /// The levels of a finite positive weight: one, or two of different layers. Their sum is off by at
    /// most a 2,048th of the weight; of a weight of at most `tolerance` by at most `tolerance`; in one
    /// byte by half a step. Without a tolerance no weight is given a finer layer.
    #[must_use]
    #[inline]
    pub fn split(&self, weight: f32, tolerance: Option<f64>) -> (Level, Option<Level>) {
        let weight64 = f64::from(weight);
        let steps = weight64 / self.scale;
        if steps > f64::from(self.max_level()) + 0.5 {
            return self.heavy(steps);
        }
        let level = self.rounded(steps);
        let plain = Level { level, layer: 0 };
        let (Some(tolerance), LevelWidth::U16) = (tolerance, self.levels) else {
            return (plain, None);
        };
        let error = (f64::from(level) * self.scale - weight64).abs();
        if fine(weight64, error, tolerance) {
            return (plain, None);
        }
        self.light(weight64, plain, tolerance)
    }

    /// Of a weight that the segment's step rounds too coarsely.
    #[cold]
    fn light(&self, weight64: f64, plain: Level, tolerance: f64) -> (Level, Option<Level>) {
        let most = f64::from(self.max_level());
        let mut best = (plain, None);
        for layer in 1..=MOST_LAYERS {
            let step = self.step(-layer);
            let steps = weight64 / step;
            if steps > most + 0.5 {
                break;
            }
            let level = self.rounded(steps);
            #[expect(clippy::cast_possible_truncation, reason = "at most MOST_LAYERS")]
            let of_layer = Level { level, layer: -layer as i8 };
            best = (of_layer, None);
            if fine(weight64, (f64::from(level) * step - weight64).abs(), tolerance) {
                break;
            }
        }
        best
    }

    /// Of more steps than levels: the leading part, and the rest where there is one.
    #[cold]
    #[expect(clippy::cast_possible_truncation, reason = "at most MOST_LAYERS")]
    fn heavy(&self, steps: f64) -> (Level, Option<Level>) {
        let most = f64::from(self.max_level());
        let of = |layer: i32| f64::from(LAYER_BITS * layer).exp2();
        let above = |steps: f64, (from, limit): (i32, f64)| {
            (from..MOST_LAYERS).find(|l| steps / of(*l) < limit).unwrap_or(MOST_LAYERS)
        };
        // The leading part is cut, the rest is rounded.
        let layer = above(steps, (1, most + 1.0));
        let leading = self.rounded((steps / of(layer)).floor());
        let first = Level { level: leading, layer: layer as i8 };
        let rest = steps - f64::from(leading) * of(layer);
        let below = above(rest, (0, most + 0.5));
        if below >= layer || (rest / of(below)).round() < 1.0 {
            return (first, None);
        }
        let rest = Level { level: self.rounded(rest / of(below)), layer: below as i8 };
        (first, Some(rest))
    }

    /// The step of a layer, in original units.
    #[must_use]
    #[inline]
    pub(crate) fn step(&self, layer: i32) -> f64 {
        match layer {
            0 => self.scale,
            layer => self.scale * f64::from(LAYER_BITS * layer).exp2(),
        }
    }

    /// What levels are worth together, in original units.
    #[must_use]
    #[inline]
    pub fn worth(&self, (first, second): (Level, Option<Level>)) -> f64 {
        let of = |l: Level| f64::from(l.level) * self.step(i32::from(l.layer));
        of(first) + second.map_or(0.0, of)
    }

    /// The weight that a level of layer 0 stands for.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "weights are f32; the product is rounded once"
    )]
    pub fn weight(&self, level: u16) -> f32 {
        (f64::from(level) * self.scale) as f32
    }
}

/// Whether a weight may be off by `error`.
#[inline]
fn fine(weight: f64, error: f64, tolerance: f64) -> bool {
    error <= weight * RELATIVE || (weight <= tolerance && error <= tolerance)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation, reason = "floats of a test")]

    use super::*;
    use proptest::prelude::*;

    const STEPS: [f64; 4] = [1.0, 1.0 / 16_384.0, 0.011_458_334, 1e-30];

    fn quantization(levels: LevelWidth, scale: f64) -> Quantization {
        Quantization { levels, scale, lossless: false }
    }

    #[test]
    fn whole_impacts_below_2_to_28_are_kept() {
        let whole = quantization(LevelWidth::U16, 1.0);
        for n in [1u32, 255, 65_535, 65_536, 65_600, 99_999, 100_001, (1 << 24) - 1, (1 << 28) - 16]
        {
            #[expect(clippy::cast_precision_loss, reason = "f32 holds these")]
            let weight = n as f32;
            assert_eq!(whole.worth(whole.split(weight, Some(0.1))), f64::from(n));
        }
    }

    #[test]
    fn one_byte_keeps_heavy_impacts_too() {
        let whole = quantization(LevelWidth::U8, 1.0);
        for n in [255.0f32, 256.0, 300.0, 4_095.0, 16_383.0] {
            assert_eq!(whole.worth(whole.split(n, None)), f64::from(n), "{n}");
        }
        let spam = whole.split(65_504.0, None);
        assert!((whole.worth(spam) - 65_504.0).abs() <= 65_504.0 / 64.0 / 2.0);
    }

    proptest! {
        #[test]
        fn any_weight_is_kept_to_a_2048th(
            exponent in -126i32..127,
            mantissa in 1.0f32..2.0,
            scale in prop::sample::select(&STEPS[..]),
            tolerance in prop::sample::select(&[0.0, 1e-30, 1e-3, 1.0][..]),
        ) {
            let form = quantization(LevelWidth::U16, scale);
            let weight = mantissa * f64::from(exponent).exp2() as f32;
            let parts = form.split(weight, Some(tolerance));
            let error = (form.worth(parts) - f64::from(weight)).abs();
            let within = error <= f64::from(weight) * RELATIVE * (1.0 + 1e-9)
                || (f64::from(weight) <= tolerance && error <= tolerance);
            prop_assert!(within, "{weight} at step {scale}: {parts:?}, off by {error}");
            if let Some(second) = parts.1 {
                prop_assert!(second.layer < parts.0.layer);
                prop_assert!(error <= f64::from(weight) / f64::from(1 << 17), "{error}");
            }
            // What was stored is stored again as it is, or rounded once more, to a coarser layer.
            let stored = form.worth(parts) as f32;
            let again = form.worth(form.split(stored, Some(tolerance)));
            let stored = f64::from(stored);
            let most = (stored * RELATIVE * (1.0 + 1e-9)).max(if stored <= tolerance { tolerance } else { 0.0 });
            prop_assert!((again - stored).abs() <= most, "{stored} becomes {again}");
        }
    }
}
