//! The approximate search.
//!
//! 1. a band's contribution is query weight x typical level, scaled so that no document's sum
//!    passes 255  2. find the least contribution such that bands of at least that have about
//!    `postings` postings  3. add those bands, largest of each list first
//! 4. `candidates` documents with the largest sums: a threshold from sampled maxima, one sweep,
//!    then an exact cut (ties at the cut come along)  5. score them exactly, keep the k best
//!
//! Setting: `postings` moves overlap and time; `candidates` is several times k.
//! Cost: O(postings + documents / 64 + components of the candidates).

use quarry_vectors::DocId;

use super::accumulate::ready;
use super::rescore::rescore;
use super::{ImpactScratch, Target, terms};
use crate::SearchError;
use crate::collect::Collector;
use crate::kernels::{LANES, LINE};
use crate::query::{FixedQuery, QueryTable};
use crate::searcher::Stats;
use quarry_index::impact::BANDS;

/// Terms that are added up: rounding moves a sum by half a unit for each.
const MOST_TERMS: usize = 255;
/// Lines between two sampled ones, where there are many.
const STRIDE: usize = 16;
/// Of ties at the cut, so many times the candidates wanted are scored at most.
const MOST_TIES: usize = 8;

/// How much of the lists is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Postings added, about.
    pub(crate) postings: usize,
    /// Documents scored exactly, about.
    pub(crate) candidates: usize,
}

pub(crate) fn search(
    target: &Target<'_>,
    (query, table): (&FixedQuery, &QueryTable),
    (k, setting): (usize, Setting),
    scratch: &mut ImpactScratch,
    stats: &mut Stats,
) -> Result<Vec<(f32, DocId)>, SearchError> {
    target.in_time()?;
    let view = target.lists.view()?;
    let mut terms = terms(query, table, &view);
    terms.truncate(MOST_TERMS);
    let mut contributions = vec![[0u8; BANDS]; terms.len()];
    let mut postings_at = [0u32; 256];
    let highest: f64 = terms.iter().map(|t| t.weight * f64::from(t.directory.typical(0))).sum();
    #[expect(clippy::cast_precision_loss, reason = "at most 255 terms")]
    let scale = (255.0 - 0.5 * terms.len() as f64) / highest;
    for (term, contributions) in terms.iter().zip(&mut contributions) {
        let weight = term.weight * scale;
        for band in term.bands() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most 255 by the choice of scale"
            )]
            let contribution = (weight * f64::from(term.directory.typical(band)) + 0.5) as u8;
            contributions[band] = contribution;
            let sum = &mut postings_at[usize::from(contribution)];
            *sum = sum.saturating_add(term.count(band));
        }
    }
    let least = least_contribution(&postings_at, setting.postings);
    let sums = ready(&mut scratch.narrow)?;
    for (term, contributions) in terms.iter().zip(&contributions) {
        let mut bytes = term.bytes;
        for band in term.bands().take_while(|b| contributions[*b] >= least) {
            let count = term.count(band);
            bytes = sums.add(view.meta(), bytes, count, contributions[band]);
            stats.postings += u64::from(count);
        }
    }
    let documents = target.records.len();
    let lines = sums.lines(documents);
    let wanted = setting.candidates.max(k);
    let threshold = sampled_threshold(target, lines, wanted);
    scratch.collected.clear();
    target.kernels.sweep_u8(lines, threshold, &mut scratch.collected);
    choose(&mut scratch.collected, wanted, documents, &mut scratch.chosen);
    target.in_time()?;
    let mut collector = Collector::new(k, target.segment.documents());
    rescore(target, table, &scratch.chosen, &mut collector);
    stats.documents_scored += scratch.chosen.len() as u64;
    Ok(collector.into_sorted())
}

/// The least contribution (at least 1) such that those from it on have `wanted` postings.
fn least_contribution(postings_at: &[u32; 256], wanted: usize) -> u8 {
    let mut sum = 0usize;
    for contribution in (2..=u8::MAX).rev() {
        sum += postings_at[usize::from(contribution)] as usize;
        if sum >= wanted {
            return contribution;
        }
    }
    1
}

/// A threshold that about `wanted` sums reach, rather more than fewer: the larger of 256 lanes'
/// maxima over a sample of lines, of which a share like that of the sample is above it.
fn sampled_threshold(target: &Target<'_>, lines: &[u8], wanted: usize) -> u8 {
    let stride = STRIDE.max(wanted.div_ceil(128));
    if lines.len() / LINE < 16 * stride {
        return 1;
    }
    let mut counts = [0u16; 256];
    for most in target.kernels.maxima_u8(lines, stride) {
        counts[usize::from(most)] += 1;
    }
    let mut need = (wanted + wanted / 2).div_ceil(stride) + 3;
    debug_assert!(need < LANES);
    for threshold in (2..=u8::MAX).rev() {
        let lanes = usize::from(counts[usize::from(threshold)]);
        if lanes >= need {
            return threshold;
        }
        need -= lanes;
    }
    1
}

/// The documents with the `wanted` largest sums, ascending, with those tied at the cut as long as
/// these are not too many.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is a document's number")]
fn choose(collected: &mut Vec<u64>, wanted: usize, documents: usize, chosen: &mut Vec<u32>) {
    collected.retain(|c| ((*c & 0xffff_ffff) as usize) < documents);
    let mut counts = [0usize; 256];
    for c in collected.iter() {
        counts[(c >> 32) as usize & 0xff] += 1;
    }
    let (mut sum, mut cut) = (0, 1);
    for value in (1..256).rev() {
        sum += counts[value];
        if sum >= wanted {
            cut = value;
            break;
        }
    }
    let above = sum - counts[cut].min(sum);
    let mut ties = (MOST_TIES * wanted).saturating_sub(above).max(wanted.saturating_sub(above));
    chosen.clear();
    for c in collected.iter() {
        let value = (c >> 32) as usize & 0xff;
        if value < cut {
            continue;
        }
        if value == cut {
            if ties == 0 {
                continue;
            }
            ties -= 1;
        }
        chosen.push(*c as u32);
    }
}
