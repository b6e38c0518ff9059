//! A search by vector over all segments.
//!
//! 1. plan each segment  2. search it; those by impact-ordered lists together  3. merge the hits

use std::time::Instant;

use quarry_index::Segment;
use quarry_index::forward::ForwardIndex;
use quarry_index::impact::ImpactLists;
use quarry_vectors::SparseVector;

use crate::error::SearchError;
use crate::filter::rows::RowSet;
use crate::method::Method;
use crate::methods::collect::{Scored, SegmentHits};
use crate::methods::impact::{self, ImpactScratch, approximate, clusters, exact};
use crate::methods::query::FixedQuery;
use crate::methods::scan;
use crate::methods::scorer::Scorer;
use crate::methods::scratch::Scratch;
use crate::methods::seismic::{self, SeismicScratch};
use crate::methods::wide::{Meeting, WideQuery, is_uneven};
use crate::options::Options;
use crate::outcome::{Hit, Outcome, Stats};
use crate::planner::choose::Shape;
use crate::planner::plan::{Facts, Plan, Planned, plan, promise};
use crate::searcher::Searcher;

/// A query as it was given, and in fixed point.
#[derive(Debug)]
pub(crate) struct PreparedQuery<'a> {
    pub(crate) vector: &'a SparseVector,
    pub(crate) fixed: FixedQuery,
    /// Its length and evenness, for the planner.
    shape: Shape,
    /// Whether its weights lie too far apart for fixed point.
    uneven: bool,
}

impl<'a> PreparedQuery<'a> {
    pub(crate) fn new(vector: &'a SparseVector) -> Self {
        let (fixed, shape) = (FixedQuery::new(vector), Shape::of(vector));
        Self { vector, fixed, shape, uneven: is_uneven(vector) }
    }

    pub(crate) fn meeting(&self, forward: &ForwardIndex) -> Meeting {
        Meeting::of(self.vector, self.uneven, forward.scaled())
    }

    /// The plan to run: plans suppose that a query meets one step.
    fn planned(&self, plan: Plan, forward: &ForwardIndex) -> Plan {
        if self.meeting(forward) == Meeting::Heavy && plan != Plan::Scan {
            Plan::Exact
        } else {
            plan
        }
    }
}

/// A segment, with the rows that the filter allows; `None` means all.
#[derive(Debug, Clone, Copy)]
struct At<'a> {
    number: usize,
    segment: &'a Segment,
    allowed: Option<&'a RowSet>,
}

impl At<'_> {
    /// Whether fewer than k were found though more are allowed: an approximate search may have skipped
    /// them, so the exact search has to fill up the k.
    fn lacks(&self, found: usize, k: usize) -> bool {
        self.allowed.is_some_and(|allowed| found < k.min(allowed.len()))
    }
}

/// The result of one query on one segment by one plan.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) hits: SegmentHits,
    pub(crate) stats: Stats,
    /// The share of the query that was kept (`Setting::kept` of the index's calibration).
    pub(crate) kept: f32,
}

impl Searcher {
    /// The k best rows: documents, or passages of split ones.
    pub(crate) fn sparse_rows(
        &self,
        query: &SparseVector,
        params: &Options<'_>,
    ) -> Result<Outcome, SearchError> {
        let Some(lexicon) = self.index().lexicon().filter(|_| self.index().has_sparse()) else {
            return Err(SearchError::NoSparse);
        };
        let query = PreparedQuery::new(query);
        let mut scratch = self.take_scratch(lexicon.len());
        scratch.table.load(&query.fixed);
        let result = self.sparse_with(&query, params, &mut scratch);
        // A search that failed may have left sums behind.
        if result.is_err() {
            scratch.impact = ImpactScratch::default();
        }
        self.give_back(scratch);
        result
    }

    fn sparse_with(
        &self,
        query: &PreparedQuery<'_>,
        params: &Options<'_>,
        scratch: &mut Scratch,
    ) -> Result<Outcome, SearchError> {
        let factors = self.factors();
        let mut stats = Stats::default();
        let mut hits = Vec::new();
        let mut method = (0, Method::Exact);
        let k = params.k.get();
        let mut add = |at: &At<'_>, found: SegmentHits| {
            hits.extend(found.into_iter().map(|Scored { score, doc }| Hit {
                segment: at.number,
                doc,
                score,
            }));
        };
        // Segments searched by impact-ordered lists are searched together.
        let mut together = Vec::new();
        for (number, segment) in self.index().segments().iter().enumerate() {
            if segment.documents().is_empty() {
                continue;
            }
            let at = At { number, segment, allowed: self.allowed(number, params.filter) };
            let forward = segment.forward().ok_or(SearchError::NoSparse)?;
            let facts = Facts::of(segment);
            let shape = &query.shape;
            let planned = plan(&facts, params, shape, at.allowed.map(RowSet::len), &factors);
            let planned = planned.or_scan(&facts, self.index().features());
            let plan = query.planned(planned.plan, forward);
            // The time of another plan says nothing about this one.
            let micros = planned.micros.filter(|_| plan == planned.plan);
            let rows = segment.entry().rows;
            if rows >= method.0 {
                method = (rows, plan.method());
            }
            // A segment whose rows are all candidates is searched alone.
            if let Plan::Impact(setting) = plan
                && setting.candidates < facts.rows
                && query.meeting(forward) == Meeting::Narrow
            {
                together.push((at, setting, micros));
                continue;
            }
            let mut found = self.timed(Planned { plan, micros }, || {
                self.segment(&at, plan, query, params, (scratch, &mut stats))
            })?;
            if at.lacks(found.len(), k) && !matches!(plan, Plan::Exact | Plan::Scan) {
                found = self.segment(&at, Plan::Exact, query, params, (scratch, &mut stats))?;
            }
            add(&at, found);
        }
        together.sort_by_key(|(at, ..)| std::cmp::Reverse(at.segment.documents().len()));
        let micros = together.iter().map(|t| t.2).sum::<Option<f64>>();
        let together: Vec<_> = together.into_iter().map(|t| (t.0, t.1)).collect();
        let found = match together.first() {
            Some((_, setting)) => self
                .timed(Planned { plan: Plan::Impact(*setting), micros }, || {
                    self.together(&together, &query.fixed, params, (scratch, &mut stats))
                })?,
            None => Vec::new(),
        };
        let all: usize = found.iter().map(Vec::len).sum();
        for ((at, _), mut found) in together.iter().zip(found) {
            if all < k && at.lacks(found.len(), k) {
                found = self.segment(at, Plan::Exact, query, params, (scratch, &mut stats))?;
            }
            add(at, found);
        }
        Ok(Outcome { hits: self.merge(hits, k), method: method.1, stats })
    }

    /// Runs a plan, and records its time where times correct the calibrated costs.
    fn timed<T>(
        &self,
        planned: Planned,
        run: impl FnOnce() -> Result<T, SearchError>,
    ) -> Result<T, SearchError> {
        let Some((observed, micros)) = self.observed().zip(planned.micros) else {
            return run();
        };
        let started = Instant::now();
        let found = run()?;
        observed.saw(planned.plan.method(), started.elapsed().as_secs_f64() * 1e6, micros);
        Ok(found)
    }

    /// The approximate search over impact-ordered lists of several segments, by descending rows.
    fn together(
        &self,
        segments: &[(At<'_>, approximate::Setting)],
        query: &FixedQuery,
        params: &Options<'_>,
        (scratch, stats): (&mut Scratch, &mut Stats),
    ) -> Result<Vec<SegmentHits>, SearchError> {
        if segments.is_empty() {
            return Ok(Vec::new());
        }
        let Scratch { table, impact, .. } = scratch;
        let mut targets = Vec::with_capacity(segments.len());
        for (at, _) in segments {
            let lists = at.segment.impact().ok_or(SearchError::NoLists { method: "impact" })?;
            let forward = at.segment.forward().ok_or(SearchError::NoSparse)?;
            let unit = query.unit(forward.meta().quantization.scale);
            let scorer = Scorer::Narrow(table, unit);
            targets.push(self.target(at, (forward, lists), (scorer, unit), params));
        }
        let settings: Vec<_> = segments.iter().map(|(_, setting)| *setting).collect();
        let setting = approximate::Setting::of_all(&settings);
        approximate::search(&targets, query, (params.k.get(), setting), impact, stats)
    }

    /// A segment with lists over its rows, as the searches by impact-ordered lists take it.
    fn target<'a>(
        &self,
        at: &At<'a>,
        (forward, lists): (&'a ForwardIndex, &'a ImpactLists),
        (scorer, unit): (Scorer<'a>, f64),
        params: &Options<'_>,
    ) -> impact::Target<'a> {
        let records = forward.records();
        impact::Target {
            segment: at.segment,
            records,
            lists,
            rows: records.len(),
            allowed: at.allowed,
            kernels: self.kernels(),
            scorer,
            unit,
            deadline: params.deadline,
        }
    }

    /// Searches one segment by a plan: what calibration measures.
    pub(crate) fn planned(
        &self,
        segment: (usize, &Segment),
        plan: Plan,
        query: &SparseVector,
        params: &Options<'_>,
    ) -> Result<Found, SearchError> {
        self.planned_among(segment, plan, query, params, self.allowed(segment.0, params.filter))
    }

    /// Like [`Self::planned`], among some rows.
    pub(crate) fn planned_among(
        &self,
        segment: (usize, &Segment),
        plan: Plan,
        query: &SparseVector,
        params: &Options<'_>,
        allowed: Option<&RowSet>,
    ) -> Result<Found, SearchError> {
        let lexicon = self.index().lexicon().ok_or(SearchError::NoSparse)?;
        let query = PreparedQuery::new(query);
        let mut scratch = self.take_scratch(lexicon.len());
        scratch.table.load(&query.fixed);
        let mut stats = Stats::default();
        let (number, segment) = segment;
        let at = At { number, segment, allowed };
        let hits = self.segment(&at, plan, &query, params, (&mut scratch, &mut stats))?;
        let kept = match plan {
            Plan::Impact(_) | Plan::Clusters(_) => scratch.impact.kept,
            Plan::Seismic(setting) => seismic::cut(&query.fixed, setting).1,
            Plan::Exact | Plan::Scan => 1.0,
        };
        self.give_back(scratch);
        Ok(Found { hits, stats, kept })
    }

    fn segment(
        &self,
        at: &At<'_>,
        plan: Plan,
        query: &PreparedQuery<'_>,
        params: &Options<'_>,
        (scratch, stats): (&mut Scratch, &mut Stats),
    ) -> Result<SegmentHits, SearchError> {
        let At { number, segment, allowed } = *at;
        let forward = segment.forward().ok_or(SearchError::NoSparse)?;
        let scale = forward.meta().quantization.scale;
        let (k, deadline, kernels) = (params.k.get(), params.deadline, self.kernels());
        let Scratch { table, wide, seismic, impact, .. } = scratch;
        let plan = query.planned(plan, forward);
        let own = (query.meeting(forward) != Meeting::Narrow)
            .then(|| WideQuery::new(query.vector, forward.scaled()));
        if let Some(own) = &own {
            wide.load(own, scale);
        }
        let query = own.as_ref().map_or(&query.fixed, |own| &own.fixed);
        let unit = query.unit(scale);
        let scorer = if own.is_some() { Scorer::Wide(wide) } else { Scorer::Narrow(table, unit) };
        match plan {
            Plan::Impact(setting) => {
                let lists = segment.impact().ok_or(SearchError::NoLists { method: "impact" })?;
                let target = self.target(at, (forward, lists), (scorer, unit), params);
                let found = approximate::search(&[target], query, (k, setting), impact, stats)?;
                Ok(found.into_iter().next().unwrap_or_default())
            }
            Plan::Clusters(setting) => {
                let found =
                    segment.clusters().ok_or(SearchError::NoLists { method: "clusters" })?;
                let over = self.target(at, (forward, found.summaries()), (scorer, unit), params);
                let rows = found.meta().clusters as usize;
                let target = impact::Target { rows, allowed: None, ..over };
                clusters::search((&target, found, allowed), query, (k, setting), impact, stats)
            }
            Plan::Seismic(setting) => {
                let lists = segment.seismic().ok_or(SearchError::NoLists { method: "seismic" })?;
                if seismic.len() <= number {
                    seismic.resize_with(number + 1, SeismicScratch::default);
                }
                let records = forward.records();
                let target = seismic::Target {
                    segment,
                    records,
                    lists,
                    allowed,
                    kernels,
                    scorer,
                    unit,
                    deadline,
                };
                seismic::search(target, query, (k, setting), &mut seismic[number], stats)
            }
            Plan::Exact | Plan::Scan => match segment.impact().filter(|_| plan == Plan::Exact) {
                Some(lists) if query.terms().len() <= exact::MOST_TERMS => {
                    let target = self.target(at, (forward, lists), (scorer, unit), params);
                    exact::search(&target, query, k, impact, stats)
                }
                _ => {
                    let records = forward.records();
                    scan::search((segment, allowed), records, scorer, params, kernels, stats)
                }
            },
        }
    }

    /// The overlap@k that the index's calibration predicts for a search by vector: the target, or less if the
    /// method that the options name does not reach it. `None` if a segment with a choice is not calibrated.
    #[must_use]
    pub fn promised(&self, query: &SparseVector, params: &Options<'_>) -> Option<f64> {
        let shape = Shape::of(query);
        let of = |segment| promise(&Facts::of(segment), params, &shape);
        self.index().segments().iter().map(of).try_fold(1.0, |least, one| Some(one?.min(least)))
    }
}
