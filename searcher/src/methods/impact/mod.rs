//! Searches over complete impact-ordered lists, score at a time: Anh and Moffat, "Pruned query
//! evaluation using pre-computed impacts", SIGIR 2006; Lin and Trotman, "Anytime ranking for
//! impact-ordered indexes", ICTIR 2015.
//!
//! Both searches go window by window. They add up what bands of postings contribute to each
//! document of the window, collect the documents with the largest sums, and score these from the
//! forward index in the end. They differ in what a contribution is: `approximate` adds typical
//! values of the largest bands in one byte; `exact` adds upper bounds of all bands in two, and
//! leaves out no document that could still be among the best.

mod accumulate;
pub(crate) mod approximate;
pub(crate) mod bounded;
pub(crate) mod clusters;
pub(crate) mod exact;

use std::time::Instant;

use quarry_index::Segment;
use quarry_index::forward::Records;
use quarry_index::impact::{BANDS, Dense, Directory, ImpactLists, Lists, Postings, WINDOW};
use quarry_vectors::TermId;

use crate::error::SearchError;
use crate::filter::rows::RowSet;
use crate::kernels::{Kernels, prefetch};
use crate::methods::collect::Scored;
use crate::methods::query::FixedQuery;
use crate::methods::scorer::Scorer;
use accumulate::{Sum, Sums};

/// Reused from query to query.
#[derive(Debug, Default)]
pub(crate) struct ImpactScratch {
    narrow: Sums<u8>,
    wide: Sums<u16>,
    collected: Vec<u64>,
    pub(crate) chosen: Vec<u32>,
    /// Where `chosen` ends for each of several targets.
    ends: Vec<usize>,
    pub(crate) scored: Vec<Scored>,
    documents: Vec<u32>,
    /// Share of the worth of a query's postings that the last approximate search added.
    pub(crate) kept: f32,
}

/// What a query is matched against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) records: Records<'a>,
    pub(crate) lists: &'a ImpactLists,
    /// Number of rows that get a sum: documents, or clusters of them.
    pub(crate) rows: usize,
    /// The rows that the filter allows; `None` means all.
    pub(crate) allowed: Option<&'a RowSet>,
    pub(crate) kernels: Kernels,
    pub(crate) scorer: Scorer<'a>,
    /// Score of a query weight of one times a level of one in the lists.
    pub(crate) unit: f64,
    pub(crate) deadline: Option<Instant>,
}

impl Target<'_> {
    fn in_time(&self) -> Result<(), SearchError> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(SearchError::Timeout),
            _ => Ok(()),
        }
    }

    /// Rows of a window.
    fn rows_of(&self, window: usize) -> usize {
        self.rows.saturating_sub(window * WINDOW).min(WINDOW)
    }
}

/// A query term with its list's directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term<'a> {
    pub(crate) weight: f64,
    pub(crate) directory: Directory<'a>,
    pub(crate) postings: Postings<'a>,
}

/// Prefetches the directories of the query's terms, and the places of their lists.
fn prefetch_directories(query: &FixedQuery, lists: &Lists<'_>) {
    for (term, _) in query.terms() {
        // A directory has two lines.
        prefetch(lists.directories(), *term as usize);
        prefetch(lists.directories().as_flattened(), *term as usize * 2 * BANDS + BANDS);
        prefetch(lists.places(), *term as usize);
    }
}

/// The query's terms that have a list, heaviest weight first; prefetches the lists' first lines.
fn terms<'a>(query: &FixedQuery, lists: &Lists<'a>) -> Vec<Term<'a>> {
    let mut out = Vec::with_capacity(query.terms().len());
    for &(term, weight) in query.terms() {
        let Some(directory) = lists.directory(TermId(term)).filter(|d| !d.is_empty()) else {
            continue;
        };
        let postings = lists.postings(TermId(term));
        match postings {
            Postings::Dense(list) => prefetch(list.starts(), 0),
            Postings::Sparse(entries) => prefetch(entries, 0),
        }
        out.push(Term { weight: f64::from(weight), directory, postings });
    }
    out
}

/// What is added of a dense list.
#[derive(Debug)]
pub(crate) struct DensePlan<'a, T> {
    list: Dense<'a>,
    bands: usize,
    contributions: [T; BANDS],
}

/// What is added of a sparse list: all of it.
#[derive(Debug)]
pub(crate) struct SparsePlan<'a, T> {
    left: &'a [u32],
    contributions: [T; BANDS],
}

/// What a search adds up, window by window.
#[derive(Debug)]
pub(crate) struct Plan<'a, T> {
    dense: Vec<DensePlan<'a, T>>,
    sparse: Vec<SparsePlan<'a, T>>,
}

impl<'a, T: Sum> Plan<'a, T> {
    pub(crate) fn new(terms: usize) -> Self {
        Self { dense: Vec::with_capacity(terms), sparse: Vec::with_capacity(terms) }
    }

    /// Takes the first `bands` bands of a dense list in, or all of a sparse one.
    fn push(
        &mut self,
        term: &Term<'a>,
        (bands, windows): (usize, usize),
        contributions: [T; BANDS],
    ) {
        match term.postings {
            Postings::Dense(list) if bands > 0 => {
                let postings = term.directory.end(bands - 1) as usize;
                prefetch_run(list.run_bytes(0), postings / windows);
                self.dense.push(DensePlan { list, bands, contributions });
            }
            Postings::Dense(_) => {}
            Postings::Sparse(left) => self.sparse.push(SparsePlan { left, contributions }),
        }
    }

    /// Takes all entries of a list in that lies elsewhere: by document, document | band << 24.
    pub(crate) fn push_entries(&mut self, left: &'a [u32], contributions: [T; BANDS]) {
        self.sparse.push(SparsePlan { left, contributions });
    }

    /// Groups lists by their number of bands, so that the branches of loops over bands are predicted.
    fn arrange(&mut self) {
        self.dense.sort_by_key(|plan| plan.bands);
    }

    /// Adds the postings of a window, and returns their number. Windows come in ascending order.
    fn add(&mut self, window: usize, sums: &mut Sums<T>) -> usize {
        let mut postings = 0;
        for plan in &self.dense {
            let added = sums.add_run(plan.list.run(window), &plan.contributions, plan.bands);
            // The next window's run will be about as long.
            prefetch_run(plan.list.run_bytes(window + 1), added);
            postings += added;
        }
        for plan in &mut self.sparse {
            let here = (window * WINDOW, WINDOW);
            let added = sums.add_entries(plan.left, here, &plan.contributions);
            plan.left = &plan.left[added..];
            postings += added;
        }
        postings
    }
}

impl<'a> Plan<'a, u16> {
    /// Takes all bands of a list in, with weight x largest level x scale, rounded up. Callers choose a scale by
    /// which no sum is above 65,535.
    pub(crate) fn push_bounds(&mut self, term: &Term<'a>, (scale, windows): (f64, usize)) {
        let mut contributions = [0u16; BANDS];
        for (band, contribution) in contributions.iter_mut().enumerate() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most 65,535 by the choice of scale"
            )]
            let bound = (term.weight * scale * f64::from(term.directory.high(band))).ceil() as u16;
            *contribution = bound;
        }
        // Bands that are not used have no level.
        let bands = contributions.iter().take_while(|c| **c > 0).count();
        self.push(term, (bands, windows), contributions);
    }
}

/// Prefetches a run's counts and its first postings.
#[inline(always)]
fn prefetch_run(run: &[u16], postings: usize) {
    for line in 0..4 {
        prefetch(run, 32 * line);
    }
    if postings > 3 * 32 {
        for line in 4..(BANDS + postings) / 32 + 2 {
            prefetch(run, 32 * line);
        }
    }
}
