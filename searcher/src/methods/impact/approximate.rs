//! The approximate search.
//!
//! 1. a band's contribution is query weight x typical level, scaled so that no document's sum
//!    passes 255; its worth is the contribution x how rare the term is  2. find the least worth such
//!    that bands of at least that have about `postings` postings
//! 3. window by window: add these bands (of sparse lists all), collect the documents whose sum
//!    reaches the cut: the sum that `candidates` documents have reached so far (in the first window
//!    guessed from a sample)  4. score the collected that reach the last cut exactly, keep the k best
//!
//! Rows that may not be found lose their sums before they are looked at. Several segments are searched
//! like one: their bands compete for the postings, and their rows for one set of candidates, so that
//! another segment costs its directories and a window that is not full.
//!
//! Setting: `postings` moves overlap and time; `kept` gives a query with more or longer lists than
//! those that `postings` was measured with as large a share of its own; `candidates` is several times k.
//! Cost: O(postings + documents / 64 + windows x terms + components of the candidates).

use quarry_index::impact::{BANDS, Lists, WINDOW};

use super::{ImpactScratch, Plan, Target, Term, prefetch_directories, terms};
use crate::error::SearchError;
use crate::kernels::{LANES, LINE};
use crate::methods::collect::{SegmentHits, best};
use crate::methods::query::FixedQuery;
use crate::outcome::Stats;

/// Terms that are added up: rounding moves a sum by half a unit for each.
const MOST_TERMS: usize = 255;
/// Up to this many candidates, every cache line of the window is sampled; beyond it, fewer.
const WHOLE: usize = 128;
/// Number of segments whose directories are prefetched before they are read.
const AHEAD: usize = 2;
/// At most this multiple of `candidates` is scored when sums tie at the cut.
const MOST_TIES: usize = 8;

/// How much of the lists is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Setting {
    /// Postings added, about.
    pub(crate) postings: usize,
    /// Share of the worth of all of the query's postings that is added at least, in [0, 1].
    pub(crate) kept: f32,
    /// Rows chosen, about: documents scored exactly, or clusters whose documents are.
    pub(crate) candidates: usize,
}

impl Setting {
    /// That of several segments together, of what each would need alone. Each segment's own candidates
    /// would find its own k best; of all together fewer are enough: measured for ten segments, the square
    /// root of their number times as many as for one.
    pub(crate) fn of_all(settings: &[Self]) -> Self {
        let most = settings.iter().map(|s| s.candidates).max().unwrap_or_default();
        Self {
            postings: settings.iter().map(|s| s.postings).fold(0, usize::saturating_add),
            kept: settings.iter().map(|s| s.kept).fold(0.0, f32::max),
            candidates: most.saturating_mul((settings.len() * 100).isqrt()) / 10,
        }
    }
}

/// The k best rows of each target, best first, as far as they can be among the k best of all.
/// Targets of more rows stand before those of fewer.
pub(crate) fn search(
    targets: &[Target<'_>],
    query: &FixedQuery,
    (k, setting): (usize, Setting),
    scratch: &mut ImpactScratch,
    stats: &mut Stats,
) -> Result<Vec<SegmentHits>, SearchError> {
    let wanted = Setting { candidates: setting.candidates.max(k), ..setting };
    choose(targets, query, wanted, scratch, stats)?;
    let ImpactScratch { chosen, ends, scored, .. } = scratch;
    stats.documents_scored += chosen.len() as u64;
    let mut begin = 0;
    let of_target = targets.iter().zip(ends.iter()).map(|(target, end)| {
        scored.clear();
        let rows = &chosen[begin..*end];
        target.kernels.score_all(target.scorer, &target.records, rows, scored);
        begin = *end;
        best(k, scored, target.segment.documents())
    });
    Ok(of_target.collect())
}

/// Steps 1 to 3: leaves the rows with the largest sums in `scratch.chosen`, target by target, of each
/// ascending, and in `scratch.ends` where those of each target end.
pub(super) fn choose(
    targets: &[Target<'_>],
    query: &FixedQuery,
    setting: Setting,
    scratch: &mut ImpactScratch,
    stats: &mut Stats,
) -> Result<(), SearchError> {
    let views = targets.iter().map(|t| t.lists.view()).collect::<Result<Vec<_>, _>>()?;
    let ImpactScratch { narrow: sums, collected, chosen, ends, kept, .. } = scratch;
    let rows: usize = targets.iter().map(|t| t.rows).sum();
    let wanted = setting.candidates.min(rows).max(1);
    let first = targets.first().map_or(0, |t| t.rows_of(0));
    // Twice the first window's share of the candidates, as a guess. Where the best rows stand
    // together in it, too few reach what it says; then all of them, were they there.
    for share in [(2 * wanted * first).div_ceil(rows.max(1)).min(wanted), wanted] {
        let (mut plans, share_kept) = plans(query, (targets, &views), setting);
        *kept = share_kept;
        collected.clear();
        ends.clear();
        let mut cut = None;
        for ((target, view), plan) in targets.iter().zip(&views).zip(&mut plans) {
            target.in_time()?;
            for window in 0..view.meta().windows as usize {
                stats.postings += plan.add(window, sums) as u64;
                let lines = sums.lines(target.rows_of(window));
                if let Some(allowed) = target.allowed {
                    target.kernels.mask_u8(lines, allowed.window(window));
                }
                let cut =
                    cut.get_or_insert_with(|| Cut::new(sampled(target, lines, share), wanted));
                let before = collected.len();
                target.kernels.sweep_u8(lines, cut.least, window * WINDOW, collected);
                cut.take(&collected[before..]);
            }
            ends.push(collected.len());
        }
        chosen.clear();
        let Some(cut) = cut else { break };
        cut.choose((collected, ends), targets, chosen);
        if cut.reached >= wanted || cut.least == 1 {
            break;
        }
    }
    targets.first().map_or(Ok(()), Target::in_time)
}

/// Contributions of all bands of all targets, and which are added; and the share of the worth of all
/// that they have.
fn plans<'a>(
    query: &FixedQuery,
    (targets, views): (&[Target<'_>], &[Lists<'a>]),
    setting: Setting,
) -> (Vec<Plan<'a, u8>>, f32) {
    // Two segments ahead: a directory is read from memory, and there are many.
    views.iter().take(AHEAD).for_each(|view| prefetch_directories(query, view));
    let of_targets: Vec<_> = views
        .iter()
        .enumerate()
        .map(|(at, view)| {
            if let Some(next) = views.get(at + AHEAD) {
                prefetch_directories(query, next);
            }
            let mut terms = terms(query, view);
            terms.truncate(MOST_TERMS);
            terms
        })
        .collect();
    // Levels of different segments are worth different scores.
    let unit = targets.first().map_or(1.0, |t| t.unit);
    let scale = of_targets.iter().zip(targets).map(|(terms, target)| {
        let highest: f64 = terms.iter().map(|t| t.weight * f64::from(t.directory.typical(0))).sum();
        #[expect(clippy::cast_precision_loss, reason = "at most 255 terms")]
        let room = 255.0 - 0.5 * terms.len() as f64;
        room / (highest * (target.unit / unit))
    });
    let scale = scale.fold(f64::INFINITY, f64::min);
    let mut of_terms = Vec::with_capacity(of_targets.iter().map(Vec::len).sum());
    let mut postings_of = [0u32; WORTHS as usize];
    for (terms, target) in of_targets.iter().zip(targets) {
        let scale = scale * (target.unit / unit);
        of_terms.extend(terms.iter().map(|t| bands(t, (scale, target.rows), &mut postings_of)));
    }
    let (least, kept) = least_worth(&postings_of, setting);
    let mut of_terms = of_terms.into_iter();
    let plans = of_targets.iter().zip(views).map(|(terms, view)| {
        let mut plan = Plan::new(terms.len());
        for (term, (contributions, worths)) in terms.iter().zip(of_terms.by_ref()) {
            let added =
                worths.iter().zip(&contributions).take_while(|(w, c)| **w >= least && **c > 0);
            let bands = added.count();
            plan.push(term, (bands, view.meta().windows as usize), contributions);
        }
        plan.arrange();
        plan
    });
    (plans.collect(), kept)
}

/// What a list's bands contribute, and what that is worth; counts their postings by it.
fn bands(
    term: &Term<'_>,
    (scale, rows): (f64, usize),
    postings_of: &mut [u32; WORTHS as usize],
) -> ([u8; BANDS], [u16; BANDS]) {
    let (mut contributions, mut worths) = ([0; BANDS], [0; BANDS]);
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
    (contributions, worths)
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

/// The least worth (at least 1) such that those from it on have the postings wanted and the share of
/// the worth of all that is to be kept; and the share that they have. 0 where all have too few.
fn least_worth(postings_of: &[u32; WORTHS as usize], setting: Setting) -> (u16, f32) {
    let worth_of = |worth: u16| u64::from(worth) * u64::from(postings_of[usize::from(worth)]);
    let all: u64 = (1..WORTHS).map(worth_of).sum();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count; a cast saturates"
    )]
    let least_kept = ((all as f64 * f64::from(setting.kept)) as u64).min(all);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a share of two counts"
    )]
    let share = |kept: u64| (kept as f64 / all.max(1) as f64) as f32;
    let (mut postings, mut kept) = (0usize, 0u64);
    for worth in (1..WORTHS).rev() {
        postings += postings_of[usize::from(worth)] as usize;
        kept += worth_of(worth);
        if postings >= setting.postings && kept >= least_kept {
            return (worth, share(kept));
        }
    }
    (0, 1.0)
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

    /// Of `collected`, whose ends for each target are given, the rows that reach the cut, ascending for
    /// each target; of those that just reach it not too many. `ends` become those of the rows chosen.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is a row's number")]
    fn choose(
        &self,
        (collected, ends): (&[u64], &mut [usize]),
        targets: &[Target<'_>],
        chosen: &mut Vec<u32>,
    ) {
        let above = self.reached - self.counts[usize::from(self.least)];
        let mut ties = (MOST_TIES * self.wanted).saturating_sub(above);
        let mut begin = 0;
        for (end, target) in ends.iter_mut().zip(targets) {
            for c in &collected[begin..*end] {
                let (value, row) = ((c >> 32) as u8, *c as u32);
                if value < self.least || row as usize >= target.rows {
                    continue;
                }
                if value == self.least {
                    if ties == 0 {
                        continue;
                    }
                    ties -= 1;
                }
                chosen.push(row);
            }
            begin = *end;
            *end = chosen.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(postings: usize, kept: f32, candidates: usize) -> Setting {
        Setting { postings, kept, candidates }
    }

    #[test]
    fn several_segments_share_postings_and_candidates() {
        let all = |settings: &[Setting]| Setting::of_all(settings);
        assert_eq!(all(&[setting(700, 0.5, 90)]), setting(700, 0.5, 90));
        let four = [(1_000, 90), (2_000, 100), (3_000, 60), (4_000, 100)];
        let four = four.map(|(postings, candidates)| setting(postings, 0.5, candidates));
        assert_eq!(all(&four), setting(10_000, 0.5, 200), "the root of 4 times the most");
        let ten = [setting(10, 0.25, 1_000); 10];
        assert_eq!(all(&ten), setting(100, 0.25, 3_100));
        assert_eq!(all(&[setting(5, 0.2, 10), setting(5, 0.9, 10)]).kept, 0.9);
        let most = all(&[setting(usize::MAX, 1.0, usize::MAX); 2]);
        assert_eq!(most.postings, usize::MAX);
    }

    #[test]
    fn postings_and_the_share_kept_both_have_to_be_reached() {
        let mut postings_of = [0; WORTHS as usize];
        // Worth 4,000, 1,000 and 400 in all: 5,400.
        (postings_of[400], postings_of[100], postings_of[10]) = (10, 10, 40);
        let least = |postings, kept| least_worth(&postings_of, setting(postings, kept, 1));
        assert_eq!(least(1, 0.0).0, 400);
        assert_eq!(least(10, 0.0).0, 400);
        assert_eq!(least(11, 0.0).0, 100);
        assert_eq!(least(21, 0.0).0, 10);
        assert_eq!(least(1, 0.74).0, 400);
        assert_eq!(least(1, 0.75).0, 100);
        assert_eq!(least(1, 0.93).0, 10);
        assert_eq!(least(1, 1.0), (10, 1.0));
        assert_eq!(least(61, 0.0), (0, 1.0), "more than there are");
        let (_, kept) = least(20, 0.0);
        assert!((kept - 5_000.0 / 5_400.0).abs() < 1e-6, "{kept}");
        assert_eq!(least_worth(&[0; WORTHS as usize], setting(1, 1.0, 1)), (0, 1.0));
    }
}
