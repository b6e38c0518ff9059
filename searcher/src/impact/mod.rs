//! Searches over complete impact-ordered lists, score at a time: Anh and Moffat, "Pruned query
//! evaluation using pre-computed impacts", SIGIR 2006; Lin and Trotman, "Anytime ranking for
//! impact-ordered indexes", ICTIR 2015.
//!
//! Both searches go by groups of windows. They add up what bands of postings contribute to each
//! document of a group, collect the documents with the largest sums, and score these from the
//! forward index in the end. They differ in what a contribution is: `approximate` adds typical
//! values of the largest bands in one byte; `exact` adds upper bounds of all bands in two, and
//! leaves out no document that could still be among the best.

mod accumulate;
pub(crate) mod approximate;
pub(crate) mod exact;

use std::time::Instant;

use quarry_index::Segment;
use quarry_index::forward::Records;
use quarry_index::impact::{BANDS, Dense, Directory, ImpactLists, Lists, Postings, WINDOW};
use quarry_vectors::TermId;

use crate::SearchError;
use crate::kernels::{Kernels, LINE, prefetch};
use crate::query::FixedQuery;
use accumulate::{Sum, Sums};

/// Reused from query to query.
#[derive(Debug, Default)]
pub(crate) struct ImpactScratch {
    narrow: Sums<u8>,
    wide: Sums<u16>,
    collected: Vec<u64>,
    chosen: Vec<u32>,
    scored: Vec<u64>,
}

/// What sums are made for: the rows of lists, which are documents, or clusters of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summed<'a> {
    pub(crate) lists: &'a ImpactLists,
    /// Rows that there are; a damaged posting may name others.
    pub(crate) rows: usize,
    pub(crate) kernels: Kernels,
    pub(crate) deadline: Option<Instant>,
}

impl Summed<'_> {
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

/// What a query is matched against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) records: Records<'a>,
    pub(crate) lists: &'a ImpactLists,
    pub(crate) kernels: Kernels,
    /// What one unit of an integer score is worth.
    pub(crate) unit: f64,
    pub(crate) deadline: Option<Instant>,
}

impl<'a> Target<'a> {
    /// The documents, as rows of the lists.
    fn summed(&self) -> Summed<'a> {
        let Self { lists, kernels, deadline, .. } = *self;
        Summed { lists, rows: self.records.len(), kernels, deadline }
    }
}

/// A query term with its list's directory.
#[derive(Debug, Clone, Copy)]
struct Term<'a> {
    weight: f64,
    directory: Directory<'a>,
    postings: Postings<'a>,
}

/// The query's terms that have a list, heaviest weight first; the lists' first lines are asked for.
fn terms<'a>(query: &FixedQuery, lists: &Lists<'a>) -> Vec<Term<'a>> {
    for (term, _) in query.terms() {
        // A directory has two lines.
        prefetch(lists.directories(), *term as usize);
        prefetch(lists.directories().as_flattened(), *term as usize * 2 * BANDS + BANDS);
    }
    let mut out = Vec::with_capacity(query.terms().len());
    for &(term, weight) in query.terms() {
        let Some(directory) = lists.directory(TermId(term)).filter(|d| !d.is_empty()) else {
            continue;
        };
        let postings = lists.postings(TermId(term));
        if let Postings::Sparse(entries) = postings {
            prefetch(entries, 0);
        }
        out.push(Term { weight: f64::from(weight), directory, postings });
    }
    out
}

/// What is added of a dense list: its first bands.
#[derive(Debug)]
struct DensePlan<'a, T> {
    list: Dense<'a>,
    bands: usize,
    contributions: [T; BANDS],
    /// Where each band's postings of the next group begin.
    next: [u32; BANDS],
    /// Postings of a band in a group, about.
    typical: usize,
}

impl<T> DensePlan<'_, T> {
    /// Asks for the first postings of a group.
    #[inline]
    fn ask(&self) {
        for begin in &self.next[..self.bands] {
            for line in (0..self.typical.min(MOST_ASKED)).step_by(OF_LINE) {
                prefetch(self.list.positions(), *begin as usize + line);
            }
        }
    }
}

/// What is added of a sparse list: all of it.
#[derive(Debug)]
struct SparsePlan<'a, T> {
    left: &'a [u32],
    contributions: [T; BANDS],
}

/// What a search adds up, group by group of windows.
#[derive(Debug)]
struct Plan<'a, T> {
    windows: usize,
    dense: Vec<DensePlan<'a, T>>,
    sparse: Vec<SparsePlan<'a, T>>,
}

/// Positions of two bytes in a line.
const OF_LINE: usize = LINE / size_of::<u16>();
/// Postings of a band that are asked for before they are added; while they are, the rest.
const MOST_ASKED: usize = 4 * OF_LINE;

impl<'a, T: Sum> Plan<'a, T> {
    fn new(windows: usize, terms: usize) -> Self {
        let (dense, sparse) = (Vec::with_capacity(terms), Vec::with_capacity(terms));
        Self { windows, dense, sparse }
    }

    /// Takes the first `bands` bands of a dense list in, or all of a sparse one.
    fn push(&mut self, term: &Term<'a>, bands: usize, contributions: [T; BANDS]) {
        match term.postings {
            Postings::Dense(list) if bands > 0 => {
                let mut next = [0; BANDS];
                for (band, next) in next.iter_mut().enumerate().take(bands) {
                    // A count of two bytes for each window; the first group has the first line.
                    prefetch(list.counts(band), 0);
                    *next = if band == 0 { 0 } else { term.directory.end(band - 1) };
                }
                let groups = self.windows.div_ceil(Sums::<T>::WINDOWS).max(1);
                let typical = term.directory.end(bands - 1) as usize / bands / groups + OF_LINE;
                self.dense.push(DensePlan { list, bands, contributions, next, typical });
            }
            Postings::Dense(_) => {}
            Postings::Sparse(left) => self.sparse.push(SparsePlan { left, contributions }),
        }
    }

    /// Adds everything that belongs to the group of windows from `first` on; says how many postings
    /// that were. Groups go up.
    fn add(&mut self, first: usize, sums: &mut Sums<T>) -> usize {
        let windows = first..self.windows.min(first + Sums::<T>::WINDOWS);
        sums.prepare(self.windows);
        let mut postings = 0;
        if let Some(plan) = self.dense.first() {
            plan.ask();
        }
        for at in 0..self.dense.len() {
            if let Some(later) = self.dense.get(at + 1) {
                later.ask();
            }
            let DensePlan { list, bands, contributions, next, .. } = &mut self.dense[at];
            for (band, next) in next.iter_mut().enumerate().take(*bands) {
                let counts = list.counts(band).get(windows.clone()).unwrap_or_default();
                let positions = list.positions().get(*next as usize..).unwrap_or_default();
                let added = sums.add_band(counts, positions, contributions[band]);
                *next += u32::try_from(added).unwrap_or(u32::MAX);
                postings += added;
            }
        }
        for plan in &mut self.sparse {
            for window in windows.clone() {
                let here = (window * WINDOW, WINDOW);
                let added =
                    sums.add_entries(window - first, plan.left, here, &plan.contributions);
                plan.left = &plan.left[added..];
                postings += added;
            }
        }
        postings
    }
}
