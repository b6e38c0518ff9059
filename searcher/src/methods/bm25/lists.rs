//! The k best over impact-ordered lists of words, by proof (`impact/bounded.rs`).
//!
//! 1. a list's band contributes weight x largest level, times the most that impacts have grown by since the lists
//!    were made: the mean length of texts changes with the collection
//! 2. a word without a list contributes what its postings add, in sixteen steps, rounded up
//! 3. candidates are scored from frequencies and lengths (`score.rs`)
//!
//! Among so few rows that all of them would be candidates, all are scored.

use quarry_index::IndexError;
use quarry_index::impact::{BANDS, Lists};
use quarry_index::words::{ONE, WordLists, WordsMeta};
use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::TermInfo;
use tantivy::schema::IndexRecordOption;

use super::query::Bm25Query;
use super::score::{Scorer, addend};
use super::target::Target;
use crate::error::SearchError;
use crate::methods::collect::{SegmentHits, best};
use crate::methods::impact::bounded::{Bounded, FULL, Upper};
use crate::methods::impact::{ImpactScratch, Plan, Term};
use crate::options::Options;
use crate::outcome::Stats;

/// Documents that a guess collects for each that is wanted: impacts lie close below their bounds.
const SPARE: usize = 2;
/// Largest share that a sum in f32 is off by, but for the number of its addends.
const MARGIN: f64 = 1e-6;
/// The same for each addend.
const MARGIN_EACH: f64 = 1.2e-7;

pub(super) fn search(
    target: &Target<'_>,
    words: &WordLists,
    query: &Bm25Query,
    params: &Options<'_>,
    scratch: &mut ImpactScratch,
    stats: &mut Stats,
) -> Result<SegmentHits, SearchError> {
    let scorer = Scorer::of(target, query, params.deadline)?;
    let (k, documents) = (params.k.get(), target.segment.documents());
    if let Some(allowed) = target.allowed.filter(|rows| rows.len() <= k.saturating_mul(2)) {
        let (rows, scored) = (&mut scratch.chosen, &mut scratch.scored);
        rows.clear();
        scored.clear();
        rows.extend(allowed.iter());
        scorer.score(rows, scored)?;
        stats.documents_scored += rows.len() as u64;
        return Ok(best(k, scored, documents));
    }
    let view = words.lists().view()?;
    let bounds = Bounds::of(target, (words, &view), &scorer)?;
    #[expect(clippy::cast_precision_loss, reason = "a number of words")]
    let over = Bounded {
        documents,
        rows: documents.len(),
        windows: view.meta().windows as usize,
        allowed: target.allowed,
        kernels: target.kernels,
        deadline: params.deadline,
        unit: 1.0,
        spare: SPARE,
        margin: MARGIN + MARGIN_EACH * scorer.terms.len() as f64,
    };
    over.search(k, || bounds.plan(), |docs, scored| scorer.score(docs, scored), scratch, stats)
}

/// What the query's words add at most.
struct Bounds<'a> {
    listed: Vec<Term<'a>>,
    rare: Vec<Rare>,
    windows: usize,
}

/// A word without a list.
struct Rare {
    /// By row: row | band << 24.
    entries: Vec<u32>,
    /// The most that a posting adds.
    most: f64,
}

impl<'a> Bounds<'a> {
    fn of(
        target: &Target<'_>,
        (words, view): (&WordLists, &Lists<'a>),
        scorer: &Scorer<'_>,
    ) -> Result<Self, SearchError> {
        let other = |what: String| Err(IndexError::corrupt(target.text.path(), what).into());
        let (found, expected) = (scorer.inverted.terms().num_terms() as u64, words.meta().words);
        if found != expected {
            return other(format!("{found} words, its lists are of a text part of {expected}"));
        }
        let rows = target.text.reader().max_doc();
        let unit = growth(words.meta(), scorer.norms) / f64::from(ONE);
        let mut bounds =
            Self { listed: Vec::new(), rare: Vec::new(), windows: view.meta().windows as usize };
        for (weight, place) in &scorer.terms {
            if place.doc_freq > rows {
                return other(format!("a word has {} of {rows} rows", place.doc_freq));
            }
            let number = words.number(place.postings_range.start as u64)?;
            let Some((number, directory)) = number.and_then(|n| Some((n, view.directory(n)?)))
            else {
                bounds.rare.push(Rare::of(scorer, *weight, place)?);
                continue;
            };
            let (found, expected) = (place.doc_freq, directory.len());
            if found != expected {
                return other(format!("a word has {found} rows, its list {expected}"));
            }
            let postings = view.postings(number);
            bounds.listed.push(Term { weight: f64::from(*weight) * unit, directory, postings });
        }
        Ok(bounds)
    }

    fn plan(&self) -> Upper<'_> {
        let terms = self.listed.len() + self.rare.len();
        let listed: f64 =
            self.listed.iter().map(|t| t.weight * f64::from(t.directory.high(0))).sum();
        let rare: f64 = self.rare.iter().map(|word| word.most).sum();
        #[expect(clippy::cast_precision_loss, reason = "a number of words")]
        let scale = (FULL - terms as f64) / (listed + rare);
        let mut plan = Plan::new(terms);
        for term in &self.listed {
            plan.push_bounds(term, (scale, self.windows));
        }
        for word in &self.rare {
            plan.push_entries(&word.entries, word.contributions(scale));
        }
        Upper { plan, scale }
    }
}

impl Rare {
    fn of(scorer: &Scorer<'_>, weight: f32, place: &TermInfo) -> Result<Self, SearchError> {
        let with = IndexRecordOption::WithFreqs;
        let mut list = scorer.inverted.read_block_postings_from_terminfo(place, with)?;
        let (mut entries, mut adds) = (Vec::new(), Vec::new());
        while !list.docs().is_empty() {
            for (doc, tf) in list.docs().iter().zip(list.freqs()) {
                entries.push(*doc);
                adds.push(addend(weight, *tf, scorer.norm(*doc)));
            }
            list.advance();
        }
        let most = adds.iter().copied().fold(0.0, f32::max);
        for (entry, adds) in entries.iter_mut().zip(adds) {
            *entry |= band(adds / most) << 24;
        }
        Ok(Self { entries, most: f64::from(most) })
    }

    fn contributions(&self, scale: f64) -> [u16; BANDS] {
        let mut contributions = [0; BANDS];
        for (steps, contribution) in (1u32..).zip(contributions.iter_mut().rev()) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most 65,535 by the choice of scale"
            )]
            let bound = (self.most * scale * f64::from(steps) / BANDS as f64).ceil() as u16;
            *contribution = bound;
        }
        contributions
    }
}

/// The band of a share of the most, in (0, 1]: it is at most (16 - band) / 16.
fn band(share: f32) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a small number"
    )]
    let band = ((1.0 - share) * BANDS as f32).floor().min((BANDS - 1) as f32) as u32;
    band
}

/// The most that impacts are multiplied by where texts of the same stored length have other norms: of all lengths,
/// with a frequency of one. With higher frequencies it is less.
pub(super) fn growth(meta: &WordsMeta, norms: &[f32; 256]) -> f64 {
    let of = |(id, norm): (u8, &f32)| {
        let before = meta.norm(FieldNormReader::id_to_fieldnorm(id));
        (1.0 + before) / (1.0 + f64::from(*norm))
    };
    (0u8..=255).zip(norms).map(of).fold(1.0, f64::max)
}
