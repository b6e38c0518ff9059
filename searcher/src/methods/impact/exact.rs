//! The rank-safe search.
//!
//! 1. a band's contribution is query weight x largest level, scaled and rounded up, so that a
//!    document's sum is an upper bound of its score
//! 2. window by window: add all bands of all lists, collect the documents whose bound reaches a
//!    guess: what several times k documents have reached so far
//! 3. score the few with the best bounds: the k-th score is what every other has to reach
//! 4. score every document whose bound reaches it. If a guess of 2 lay above, once more from 2
//!    with the bound in the guess's place
//!
//! Rows that may not be found lose their bounds before they are looked at.
//!
//! Bounds are whole numbers; what floats lose on the way is given back by a margin of one in a
//! million.
//! Cost: O(postings of the query's lists + documents / 32 + components of what is scored).

use quarry_index::impact::{BANDS, Lists, WINDOW};

use super::{ImpactScratch, Plan, Target, prefetch_directories, terms};
use crate::error::SearchError;
use crate::kernels::{LANES, LINE};
use crate::methods::collect::{Scored, SegmentHits, best, kth};
use crate::methods::query::FixedQuery;
use crate::outcome::Stats;

/// Queries of more terms leave too little of a sum for the weights: they are scanned instead.
pub(crate) const MOST_TERMS: usize = 8192;
/// The largest sum.
const FULL: f64 = 65_000.0;
/// Share by which the k-th score is lowered before bounds are compared with it.
const MARGIN: f64 = 1e-6;
/// Lines between two sampled ones.
const STRIDE: usize = 8;

pub(crate) fn search(
    target: &Target<'_>,
    query: &FixedQuery,
    k: usize,
    scratch: &mut ImpactScratch,
    stats: &mut Stats,
) -> Result<SegmentHits, SearchError> {
    let view = target.lists.view()?;
    let documents = target.records.len();
    // More results than documents change nothing.
    let k = k.min(documents).max(1);
    let mut forced = None;
    loop {
        let (mut plan, scale) = plan(query, &view);
        let guess = collect(target, &mut plan, (k, forced), scratch, stats)?;
        let ImpactScratch { collected, chosen, scored, .. } = scratch;
        collected.retain(|c| ((*c & 0xffff_ffff) as usize) < documents);
        let first = (k + k / 2 + 10).min(collected.len());
        if first < collected.len() {
            collected.select_nth_unstable_by(first, |a, b| b.cmp(a));
        }
        scored.clear();
        take(&collected[..first], chosen);
        let score = |docs: &[u32], scored: &mut Vec<Scored>| {
            target.kernels.score_all(target.scorer, &target.records, docs, scored);
        };
        score(chosen, scored);
        stats.documents_scored += first as u64;
        // In units of a sum: bounds below this belong to documents that cannot enter.
        // A score that f64 holds only roughly, or not at all, proves nothing.
        let proof = kth(k, scored).filter(|score| score.is_normal());
        let reach = proof.map_or(0.0, |score| score / target.unit);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a bound, at most 65,535"
        )]
        let bound = ((reach * scale * (1.0 - MARGIN)).floor() as u16).max(1);
        if bound < guess && forced.is_none() {
            forced = Some(bound);
            continue;
        }
        collected.drain(..first);
        collected.retain(|c| c >> 32 >= u64::from(bound));
        take(collected, chosen);
        score(chosen, scored);
        stats.documents_scored += chosen.len() as u64;
        return Ok(best(k, scored, target.segment.documents()));
    }
}

/// Upper bounds of all bands; and what one unit of a score is in units of a sum.
fn plan<'a>(query: &FixedQuery, view: &Lists<'a>) -> (Plan<'a, u16>, f64) {
    prefetch_directories(query, view);
    let terms = terms(query, view);
    let highest: f64 = terms.iter().map(|t| t.weight * f64::from(t.directory.high(0))).sum();
    #[expect(clippy::cast_precision_loss, reason = "at most MOST_TERMS")]
    let scale = (FULL - terms.len() as f64) / highest;
    let mut plan = Plan::new(terms.len());
    for term in &terms {
        let mut contributions = [0u16; BANDS];
        for (band, contribution) in contributions.iter_mut().enumerate() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most 65,000 by the choice of scale"
            )]
            let bound = (term.weight * scale * f64::from(term.directory.high(band))).ceil() as u16;
            *contribution = bound;
        }
        // Bands that are not used have no level.
        let bands = contributions.iter().take_while(|c| **c > 0).count();
        plan.push(term, (bands, view.meta().windows as usize), contributions);
    }
    (plan, scale)
}

/// Collects `bound << 32 | document` of the documents whose bound reaches a guess that rises from
/// window to window; returns the highest. `forced` takes the guess's place.
fn collect(
    target: &Target<'_>,
    plan: &mut Plan<'_, u16>,
    (k, forced): (usize, Option<u16>),
    scratch: &mut ImpactScratch,
    stats: &mut Stats,
) -> Result<u16, SearchError> {
    let ImpactScratch { wide: sums, collected, .. } = scratch;
    collected.clear();
    let wanted = k.saturating_mul(4).saturating_add(60);
    let mut guess = forced;
    for window in 0..target.lists.meta().windows as usize {
        target.in_time()?;
        stats.postings += plan.add(window, sums) as u64;
        let lines = sums.lines(target.rows_of(window));
        if let Some(allowed) = target.allowed {
            target.kernels.mask_u16(lines, allowed.window(window));
        }
        let least = *guess.get_or_insert_with(|| sampled(target, lines, wanted));
        target.kernels.sweep_u16(lines, least, window * WINDOW, collected);
        if forced.is_none() && collected.len() >= wanted.saturating_mul(2) {
            let (_, nth, _) = collected.select_nth_unstable_by(wanted - 1, |a, b| b.cmp(a));
            let reached = u16::try_from(*nth >> 32).unwrap_or(u16::MAX).max(1);
            collected.retain(|c| c >> 32 >= u64::from(reached));
            guess = Some(reached.max(least));
        }
    }
    Ok(guess.unwrap_or(1))
}

/// The documents' numbers, ascending, so that records are read in order.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is a document's number")]
fn take(collected: &[u64], chosen: &mut Vec<u32>) {
    chosen.clear();
    chosen.extend(collected.iter().map(|c| *c as u32));
    chosen.sort_unstable();
}

/// A bound that about `wanted` documents of the window reach; a wrong guess costs time only.
fn sampled(target: &Target<'_>, lines: &[u16], wanted: usize) -> u16 {
    let stride = STRIDE.max(wanted.div_ceil(128));
    if lines.len() / (LINE / 2) < 32 * stride {
        return 1;
    }
    let mut most = target.kernels.maxima_u16(lines, stride);
    let rank = ((wanted + wanted / 2).div_ceil(stride) + 3).min(LANES - 1);
    let (_, least, _) = most.select_nth_unstable_by(rank, |a, b| b.cmp(a));
    (*least).max(1)
}
