//! Which candidates are never scored: decisions as functions of scores alone, so that a device that
//! scores in another order decides the same.
//!
//! - candidate pruning (CP) and early exit (EE): Martinico et al., *Multivector Reranking in the Era of
//!   Strong First-Stage Retrievers*, ECIR 2026 (arXiv 2601.05200); heuristics
//! - rank-safe: bounds around a coarse score decide who can still be among the k best

use std::cmp::Ordering;
use std::num::NonZeroUsize;

use quarry_searcher::Hit;
use quarry_vectors::TopK;

/// The first stage's scores, in the precision that MaxSim has.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "rounded to the precision that is worked in")]
pub fn first_scores(candidates: &[Hit]) -> Vec<f32> {
    candidates.iter().map(|hit| hit.score as f32).collect()
}

/// How many candidates stay, of first-stage scores from best to worst: those with
/// `s >= s_k - alpha * |s_k|`. All of them when there are at most k. At least k always stay.
#[must_use]
pub fn candidate_pruning(scores: &[f32], k: NonZeroUsize, alpha: f32) -> usize {
    let Some(kth) = scores.get(k.get() - 1) else { return scores.len() };
    let least = f64::from(*kth) - f64::from(alpha) * f64::from(kth.abs());
    let rest = &scores[k.get()..];
    k.get() + rest.iter().take_while(|s| f64::from(**s) >= least).count()
}

/// The first stage's scores, standardised: mean 0 and standard deviation 1; zeros where all are
/// equal. In f64 until the last step, in the order given.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a number of candidates")]
#[expect(clippy::cast_possible_truncation, reason = "rounded once to the scores' own precision")]
pub fn standardised(scores: &[f32]) -> Vec<f32> {
    let n = scores.len().max(1) as f64;
    let mean = scores.iter().map(|s| f64::from(*s)).sum::<f64>() / n;
    let variance = scores.iter().map(|s| (f64::from(*s) - mean).powi(2)).sum::<f64>() / n;
    let deviation = variance.sqrt();
    let flat = deviation <= mean.abs() * 1e-7;
    let one = |s: &f32| if flat { 0.0 } else { ((f64::from(*s) - mean) / deviation) as f32 };
    scores.iter().map(one).collect()
}

/// What the first stage adds to each candidate's MaxSim: `weight * rows * z`, with `rows` the number
/// of the query's rows and `z` its standardised score.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a number of tokens")]
pub fn bonuses(scores: &[f32], weight: f32, rows: usize) -> Vec<f32> {
    if weight == 0.0 {
        return vec![0.0; scores.len()];
    }
    let factor = weight * rows as f32;
    standardised(scores).into_iter().map(|z| factor * z).collect()
}

/// Early exit over candidates offered in the first stage's order, and the k best of them.
///
/// The first k fill the k best. From then on a candidate that does not enter them is a stall, one
/// that enters ends a row of stalls; at `beta` stalls in a row the rest is skipped.
#[derive(Debug)]
pub struct EarlyExit<F> {
    best: TopK<(f32, usize), F>,
    k: usize,
    beta: Option<NonZeroUsize>,
    stalls: usize,
    offered: usize,
}

impl<F: Fn(&(f32, usize), &(f32, usize)) -> Ordering> EarlyExit<F> {
    /// Nothing offered yet. `order` is the total order of (score, candidate): `Less` is better.
    /// Without `beta` it never ends.
    pub fn new(k: NonZeroUsize, beta: Option<NonZeroUsize>, order: F) -> Self {
        Self { best: TopK::new(k.get(), order), k: k.get(), beta, stalls: 0, offered: 0 }
    }

    /// Takes the next candidate's new score; says whether to go on.
    pub fn offer(&mut self, candidate: usize, score: f32) -> bool {
        let enters = self.best.offer((score, candidate));
        self.offered += 1;
        if self.offered > self.k {
            self.stalls = if enters { 0 } else { self.stalls + 1 };
        }
        self.beta.is_none_or(|beta| self.stalls < beta.get())
    }

    /// Candidates offered.
    #[must_use]
    pub fn offered(&self) -> usize {
        self.offered
    }

    /// The k best with their scores, best first.
    #[must_use]
    pub fn into_sorted(self) -> Vec<(f32, usize)> {
        self.best.into_sorted()
    }
}

/// What early exit makes of a list of scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// Scores with their candidates' positions, best first; at most k.
    pub best: Vec<(f32, usize)>,
    /// Candidates that are scored before the exit.
    pub scored: usize,
}

/// Early exit after the fact: what it would have found in scores in the first stage's order.
pub fn replay<F: Fn(&(f32, usize), &(f32, usize)) -> Ordering>(
    scores: &[f32],
    k: NonZeroUsize,
    beta: Option<NonZeroUsize>,
    order: F,
) -> Replayed {
    let mut exit = EarlyExit::new(k, beta, order);
    for (candidate, score) in scores.iter().enumerate() {
        if !exit.offer(candidate, *score) {
            break;
        }
    }
    let scored = exit.offered();
    Replayed { best: exit.into_sorted(), scored }
}

/// Between which values a candidate's exact score lies, both included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// It is not below this.
    pub lower: f32,
    /// It is not above this.
    pub upper: f32,
}

/// Which candidates can be among the k best, given bounds of each one's score: those whose upper bound
/// reaches the k-th largest lower bound. Largest upper bound first, equal ones in their order, so that exact
/// scores of the front can still spare the rest.
#[must_use]
pub fn undecided(bounds: &[Bounds], k: NonZeroUsize) -> Vec<usize> {
    let mut lower: Vec<f32> = bounds.iter().map(|b| b.lower).collect();
    let least = if lower.len() > k.get() {
        *lower.select_nth_unstable_by(k.get() - 1, |a, b| b.total_cmp(a)).1
    } else {
        f32::NEG_INFINITY
    };
    let mut rest: Vec<usize> = (0..bounds.len()).filter(|i| bounds[*i].upper >= least).collect();
    rest.sort_by(|a, b| bounds[*b].upper.total_cmp(&bounds[*a].upper).then(a.cmp(b)));
    rest
}
