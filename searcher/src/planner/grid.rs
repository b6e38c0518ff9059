//! The settings of each method that an index is measured with, and what they find and do.
//!
//! 1. postings from few to all, in steps of about the same ratio; each with fewer and with more candidates
//! 2. the mean share of a query that this number of postings (or terms) keeps: the setting then keeps at
//!    least that share of every query  3. overlap and work of the resulting setting

use quarry_index::Segment;
use quarry_index::calibration::{Setting, Work};
use rayon::prelude::*;

use crate::error::SearchError;
use crate::method::Method;
use crate::options::Options;
use crate::outcome::Stats;
use crate::overlap::mean_by;
use crate::planner::costs;
use crate::planner::made::Kind;
use crate::planner::plan::{self, Plan};
use crate::searcher::Searcher;
use crate::sparse::Found;

/// Larger overlaps need no further points.
const ENOUGH: f64 = 0.998;
/// From one number of postings to the next, in hundredths: for few results, and for more.
const STEP: usize = 145;
const LARGE_STEP: usize = 210;
const FEW: usize = 10;
/// Candidates tried with each, in tenths of the default.
const CANDIDATES: [usize; 3] = [6, 10, 25];
/// Queries that tell what a number of postings keeps.
const KEPT_OF: usize = 64;
/// Seismic's settings, cheap to dear.
const SEISMIC: [(u32, f32); 11] = [
    (3, 0.9),
    (5, 0.9),
    (8, 0.9),
    (5, 0.8),
    (8, 0.8),
    (12, 0.8),
    (8, 0.7),
    (12, 0.7),
    (12, 0.6),
    (20, 0.6),
    (40, 0.5),
];

/// A setting with what it finds and does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Counted {
    pub(crate) setting: Setting,
    pub(crate) overlap: f64,
    pub(crate) work: Work,
}

/// One segment, one kind of query, one k.
pub(crate) struct Bench<'a> {
    pub(crate) searcher: &'a Searcher,
    pub(crate) segment: (usize, &'a Segment),
    pub(crate) kind: &'a Kind,
    pub(crate) params: Options<'a>,
}

impl Bench<'_> {
    /// All settings of all methods that the segment has lists for.
    pub(crate) fn curves(&self) -> Result<Vec<(Method, Vec<Counted>)>, SearchError> {
        let segment = self.segment.1;
        let exact = self.all(Plan::Exact, usize::MAX)?;
        let exactly =
            Counted { setting: Setting::default(), overlap: 1.0, work: self.work(&exact) };
        let mut curves = vec![(Method::Exact, vec![exactly])];
        if segment.impact().is_some() {
            let candidates = plan::candidates_for(self.params.k.get());
            let rows = segment.documents().len();
            curves.push((Method::Impact, self.grid(Method::Impact, candidates, rows, &exact)?));
        }
        if let Some(clusters) = segment.clusters() {
            let candidates = plan::clusters_for(self.params.k.get());
            let rows = clusters.meta().clusters as usize;
            curves.push((Method::Clusters, self.grid(Method::Clusters, candidates, rows, &exact)?));
        }
        if segment.seismic().is_some() {
            let mut counted = Vec::new();
            for (query_cut, heap_factor) in SEISMIC {
                let setting = Setting {
                    query_cut: Some(query_cut),
                    heap_factor: Some(heap_factor),
                    ..Setting::default()
                };
                let kept = self.kept(Method::Seismic, setting)?;
                let setting = Setting { kept: Some(kept), ..setting };
                counted.push(self.counted(Method::Seismic, setting, &exact)?);
            }
            curves.push((Method::Seismic, counted));
        }
        Ok(curves)
    }

    /// Settings of a method that has postings over `rows` rows and candidates.
    fn grid(
        &self,
        method: Method,
        candidates: usize,
        rows: usize,
        exact: &[Found],
    ) -> Result<Vec<Counted>, SearchError> {
        let k = self.params.k.get();
        let mut counted = Vec::new();
        let mut postings = (rows / 50).max(1000);
        let step = if k <= FEW { STEP } else { LARGE_STEP };
        let mut enough = false;
        while postings < 4 * rows.max(1000) && !enough {
            let alone = Setting { postings: u32::try_from(postings).ok(), ..Setting::default() };
            let kept = Some(self.kept(method, alone)?);
            for share in CANDIDATES {
                let candidates = u32::try_from(candidates * share / 10).ok();
                let setting = Setting { candidates, kept, ..alone };
                let found = self.counted(method, setting, exact)?;
                counted.push(found);
                enough |= found.overlap >= ENOUGH;
            }
            postings = postings * step / 100;
        }
        Ok(counted)
    }

    /// The share of a query that a setting keeps, mean over some queries.
    fn kept(&self, method: Method, setting: Setting) -> Result<f32, SearchError> {
        let found = self.all(self.plan(method, setting), KEPT_OF)?;
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let mean = found.iter().map(|f| f.kept).sum::<f32>() / found.len().max(1) as f32;
        Ok(mean)
    }

    fn counted(
        &self,
        method: Method,
        setting: Setting,
        exact: &[Found],
    ) -> Result<Counted, SearchError> {
        let found = self.all(self.plan(method, setting), usize::MAX)?;
        let overlap = mean_by(&found, exact, |f| f.hits.iter().map(|h| h.score).collect());
        Ok(Counted { setting, overlap, work: self.work(&found) })
    }

    fn plan(&self, method: Method, setting: Setting) -> Plan {
        plan::with(method, &self.params, setting, self.segment.1.documents().len())
    }

    /// The first `most` queries, on all cores.
    fn all(&self, plan: Plan, most: usize) -> Result<Vec<Found>, SearchError> {
        let queries = &self.kind.queries[..self.kind.queries.len().min(most)];
        let one = |q| self.searcher.planned(self.segment, plan, q, &self.params);
        queries.par_iter().map(one).collect()
    }

    fn work(&self, found: &[Found]) -> Work {
        let mut did = Stats::default();
        found.iter().for_each(|f| did.add(&f.stats));
        costs::mean(&did, self.kind.mean.terms, found.len())
    }
}
