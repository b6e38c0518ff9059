//! The rank-safe search.
//!
//! 1. a band's contribution is query weight x largest level, scaled and rounded up, so that a
//!    document's sum is an upper bound of its score  2. add all bands of all lists
//! 3. documents whose bound reaches a threshold guessed from sampled maxima
//! 4. score the few with the best bounds: the k-th score is what every other has to reach
//! 5. score every document whose bound reaches it. If the guess of 3 lay above, once more from 2
//!    with the bound as threshold
//!
//! Bounds are whole numbers; what floats lose on the way is given back by a margin of one in a
//! million, which also covers scores that differ before and not after they become f32 (of those
//! the id decides).
//! Cost: O(postings of the query's lists + documents / 32 + components of what is scored).

use quarry_index::impact::BANDS;
use quarry_vectors::DocId;

use super::accumulate::ready;
use super::rescore::rescore;
use super::{ImpactScratch, Target, terms};
use crate::SearchError;
use crate::collect::Collector;
use crate::kernels::{LANES, LINE};
use crate::query::{FixedQuery, QueryTable};
use crate::searcher::Stats;

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
    (query, table): (&FixedQuery, &QueryTable),
    k: usize,
    scratch: &mut ImpactScratch,
    stats: &mut Stats,
) -> Result<Vec<(f32, DocId)>, SearchError> {
    let view = target.lists.view()?;
    let terms = terms(query, table, &view);
    let highest: f64 = terms.iter().map(|t| t.weight * f64::from(t.directory.high(0))).sum();
    #[expect(clippy::cast_precision_loss, reason = "at most MOST_TERMS")]
    let scale = (FULL - terms.len() as f64) / highest;
    let documents = target.records.len();
    let ImpactScratch { wide, collected, chosen, .. } = scratch;
    let sums = ready(wide)?;
    let mut forced = None;
    loop {
        target.in_time()?;
        for term in &terms {
            let mut bytes = term.bytes;
            let weight = term.weight * scale;
            for band in 0..BANDS {
                let high = term.directory.high(band);
                if high == 0 {
                    break;
                }
                let count = term.count(band);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "at most 65,000 by the choice of scale"
                )]
                let contribution = (weight * f64::from(high)).ceil() as u16;
                bytes = sums.add(view.meta(), bytes, count, contribution);
                stats.postings += u64::from(count);
            }
        }
        let lines = sums.lines(documents);
        let threshold = forced.unwrap_or_else(|| sampled_threshold(target, lines, k));
        collected.clear();
        target.kernels.sweep_u16(lines, threshold, collected);
        target.in_time()?;
        collected.retain(|c| ((*c & 0xffff_ffff) as usize) < documents);
        let first = (k + k / 2 + 10).min(collected.len());
        if first < collected.len() {
            collected.select_nth_unstable_by(first, |a, b| b.cmp(a));
        }
        let mut collector = Collector::new(k, target.segment.documents());
        take(&collected[..first], chosen);
        rescore(target, table, chosen, &mut collector);
        // In units of a sum: bounds below this belong to documents that cannot enter.
        let reach = collector.threshold().map_or(0.0, |score| f64::from(score) / target.unit);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a bound, at most 65,535"
        )]
        let bound = ((reach * scale * (1.0 - MARGIN)).floor() as u16).max(1);
        if bound < threshold && forced.is_none() {
            forced = Some(bound);
            continue;
        }
        stats.documents_scored += first as u64;
        collected.drain(..first);
        collected.retain(|c| c >> 32 >= u64::from(bound));
        take(collected, chosen);
        rescore(target, table, chosen, &mut collector);
        stats.documents_scored += chosen.len() as u64;
        return Ok(collector.into_sorted());
    }
}

/// The documents' numbers, ascending, so that records are read in order.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is a document's number")]
fn take(collected: &[u64], chosen: &mut Vec<u32>) {
    chosen.clear();
    chosen.extend(collected.iter().map(|c| *c as u32));
    chosen.sort_unstable();
}

/// A threshold that the bounds of the k best rather reach; a wrong guess costs time only.
fn sampled_threshold(target: &Target<'_>, lines: &[u16], k: usize) -> u16 {
    let stride = STRIDE.max(k.div_ceil(24));
    if lines.len() / (LINE / 2) < 32 * stride {
        return 1;
    }
    let mut most = target.kernels.maxima_u16(lines, stride);
    let rank = ((4 * k + 60) / stride + 3).min(LANES - 1);
    let (_, threshold, _) = most.select_nth_unstable_by(rank, |a, b| b.cmp(a));
    (*threshold).max(1)
}
