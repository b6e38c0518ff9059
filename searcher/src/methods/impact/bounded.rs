//! The rank-safe search, over whatever gives bounds and scores.
//!
//! 1. each band of a list contributes an upper bound, scaled and rounded up, so that a document's sum bounds its
//!    score
//! 2. window by window: add all bands of all lists, collect the documents whose bound reaches a
//!    guess: what several times k documents have reached so far
//! 3. score the few with the best bounds: the k-th score is what every other has to reach
//! 4. score every document whose bound reaches it. If a guess of 2 lay above, once more from 2
//!    with the bound in the guess's place
//!
//! Rows that may not be found lose their bounds before they are looked at.
//!
//! Bounds are whole numbers; what floats lose on the way is given back by a margin.
//! Cost: O(postings of the query's lists + documents / 32 + what scoring candidates takes).

use std::time::Instant;

use quarry_index::doctable::DocTable;
use quarry_index::impact::WINDOW;

use super::{ImpactScratch, Plan};
use crate::error::SearchError;
use crate::filter::rows::RowSet;
use crate::kernels::{Kernels, LANES, LINE};
use crate::methods::collect::{Scored, SegmentHits, best, kth};
use crate::outcome::Stats;

/// The largest sum.
pub(crate) const FULL: f64 = 65_000.0;
/// Lines between two sampled ones.
const STRIDE: usize = 8;

/// Upper bounds of all bands of a query's lists.
#[derive(Debug)]
pub(crate) struct Upper<'a> {
    pub(crate) plan: Plan<'a, u16>,
    /// What one unit of a score is in units of a sum.
    pub(crate) scale: f64,
}

/// The rows that are searched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounded<'a> {
    pub(crate) documents: &'a DocTable,
    pub(crate) rows: usize,
    /// Windows of the lists.
    pub(crate) windows: usize,
    /// The rows that the filter allows; `None` means all.
    pub(crate) allowed: Option<&'a RowSet>,
    pub(crate) kernels: Kernels,
    pub(crate) deadline: Option<Instant>,
    /// What scores are divided by, for the unit of [`Upper::scale`].
    pub(crate) unit: f64,
    /// Documents that a guess collects for each that is wanted, about: more where bounds are loose.
    pub(crate) spare: usize,
    /// Share by which the k-th score is lowered before bounds are compared with it: what floats lose at most.
    pub(crate) margin: f64,
}

impl Bounded<'_> {
    /// The k best, best first. `plan` gives the same each time; `score` appends the scores of rows, ascending,
    /// that have one above 0.
    pub(crate) fn search<'p>(
        &self,
        k: usize,
        plan: impl Fn() -> Upper<'p>,
        mut score: impl FnMut(&[u32], &mut Vec<Scored>) -> Result<(), SearchError>,
        scratch: &mut ImpactScratch,
        stats: &mut Stats,
    ) -> Result<SegmentHits, SearchError> {
        // More results than documents change nothing.
        let k = k.min(self.rows).max(1);
        let mut forced = None;
        loop {
            let Upper { mut plan, scale } = plan();
            let guess = self.collect(&mut plan, (k, forced), scratch, stats)?;
            let ImpactScratch { collected, chosen, scored, .. } = scratch;
            collected.retain(|c| ((*c & 0xffff_ffff) as usize) < self.rows);
            let first = (k + k / 2 + 10).min(collected.len());
            if first < collected.len() {
                collected.select_nth_unstable_by(first, |a, b| b.cmp(a));
            }
            scored.clear();
            take(&collected[..first], chosen);
            score(chosen, scored)?;
            stats.documents_scored += first as u64;
            // In units of a sum: bounds below this belong to documents that cannot enter.
            // A score that f64 holds only roughly, or not at all, proves nothing.
            let proof = kth(k, scored).filter(|score| score.is_normal());
            let reach = proof.map_or(0.0, |score| score / self.unit);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a bound, at most 65,535"
            )]
            let bound = ((reach * scale * (1.0 - self.margin)).floor() as u16).max(1);
            if bound < guess && forced.is_none() {
                forced = Some(bound);
                continue;
            }
            collected.drain(..first);
            collected.retain(|c| c >> 32 >= u64::from(bound));
            take(collected, chosen);
            score(chosen, scored)?;
            stats.documents_scored += chosen.len() as u64;
            return Ok(best(k, scored, self.documents));
        }
    }

    /// Collects `bound << 32 | document` of the documents whose bound reaches a guess that rises from
    /// window to window; returns the highest. `forced` takes the guess's place.
    fn collect(
        &self,
        plan: &mut Plan<'_, u16>,
        (k, forced): (usize, Option<u16>),
        scratch: &mut ImpactScratch,
        stats: &mut Stats,
    ) -> Result<u16, SearchError> {
        let ImpactScratch { wide: sums, collected, .. } = scratch;
        collected.clear();
        let wanted = k.saturating_mul(self.spare).saturating_add(60);
        let mut guess = forced;
        for window in 0..self.windows {
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(SearchError::Timeout);
            }
            stats.postings += plan.add(window, sums) as u64;
            let lines = sums.lines(self.rows.saturating_sub(window * WINDOW).min(WINDOW));
            if let Some(allowed) = self.allowed {
                self.kernels.mask_u16(lines, allowed.window(window));
            }
            let least = *guess.get_or_insert_with(|| self.sampled(lines, wanted));
            self.kernels.sweep_u16(lines, least, window * WINDOW, collected);
            if forced.is_none() && collected.len() >= wanted.saturating_mul(2) {
                let (_, nth, _) = collected.select_nth_unstable_by(wanted - 1, |a, b| b.cmp(a));
                let reached = u16::try_from(*nth >> 32).unwrap_or(u16::MAX).max(1);
                collected.retain(|c| c >> 32 >= u64::from(reached));
                guess = Some(reached.max(least));
            }
        }
        Ok(guess.unwrap_or(1))
    }

    /// A bound that about `wanted` documents of the window reach; a wrong guess costs time only.
    fn sampled(&self, lines: &[u16], wanted: usize) -> u16 {
        let stride = STRIDE.max(wanted.div_ceil(128));
        if lines.len() / (LINE / 2) < 32 * stride {
            return 1;
        }
        let mut most = self.kernels.maxima_u16(lines, stride);
        let rank = ((wanted + wanted / 2).div_ceil(stride) + 3).min(LANES - 1);
        let (_, least, _) = most.select_nth_unstable_by(rank, |a, b| b.cmp(a));
        (*least).max(1)
    }
}

/// The documents' numbers, ascending, so that records are read in order.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is a document's number")]
fn take(collected: &[u64], chosen: &mut Vec<u32>) {
    chosen.clear();
    chosen.extend(collected.iter().map(|c| *c as u32));
    chosen.sort_unstable();
}
