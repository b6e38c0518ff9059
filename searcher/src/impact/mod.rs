//! Searches over complete impact-ordered lists, score at a time: Anh and Moffat, "Pruned query
//! evaluation using pre-computed impacts", SIGIR 2006; Lin and Trotman, "Anytime ranking for
//! impact-ordered indexes", ICTIR 2015.
//!
//! Both searches add up what bands of postings contribute, in small accumulators for all documents
//! of the segment, select the documents with the largest sums and score those from the forward
//! index. They differ in what a contribution is: `approximate` adds typical values of the largest
//! bands in one byte; `exact` adds upper bounds of all bands in two, and stops at no document that
//! could still be among the best.

mod accumulate;
pub(crate) mod approximate;
pub(crate) mod exact;
mod rescore;

use std::time::Instant;

use quarry_index::Segment;
use quarry_index::forward::Records;
use quarry_index::impact::{BANDS, Directory, ImpactLists, Lists};
use quarry_vectors::TermId;

use crate::SearchError;
use crate::kernels::{Kernels, prefetch};
use crate::query::{FixedQuery, QueryTable};
use accumulate::Accumulators;

/// Reused from query to query. Accumulators are zero between searches.
#[derive(Debug, Default)]
pub(crate) struct ImpactScratch {
    narrow: Option<Accumulators<u8>>,
    wide: Option<Accumulators<u16>>,
    collected: Vec<u64>,
    chosen: Vec<u32>,
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

impl Target<'_> {
    fn in_time(&self) -> Result<(), SearchError> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(SearchError::Timeout),
            _ => Ok(()),
        }
    }
}

/// A query term with its list.
#[derive(Debug, Clone, Copy)]
struct Term<'a> {
    weight: f64,
    directory: Directory<'a>,
    bytes: &'a [u8],
}

/// The query's terms that have a list, heaviest weight first; their lines are asked for.
fn terms<'a>(query: &FixedQuery, table: &QueryTable, lists: &Lists<'a>) -> Vec<Term<'a>> {
    for (term, _) in query.terms() {
        // A directory has two lines; half a line further on in `u32`s is the second.
        prefetch(lists.directories(), *term as usize);
        prefetch(lists.directories().as_flattened(), *term as usize * 2 * BANDS + BANDS);
    }
    let mut out = Vec::with_capacity(query.terms().len());
    for &(term, weight) in query.terms() {
        debug_assert!(weight == table.weight(term) || table.weight(term) == 0);
        let Some(directory) = lists.directory(TermId(term)).filter(|d| !d.is_empty()) else {
            continue;
        };
        let bytes = lists.bytes(TermId(term));
        for line in 0..4 {
            prefetch(bytes, 64 * line);
        }
        out.push(Term { weight: f64::from(weight), directory, bytes });
    }
    out
}

impl Term<'_> {
    /// Postings of a band.
    fn count(&self, band: usize) -> u32 {
        let before = if band == 0 { 0 } else { self.directory.end(band - 1) };
        self.directory.end(band) - before
    }

    /// The first band of the list that is used.
    fn bands(&self) -> impl Iterator<Item = usize> + use<'_> {
        (0..BANDS).take_while(|band| self.directory.high(*band) > 0)
    }
}
