//! Chooses method and parameters for a query over one segment.
//!
//! 1. exact, where the segment is small, where the target is 1, or where nothing was built
//! 2. what costs least at the target by the segment's own measurements (`choose.rs`)
//!
//! With a filter, the k-th of the allowed documents stands about as deep in the whole ranking as the
//! filter is narrow: the plan is that of a larger k, with candidates for the allowed share. Where
//! scoring each allowed document costs less, that is done.
//!
//! Parameters that the caller set are kept. Without measurements the defaults apply; but in a small segment
//! (a few added documents) a named method leaves nothing out, so that it meets any target.

use std::num::NonZeroUsize;

use quarry_index::Segment;
use quarry_index::calibration::{Calibration, Curve, Point, Setting};
use quarry_index::features::Features;
use quarry_index::seismic::{SMALL_SEGMENT, TINY_SEGMENT};

use crate::method::Method;
use crate::methods::impact::approximate;
use crate::methods::seismic;
use crate::options::Options;
use crate::planner::choose::{Shape, choose};
use crate::planner::observed::Factors;

/// Default parameters of Seismic.
const QUERY_CUT: u32 = 10;
const HEAP_FACTOR: f32 = 0.7;
/// From this overlap on, small segments are searched at least as thoroughly as by the defaults: synthetic
/// queries of few documents predict real ones poorly (NFCorpus: .940 for a target of .98).
const DEMANDING: f32 = 0.97;
/// Segments of fewer rows are not measured, and what an earlier version measured there is not used: nothing
/// is left out of them.
pub const LEAST_MEASURED: usize = 1000;
/// A heap factor that leaves out almost no block.
const LEAST_HEAP_FACTOR: f32 = 0.01;
/// Postings are a share of the segment's documents, but not fewer than this.
const LEAST_POSTINGS: usize = 20_000;
const DOCUMENTS_PER_POSTING: usize = 6;

/// Microseconds to score a row that stands alone, and a row's share of an exact search; measured
/// costs take the latter's place where there are any.
const MICROS_A_ROW_SCANNED: f64 = 0.06;
const MICROS_A_ROW_PROVEN: f64 = 0.0003;

/// A method with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Plan {
    /// Impact-ordered lists.
    Impact(approximate::Setting),
    /// Clusters.
    Clusters(approximate::Setting),
    /// Seismic.
    Seismic(seismic::Setting),
    /// Exactly: over impact-ordered lists where there are any.
    Exact,
    /// By a scan.
    Scan,
}

impl Plan {
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Impact(_) => Method::Impact,
            Self::Clusters(_) => Method::Clusters,
            Self::Seismic(_) => Method::Seismic,
            Self::Exact => Method::Exact,
            Self::Scan => Method::Scan,
        }
    }
}

/// A plan, with the microseconds that the segment's calibration predicts for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) micros: Option<f64>,
}

/// The facts about a segment that a plan depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) rows: usize,
    /// Which lists there are.
    pub(crate) impact: bool,
    pub(crate) clusters: bool,
    pub(crate) seismic: bool,
    pub(crate) table: Option<&'a Calibration>,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(segment: &'a Segment) -> Self {
        let rows = segment.documents().len();
        Self {
            rows,
            impact: segment.impact().is_some(),
            clusters: segment.clusters().is_some(),
            seismic: segment.seismic().is_some(),
            table: segment.calibration().filter(|_| rows >= LEAST_MEASURED),
        }
    }

    /// Whether there is anything but the exact search to choose.
    pub(crate) fn has_lists(&self) -> bool {
        self.impact || self.clusters || self.seismic
    }

    /// Whether the segment may lack lists that the others have.
    fn is_tiny(&self) -> bool {
        u64::try_from(self.rows).is_ok_and(|rows| rows <= TINY_SEGMENT)
    }

    pub(crate) fn is_small(&self) -> bool {
        u64::try_from(self.rows).is_ok_and(|rows| rows <= SMALL_SEGMENT)
    }
}

/// Plans a query over a segment of which `allowed` rows may be found.
pub(crate) fn plan(
    facts: &Facts<'_>,
    params: &Options<'_>,
    shape: &Shape,
    allowed: Option<usize>,
    factors: &Factors,
) -> Planned {
    match allowed {
        Some(allowed) => {
            let plan = filtered(facts, params, shape, allowed);
            Planned { plan, micros: None }
        }
        None => unfiltered(facts, params, shape, factors),
    }
}

impl Planned {
    /// A scan instead, in a segment too small to have the lists that the plan needs and the index has.
    pub(crate) fn or_scan(self, facts: &Facts<'_>, index: &Features) -> Self {
        let lacks = match self.plan {
            Plan::Impact(_) => index.impact && !facts.impact,
            Plan::Clusters(_) => index.clusters.is_some() && !facts.clusters,
            Plan::Seismic(_) => index.seismic.is_some() && !facts.seismic,
            Plan::Exact | Plan::Scan => false,
        };
        match lacks && facts.is_tiny() {
            true => Self { plan: Plan::Scan, micros: None },
            false => self,
        }
    }
}

fn unfiltered(
    facts: &Facts<'_>,
    params: &Options<'_>,
    shape: &Shape,
    factors: &Factors,
) -> Planned {
    let own =
        params.sparse.postings.or(params.sparse.candidates).or(params.sparse.query_cut).is_some()
            || params.sparse.heap_factor.is_some();
    if params.sparse.overlap >= 1.0 && !own && params.sparse.method != Method::Scan {
        // All of the k best are wanted: exact, whatever method was named.
        return Planned { plan: Plan::Exact, micros: None };
    }
    let (method, measured) = match params.sparse.method {
        Method::Auto => auto(facts, params, shape, factors),
        method => {
            let found =
                facts.table.and_then(|t| choose(t, params, shape, Some(method), &Factors::NONE));
            (method, found)
        }
    };
    let setting = match measured {
        Some((_, point)) if facts.is_small() && params.sparse.overlap >= DEMANDING => {
            at_least_default(point.setting)
        }
        Some((_, point)) => point.setting,
        None if facts.is_small() => all_of(facts.rows),
        None => Setting::default(),
    };
    // The predicted time is of the calibrated parameters, not of the caller's.
    let micros = measured.map(|m| m.1.micros).filter(|_| !own);
    Planned { plan: with(method, params, setting, facts.rows), micros }
}

/// The overlap predicted for a search without a filter; `None` for a segment with a choice of methods that is
/// not calibrated.
pub(crate) fn promise(facts: &Facts<'_>, params: &Options<'_>, shape: &Shape) -> Option<f64> {
    let exact = matches!(params.sparse.method, Method::Exact | Method::Scan);
    let complete = facts.table.is_none() && params.sparse.method != Method::Seismic;
    let all = facts.is_small() && (params.sparse.method == Method::Auto || complete);
    if exact || all || !facts.has_lists() {
        return Some(1.0);
    }
    let only = Some(params.sparse.method).filter(|method| *method != Method::Auto);
    let found = facts.table.map(|table| choose(table, params, shape, only, &Factors::NONE))?;
    // If no point reaches the target, the exact search is taken.
    Some(found.map_or(1.0, |(_, point)| point.overlap))
}

/// A setting whose parameters of Seismic are at least as thorough as the defaults.
fn at_least_default(setting: Setting) -> Setting {
    Setting {
        query_cut: setting.query_cut.map(|cut| cut.max(QUERY_CUT)),
        heap_factor: setting.heap_factor.map(|factor| factor.min(HEAP_FACTOR)),
        ..setting
    }
}

/// Parameters that leave nothing out of a segment of `rows` rows.
fn all_of(rows: usize) -> Setting {
    Setting {
        postings: Some(u32::MAX),
        candidates: u32::try_from(rows).ok(),
        query_cut: Some(u32::MAX),
        heap_factor: Some(LEAST_HEAP_FACTOR),
        kept: Some(1.0),
    }
}

fn filtered(facts: &Facts<'_>, params: &Options<'_>, shape: &Shape, allowed: usize) -> Plan {
    let rows = facts.rows;
    let none = &Factors::NONE;
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let (share, scan) =
        (allowed as f64 / rows.max(1) as f64, allowed as f64 * MICROS_A_ROW_SCANNED);
    let exact = || {
        let measured = facts.table.and_then(|t| {
            choose(t, params, shape, Some(Method::Exact), none).map(|(_, point)| point.micros)
        });
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let micros = measured.unwrap_or(rows as f64 * MICROS_A_ROW_PROVEN);
        if scan < micros { Plan::Scan } else { Plan::Exact }
    };
    let deeper = |k: NonZeroUsize| {
        let k = k.get().saturating_mul(rows).div_ceil(allowed.max(1));
        NonZeroUsize::new(k).unwrap_or(NonZeroUsize::MIN)
    };
    let deep = Options { k: deeper(params.k), ..*params };
    let (plan, micros) = match params.sparse.method {
        Method::Auto => match auto(facts, &deep, shape, none) {
            (Method::Exact, _) => return exact(),
            (method, measured) => {
                let setting = measured.map(|m| m.1.setting).unwrap_or_default();
                (with(method, &deep, setting, rows), measured.map(|m| m.1.micros))
            }
        },
        Method::Exact => return exact(),
        _ => (unfiltered(facts, &deep, shape, none).plan, None),
    };
    if micros.is_some_and(|micros| scan < micros) {
        return Plan::Scan;
    }
    // The filter removes all but this share of a deep plan's candidates.
    let least = candidates_for(params.k.get()).min(3 * params.k.get() + 60);
    let of_allowed = |setting: approximate::Setting| {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count"
        )]
        let candidates = (setting.candidates as f64 * share).ceil() as usize;
        approximate::Setting { candidates: candidates.max(least), ..setting }
    };
    match plan {
        Plan::Impact(setting) if params.sparse.candidates.is_none() => {
            Plan::Impact(of_allowed(setting))
        }
        plan => plan,
    }
}

/// A method with the caller's parameters, else the given ones, else the defaults for a segment of `documents`
/// documents.
pub(crate) fn with(
    method: Method,
    params: &Options<'_>,
    setting: Setting,
    documents: usize,
) -> Plan {
    let set = |n: Option<NonZeroUsize>| n.map(NonZeroUsize::get);
    let planned = |n: Option<u32>| n.map(|n| n as usize);
    let postings = set(params.sparse.postings).or(planned(setting.postings));
    // A number that the caller set is taken literally.
    let kept = |own: bool| if own { 0.0 } else { setting.kept.unwrap_or(0.0) };
    let candidates = set(params.sparse.candidates).or(planned(setting.candidates));
    let k = params.k.get();
    match method {
        Method::Exact | Method::Auto | Method::Graph => Plan::Exact,
        Method::Scan => Plan::Scan,
        Method::Impact => Plan::Impact(approximate::Setting {
            postings: postings.unwrap_or(default_postings(documents)),
            kept: kept(params.sparse.postings.is_some()),
            candidates: candidates.unwrap_or_else(|| candidates_for(k)),
        }),
        Method::Clusters => Plan::Clusters(approximate::Setting {
            postings: postings.unwrap_or(default_postings(documents)),
            kept: kept(params.sparse.postings.is_some()),
            candidates: candidates.unwrap_or_else(|| clusters_for(k)),
        }),
        Method::Seismic => Plan::Seismic(seismic::Setting {
            query_cut: params
                .sparse
                .query_cut
                .map_or(setting.query_cut.unwrap_or(QUERY_CUT) as usize, NonZeroUsize::get),
            kept: kept(params.sparse.query_cut.is_some()),
            heap_factor: params.sparse.heap_factor.or(setting.heap_factor).unwrap_or(HEAP_FACTOR),
        }),
    }
}

fn default_postings(documents: usize) -> usize {
    (documents / DOCUMENTS_PER_POSTING).max(LEAST_POSTINGS)
}

/// Clusters whose documents are scored for k results.
pub(crate) fn clusters_for(k: usize) -> usize {
    k.saturating_add(60)
}

/// Documents scored exactly for k results: ten times as many for few, less for many.
pub(crate) fn candidates_for(k: usize) -> usize {
    let many = (k / 2).saturating_mul(5).saturating_add(200);
    k.saturating_mul(10).min(many).max(50)
}

fn auto<'a>(
    facts: &Facts<'a>,
    params: &Options<'_>,
    shape: &Shape,
    factors: &Factors,
) -> (Method, Option<(&'a Curve, Point)>) {
    if !facts.has_lists() || params.sparse.overlap >= 1.0 || facts.is_small() {
        return (Method::Exact, None);
    }
    if let Some(table) = facts.table {
        let best = choose(table, params, shape, None, factors);
        // If no calibrated point reaches the target, fall back to exact search.
        return match best.and_then(|b| Method::named(&b.0.method).map(|m| (m, b))) {
            Some((method, best)) => (method, Some(best)),
            None => (Method::Exact, None),
        };
    }
    let method = if facts.impact {
        Method::Impact
    } else if facts.clusters {
        Method::Clusters
    } else {
        Method::Seismic
    };
    (method, None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

    use super::*;
    use crate::options::SparseOptions;

    const ROWS: usize = 100_000;
    const SHAPE: Shape = Shape { terms: 20.0, even_terms: 20.0 };

    fn point(postings: u32, candidates: u32, overlap: f64, micros: f64) -> Point {
        let setting = Setting {
            postings: Some(postings),
            candidates: Some(candidates),
            query_cut: Some(postings / 1_000),
            heap_factor: Some(0.8),
            kept: Some(0.6),
        };
        Point { setting, overlap, micros, work: None }
    }

    /// For k 10, 100 and 1,000 k times as many postings and candidates.
    fn table() -> Calibration {
        let mut curves = Vec::new();
        for k in [10, 100, 1_000] {
            let of = |method: &str, points: Vec<Point>| Curve {
                method: method.to_owned(),
                k,
                query_terms: 20.0,
                even_terms: Some(20.0),
                points,
            };
            curves.push(of("exact", vec![point(0, 0, 1.0, 10_000.0)]));
            let impact = [(0.90, 1), (0.95, 2), (0.99, 4)];
            let impact = impact.map(|(overlap, times)| {
                point(1_000 * k * times, 6 * k * times, overlap, f64::from(k * times))
            });
            curves.push(of("impact", impact.to_vec()));
            curves.push(of("seismic", vec![point(8_000, 0, 0.97, f64::from(90 * k))]));
        }
        Calibration {
            source: "by hand".into(),
            queries: 1,
            kernels: "scalar".into(),
            units: Vec::new(),
            curves,
        }
    }

    fn facts(rows: usize, table: Option<&Calibration>) -> Facts<'_> {
        Facts { rows, impact: true, clusters: false, seismic: true, table }
    }

    fn asked(method: Method, overlap: f32, k: usize) -> Options<'static> {
        Options {
            sparse: SparseOptions { method, overlap, ..SparseOptions::default() },
            ..Options::new(NonZeroUsize::new(k).unwrap())
        }
    }

    fn planned(facts: &Facts<'_>, params: &Options<'_>, allowed: Option<usize>) -> Plan {
        plan(facts, params, &SHAPE, allowed, &Factors::NONE).plan
    }

    fn impact(plan: Plan) -> approximate::Setting {
        let Plan::Impact(setting) = plan else { panic!("{plan:?}") };
        setting
    }

    #[test]
    fn the_plan_follows_the_overlap_wanted() {
        let table = table();
        let facts = facts(ROWS, Some(&table));
        for method in [Method::Auto, Method::Impact] {
            let postings = |overlap| {
                let setting = impact(planned(&facts, &asked(method, overlap, 10), None));
                assert_eq!(setting.kept, 0.6);
                (setting.postings, setting.candidates)
            };
            assert_eq!(postings(0.90), (10_000, 60));
            assert_eq!(postings(0.95), (20_000, 120));
            assert_eq!(postings(0.99), (40_000, 240));
        }
        assert_eq!(planned(&facts, &asked(Method::Auto, 0.995, 10), None), Plan::Exact);
        assert_eq!(planned(&facts, &asked(Method::Auto, 1.0, 10), None), Plan::Exact);
        assert_eq!(planned(&facts, &asked(Method::Scan, 0.9, 10), None), Plan::Scan);
        for method in [Method::Impact, Method::Seismic, Method::Clusters] {
            assert_eq!(planned(&facts, &asked(method, 1.0, 10), None), Plan::Exact);
        }
        let seismic = planned(&facts, &asked(Method::Seismic, 0.9, 10), None);
        let want = seismic::Setting { query_cut: 8, heap_factor: 0.8, kept: 0.6 };
        assert_eq!(seismic, Plan::Seismic(want));
    }

    #[test]
    fn what_the_caller_sets_stands() {
        let table = table();
        let facts = facts(ROWS, Some(&table));
        let own = Options {
            sparse: SparseOptions {
                postings: NonZeroUsize::new(77),
                query_cut: NonZeroUsize::new(2),
                ..asked(Method::Impact, 0.95, 10).sparse
            },
            ..asked(Method::Impact, 0.95, 10)
        };
        let found = plan(&facts, &own, &SHAPE, None, &Factors::NONE);
        let setting = impact(found.plan);
        assert_eq!((setting.postings, setting.kept, setting.candidates), (77, 0.0, 120));
        assert_eq!(found.micros, None, "what it takes says nothing of the table");
        let seismic =
            Options { sparse: SparseOptions { method: Method::Seismic, ..own.sparse }, ..own };
        let want = seismic::Setting { query_cut: 2, heap_factor: 0.8, kept: 0.0 };
        assert_eq!(planned(&facts, &seismic, None), Plan::Seismic(want));
        let not_own = plan(&facts, &asked(Method::Impact, 0.95, 10), &SHAPE, None, &Factors::NONE);
        assert_eq!(not_own.micros, Some(20.0));
    }

    #[test]
    fn without_measurements() {
        let unmeasured = facts(ROWS, None);
        let setting = impact(planned(&unmeasured, &asked(Method::Auto, 0.9, 10), None));
        assert_eq!((setting.postings, setting.candidates), (20_000, 100));
        // A small segment: exact, and by name nothing is left out.
        let small = facts(10_000, None);
        assert_eq!(planned(&small, &asked(Method::Auto, 0.9, 10), None), Plan::Exact);
        let setting = impact(planned(&small, &asked(Method::Impact, 0.9, 10), None));
        assert_eq!((setting.kept, setting.candidates), (1.0, 10_000));
        let Plan::Seismic(setting) = planned(&small, &asked(Method::Seismic, 0.9, 10), None) else {
            panic!("not by seismic");
        };
        assert_eq!(setting.kept, 1.0);
        // One that was measured is planned as others are.
        let table = table();
        let measured = facts(10_000, Some(&table));
        let setting = impact(planned(&measured, &asked(Method::Impact, 0.9, 10), None));
        assert_eq!((setting.postings, setting.candidates), (10_000, 60));
        let bare = Facts { impact: false, seismic: false, ..unmeasured };
        assert_eq!(planned(&bare, &asked(Method::Auto, 0.9, 10), None), Plan::Exact);
    }

    #[test]
    fn a_filtered_plan_is_that_of_a_larger_k() {
        let table = table();
        let facts = facts(ROWS, Some(&table));
        for method in [Method::Auto, Method::Impact] {
            let params = asked(method, 0.90, 10);
            let setting = |allowed| impact(planned(&facts, &params, Some(allowed)));
            // All rows but some: k 10 needs 11 of all, which the table has as k 100.
            assert_eq!(setting(ROWS).postings, 10_000);
            assert_eq!(setting(ROWS - 1_000).postings, 100_000);
            assert_eq!(setting(ROWS / 10).postings, 100_000);
            if method == Method::Impact {
                assert_eq!(setting(ROWS / 20).postings, 1_000_000);
            }
            // Of its 600 candidates a half is allowed; fewer than k needs are not taken.
            assert_eq!(setting(ROWS / 2).candidates, 300);
            assert_eq!(setting(ROWS / 10).candidates, 90);
        }
        // So few rows that each is scored.
        let few = planned(&facts, &asked(Method::Auto, 0.90, 10), Some(300));
        assert_eq!(few, Plan::Scan);
        assert_eq!(planned(&facts, &asked(Method::Exact, 0.90, 10), Some(300)), Plan::Scan);
        let most = planned(&facts, &asked(Method::Exact, 0.90, 10), Some(ROWS));
        assert_eq!(most, Plan::Scan, "6 ms to score all, 10 ms to prove");
        let dear = Facts { rows: 1_000_000, ..facts };
        assert_eq!(planned(&dear, &asked(Method::Exact, 0.9, 10), Some(1_000_000)), Plan::Exact);
    }
}
