//! Corrects the calibrated costs by measured ones: a factor for each method, updated search by search.
//!
//! 1. the ratio of a planned search's time to the predicted one  2. the method's factor moves a hundredth
//!    towards the ratio, and so approaches the median, which an interrupted search does not shift
//!    3. after [`ENOUGH`] searches the factor counts
//!
//! A method without measured searches gets the mean factor of the others, since load slows all of them
//! down. Factors stay within [`MOST`] either way, live as long as
//! the searcher, and are written nowhere.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::method::Method;

/// Bounds of a factor: a third and three times.
const MOST: f64 = 3.0;
/// Searches of a method before its factor counts.
const ENOUGH: u32 = 64;
/// By how much one search moves a factor.
const STEP: f64 = 1.01;

/// Factors of all methods; shared between threads.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// By method, as [`Method::ALL`] has them: the factor's bits of 32, and the searches seen.
    methods: [AtomicU64; Method::ALL.len()],
}

impl Observed {
    /// Records that a search by `method` took `micros` microseconds where `predicted` were expected.
    pub(crate) fn saw(&self, method: Method, micros: f64, predicted: f64) {
        let ratio = micros / predicted;
        let Some(slot) = at(method).and_then(|at| self.methods.get(at)) else { return };
        if !ratio.is_finite() {
            return;
        }
        // Of two searches that end at once one may go unseen.
        let (factor, seen) = unpack(slot.load(Ordering::Relaxed));
        let moved = if ratio > factor { factor * STEP } else { factor / STEP };
        let moved = moved.clamp(1.0 / MOST, MOST);
        slot.store(pack(moved, seen.saturating_add(1)), Ordering::Relaxed);
    }

    /// The factors as they are now.
    pub(crate) fn factors(&self) -> Factors {
        let mut factors = [None; Method::ALL.len()];
        for (factor, slot) in factors.iter_mut().zip(&self.methods) {
            let (now, seen) = unpack(slot.load(Ordering::Relaxed));
            *factor = (seen >= ENOUGH).then_some(now);
        }
        let known = || factors.iter().flatten();
        #[expect(clippy::cast_precision_loss, reason = "at most all methods")]
        let mean = known().map(|f| f.ln()).sum::<f64>() / known().count().max(1) as f64;
        Factors(factors.map(|factor| factor.unwrap_or(mean.exp())))
    }
}

/// What a method's costs are multiplied by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Factors([f64; Method::ALL.len()]);

impl Factors {
    /// The table as it stands.
    pub(crate) const NONE: Self = Self([1.0; Method::ALL.len()]);

    /// That of the method with a name.
    pub(crate) fn of(&self, method: &str) -> f64 {
        let method = Method::named(method).and_then(at);
        method.and_then(|at| self.0.get(at)).copied().unwrap_or(1.0)
    }
}

fn at(method: Method) -> Option<usize> {
    Method::ALL.iter().position(|m| *m == method)
}

fn pack(factor: f64, seen: u32) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "a factor")]
    let factor = factor as f32;
    u64::from(factor.to_bits()) << 32 | u64::from(seen)
}

/// The factor of a slot is 1 until something is recorded in it.
fn unpack(slot: u64) -> (f64, u32) {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let (factor, seen) = ((slot >> 32) as u32, slot as u32);
    let factor = if slot == 0 { 1.0 } else { f32::from_bits(factor) };
    (f64::from(factor), seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(observed: &Observed, method: Method, times: u32, ratio: f64) {
        (0..times).for_each(|_| observed.saw(method, 10.0 * ratio, 10.0));
    }

    fn factor(observed: &Observed, method: Method) -> f64 {
        observed.factors().of(method.name())
    }

    #[test]
    fn a_factor_nears_what_is_seen_and_stays_in_bounds() {
        let observed = Observed::default();
        seen(&observed, Method::Impact, ENOUGH - 1, 2.0);
        assert_eq!(observed.factors(), Factors::NONE, "a few searches say nothing");
        seen(&observed, Method::Impact, 400, 2.0);
        assert!((factor(&observed, Method::Impact) - 2.0).abs() < 0.05);
        seen(&observed, Method::Impact, 2_000, 1e9);
        assert!((factor(&observed, Method::Impact) - MOST).abs() < 0.05);
        seen(&observed, Method::Impact, 2_000, 1e-9);
        assert!((factor(&observed, Method::Impact) - 1.0 / MOST).abs() < 0.05);
        let before = observed.factors();
        observed.saw(Method::Impact, f64::NAN, 1.0);
        observed.saw(Method::Impact, 1.0, 0.0);
        assert_eq!(observed.factors(), before, "what is no ratio is not taken in");
    }

    #[test]
    fn interruptions_do_not_move_it() {
        let observed = Observed::default();
        for _ in 0..300 {
            seen(&observed, Method::Clusters, 3, 1.2);
            seen(&observed, Method::Clusters, 1, 500.0);
        }
        let found = factor(&observed, Method::Clusters);
        assert!((1.1..1.35).contains(&found), "{found}");
    }

    #[test]
    fn what_was_not_seen_is_as_slow_as_the_rest() {
        let observed = Observed::default();
        seen(&observed, Method::Impact, 500, 2.0);
        assert!((factor(&observed, Method::Exact) - 2.0).abs() < 0.05);
        seen(&observed, Method::Exact, 500, 1.0);
        assert!((factor(&observed, Method::Exact) - 1.0).abs() < 0.05);
        assert!((factor(&observed, Method::Clusters) - 2f64.sqrt()).abs() < 0.05);
    }
}
