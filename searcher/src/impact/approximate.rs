//! The approximate search.
//!
//! 1. a band's contribution is query weight x typical level, scaled so that no document's sum
//!    passes 255; its worth is the contribution x how rare the term is  2. find the least worth such
//!    that bands of at least that have about `postings` postings
//! 3. window by window: add these bands (of sparse lists all), collect the documents whose sum
//!    reaches the cut: the sum that `candidates` documents have reached so far (in the first window
//!    guessed from a sample)  4. score the collected that reach the last cut exactly, keep the k best
//!
//! Rows that may not be found lose their sums before they are looked at.
//!
//! Setting: `postings` moves overlap and time; `candidates` is several times k.
//! Cost: O(postings + documents / 64 + windows x terms + components of the candidates).

use quarry_index::impact::{BANDS, Lists, WINDOW};
use quarry_vectors::DocId;

use super::{ImpactScratch, Plan, Target, terms};
use crate::SearchError;
use crate::collect::best;
use crate::kernels::{LANES, LINE};
use crate::outcome::Stats;
use crate::query::{FixedQuery, QueryTable};

/// Terms that are added up: rounding moves a sum by half a unit for each.
const MOST_TERMS: usize = 255;
/// Of so many documents wanted, every line of the window is sampled; of more, fewer lines.
const WHOLE: usize = 128;
/// Of ties at the cut, so many times the candidates wanted are scored at most.
const MOST_TIES: usize = 8;

/// How much of the lists is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Postings added, about.
    pub(crate) postings: usize,
    /// Rows chosen, about: documents scored exactly, or clusters whose documents are.
    pub(crate) candidates: usize,
}

pub(crate) fn search(
    target: &Target<'_>,
    (query, table): (&FixedQuery, &QueryTable),
    (k, setting): (usize, Setting),
    scratch: &mut ImpactScratch,
    stats: &mut Stats,
) -> Result<Vec<(f32, DocId)>, SearchError> {
    let wanted = Setting { candidates: setting.candidates.max(k), ..setting };
    choose(target, query, wanted, scratch, stats)?;
    let ImpactScratch { chosen, scored, .. } = scratch;
    scored.clear();
    target.kernels.score_all(table, &target.records, (chosen, target.unit), scored);
    stats.documents_scored += chosen.len() as u64;
    Ok(best(k, scored, target.segment.documents()))
}

/// Steps 1 to 3: leaves the rows with the largest sums in `scratch.chosen`, ascending.
pub(super) fn choose(
    target: &Target<'_>,
    query: &FixedQuery,
    setting: Setting,
    scratch: &mut ImpactScratch,
    stats: &mut Stats,
) -> Result<(), SearchError> {
    let view = target.lists.view()?;
    let windows = view.meta().windows as usize;
    let ImpactScratch { narrow: sums, collected, chosen, .. } = scratch;
    let wanted = setting.candidates.min(target.rows).max(1);
    // Twice the first window's share of the candidates, as a guess. Where the best rows stand
    // together in it, too few reach what it says; then all of them, were they there.
    for share in [(2 * wanted).div_ceil(windows.max(1)).min(wanted), wanted] {
        target.in_time()?;
        let mut plan = plan(query, &view, (target.rows, setting.postings));
        collected.clear();
        chosen.clear();
        let mut cut = None;
        for window in 0..windows {
            stats.postings += plan.add(window, sums) as u64;
            let lines = sums.lines(target.rows_of(window));
            if let Some(allowed) = target.allowed {
                target.kernels.mask_u8(lines, allowed.window(window));
            }
            let cut = cut.get_or_insert_with(|| Cut::new(sampled(target, lines, share), wanted));
            let before = collected.len();
            target.kernels.sweep_u8(lines, cut.least, window * WINDOW, collected);
            cut.take(&collected[before..]);
        }
        let Some(cut) = cut else { break };
        cut.choose(collected, target.rows, chosen);
        if cut.reached >= wanted || cut.least == 1 {
            break;
        }
    }
    target.in_time()
}

/// Contributions of all bands, and which are added.
fn plan<'a>(
    query: &FixedQuery,
    view: &Lists<'a>,
    (rows, postings): (usize, usize),
) -> Plan<'a, u8> {
    let mut terms = terms(query, view);
    terms.truncate(MOST_TERMS);
    let mut of_terms = vec![([0u8; BANDS], [0u16; BANDS]); terms.len()];
    let mut postings_of = [0u32; WORTHS as usize];
    let highest: f64 = terms.iter().map(|t| t.weight * f64::from(t.directory.typical(0))).sum();
    #[expect(clippy::cast_precision_loss, reason = "at most 255 terms")]
    let scale = (255.0 - 0.5 * terms.len() as f64) / highest;
    for (term, (contributions, worths)) in terms.iter().zip(&mut of_terms) {
        #[expect(clippy::cast_possible_truncation, reason = "one byte is wanted")]
        let weight = (term.weight * scale) as f32;
        let rarity = rarity(rows, term.directory.len());
        let mut before = 0;
        for band in 0..BANDS {
            let exact = weight * f32::from(term.directory.typical(band));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most 255 by the choice of scale; a cast saturates"
            )]
            let (rounded, worth) = ((exact + 0.5) as u8, (exact * rarity) as u16);
            // Bands fall: the later ones contribute nothing either.
            if rounded == 0 {
                break;
            }
            contributions[band] = rounded;
            worths[band] = worth.min(WORTHS - 1);
            let end = term.directory.end(band);
            let sum = &mut postings_of[usize::from(worths[band])];
            *sum = sum.wrapping_add(end.wrapping_sub(before));
            before = end;
        }
    }
    let least = least_worth(&postings_of, postings);
    let mut plan = Plan::new(terms.len());
    for (term, (contributions, worths)) in terms.iter().zip(of_terms) {
        let added = worths.iter().zip(&contributions).take_while(|(w, c)| **w >= least && **c > 0);
        let bands = added.count();
        plan.push(term, (bands, view.meta().windows as usize), contributions);
    }
    plan.arrange();
    plan
}

/// Worths that are told apart.
const WORTHS: u16 = 1024;

/// What a unit of contribution of a list is worth: the logarithm of how rare its term is. A posting
/// of a common term lifts many rows that are not among the best. The logarithm's fraction is taken
/// to be linear, which is off by less than a tenth.
#[expect(clippy::cast_precision_loss, reason = "a factor between 0 and 50")]
fn rarity(rows: usize, postings: u32) -> f32 {
    let ratio = 1.0 + rows as f32 / postings.max(1) as f32;
    ratio.to_bits() as f32 / (1u32 << 23) as f32 - 127.0
}

/// The least worth (at least 1) such that those from it on have `wanted` postings.
fn least_worth(postings_of: &[u32; WORTHS as usize], wanted: usize) -> u16 {
    let mut sum = 0usize;
    for worth in (1..WORTHS).rev() {
        sum += postings_of[usize::from(worth)] as usize;
        if sum >= wanted {
            return worth;
        }
    }
    0
}

/// A sum that about `wanted` documents of the window reach, rather more than fewer: as many of 256
/// lanes' maxima over a sample of its lines as the sample's share of them.
fn sampled(target: &Target<'_>, lines: &[u8], wanted: usize) -> u8 {
    let stride = wanted.div_ceil(WHOLE).max(1);
    if lines.len() / LINE < 16 * stride {
        return 1;
    }
    let mut counts = [0u16; 256];
    for most in target.kernels.maxima_u8(lines, stride) {
        counts[usize::from(most)] += 1;
    }
    let mut need = (wanted.div_ceil(stride) + 1).min(LANES);
    for threshold in (2..=u8::MAX).rev() {
        let lanes = usize::from(counts[usize::from(threshold)]);
        if lanes >= need {
            return threshold;
        }
        need -= lanes;
    }
    1
}

/// The sum that a document has to reach to be a candidate.
#[derive(Debug)]
struct Cut {
    least: u8,
    wanted: usize,
    counts: [usize; 256],
    /// Documents collected that reach `least`.
    reached: usize,
}

impl Cut {
    fn new(least: u8, wanted: usize) -> Self {
        Self { least, wanted, counts: [0; 256], reached: 0 }
    }

    /// Counts what was collected, and raises the cut as far as enough documents reach it.
    fn take(&mut self, collected: &[u64]) {
        for c in collected {
            self.counts[(c >> 32) as usize & 0xff] += 1;
        }
        self.reached += collected.len();
        loop {
            let above = self.reached - self.counts[usize::from(self.least)];
            if above < self.wanted || self.least == u8::MAX {
                return;
            }
            self.reached = above;
            self.least += 1;
        }
    }

    /// The documents that reach the cut, ascending; of those that just reach it not too many.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is a document's number")]
    fn choose(&self, collected: &[u64], documents: usize, chosen: &mut Vec<u32>) {
        let above = self.reached - self.counts[usize::from(self.least)];
        let mut ties = (MOST_TIES * self.wanted).saturating_sub(above);
        chosen.clear();
        for c in collected {
            let (value, doc) = ((c >> 32) as u8, *c as u32);
            if value < self.least || doc as usize >= documents {
                continue;
            }
            if value == self.least {
                if ties == 0 {
                    continue;
                }
                ties -= 1;
            }
            chosen.push(doc);
        }
    }
}
