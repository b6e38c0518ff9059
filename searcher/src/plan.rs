//! Which method, with which knobs, for a query over one segment.
//!
//! 1. exact, where the segment is small, where the target is 1, or where nothing was built
//! 2. of the segment's own measurements, those of the nearest kind of query and the next larger k
//! 3. of each method the cheapest point that meets the target (postings are
//!    interpolated between two points); of the methods the cheapest
//!
//! With a filter, the k-th of the allowed documents stands about as deep in the whole ranking as the
//! filter is narrow: the plan is that of a larger k, with candidates for the allowed share. Where
//! scoring each allowed document costs less, that is done.
//!
//! What the caller set stands; without measurements the defaults stand in.

use std::num::NonZeroUsize;

use quarry_index::Segment;
use quarry_index::calibration::{Calibration, Curve, Point, Setting};
use quarry_index::seismic::SMALL_SEGMENT;

use crate::impact::approximate;
use crate::params::{Method, SparseParams};
use crate::seismic;

/// Default knobs.
const QUERY_CUT: u32 = 10;
const HEAP_FACTOR: f32 = 0.7;
/// Postings are a share of the segment's documents, but not fewer than this.
const LEAST_POSTINGS: usize = 20_000;
const DOCUMENTS_PER_POSTING: usize = 6;

/// Microseconds to score a row that stands alone, and a row's share of an exact search; measured
/// costs take the latter's place where there are any.
const MICROS_A_ROW_SCANNED: f64 = 0.06;
const MICROS_A_ROW_PROVEN: f64 = 0.0003;

/// What will be done.
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

/// Plans a query of `terms` terms over a segment of which `allowed` rows may be found.
pub(crate) fn plan(
    segment: &Segment,
    params: &SparseParams,
    terms: usize,
    allowed: Option<usize>,
) -> Plan {
    match allowed {
        Some(allowed) => filtered(segment, params, terms, allowed),
        None => unfiltered(segment, params, terms),
    }
}

fn unfiltered(segment: &Segment, params: &SparseParams, terms: usize) -> Plan {
    let table = segment.calibration();
    let (method, measured) = match params.method {
        Method::Auto => auto(segment, params, terms),
        method => (method, table.and_then(|t| choose(t, params, terms, Some(method)))),
    };
    let knobs = measured.map(|m| m.1.setting).unwrap_or_default();
    with(method, params, knobs, segment.documents().len())
}

fn filtered(segment: &Segment, params: &SparseParams, terms: usize, allowed: usize) -> Plan {
    let rows = segment.documents().len();
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let (share, scan) =
        (allowed as f64 / rows.max(1) as f64, allowed as f64 * MICROS_A_ROW_SCANNED);
    let exact = || {
        let measured = segment.calibration().and_then(|t| {
            choose(t, params, terms, Some(Method::Exact)).map(|(_, point)| point.micros)
        });
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let micros = measured.unwrap_or(rows as f64 * MICROS_A_ROW_PROVEN);
        if scan < micros { Plan::Scan } else { Plan::Exact }
    };
    let deeper = |k: NonZeroUsize| {
        let k = k.get().saturating_mul(rows).div_ceil(allowed.max(1));
        NonZeroUsize::new(k).unwrap_or(NonZeroUsize::MIN)
    };
    let deep = SparseParams { k: deeper(params.k), ..*params };
    let (plan, micros) = match params.method {
        Method::Auto => match auto(segment, &deep, terms) {
            (Method::Exact, _) => return exact(),
            (method, measured) => {
                let knobs = measured.map(|m| m.1.setting).unwrap_or_default();
                (with(method, &deep, knobs, rows), measured.map(|m| m.1.micros))
            }
        },
        Method::Exact => return exact(),
        _ => (unfiltered(segment, &deep, terms), None),
    };
    if micros.is_some_and(|micros| scan < micros) {
        return Plan::Scan;
    }
    // Of a deep plan's candidates only the allowed ones are there to be chosen.
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
        Plan::Impact(setting) if params.candidates.is_none() => Plan::Impact(of_allowed(setting)),
        plan => plan,
    }
}

/// A method with the knobs that the caller set, else those given, else the defaults for a segment
/// of `documents`.
pub(crate) fn with(
    method: Method,
    params: &SparseParams,
    knobs: Setting,
    documents: usize,
) -> Plan {
    let set = |n: Option<NonZeroUsize>| n.map(NonZeroUsize::get);
    let planned = |n: Option<u32>| n.map(|n| n as usize);
    let postings = set(params.postings).or(planned(knobs.postings));
    let candidates = set(params.candidates).or(planned(knobs.candidates));
    let k = params.k.get();
    match method {
        Method::Exact | Method::Auto => Plan::Exact,
        Method::Scan => Plan::Scan,
        Method::Impact => Plan::Impact(approximate::Setting {
            postings: postings.unwrap_or(default_postings(documents)),
            candidates: candidates.unwrap_or_else(|| candidates_for(k)),
        }),
        Method::Clusters => Plan::Clusters(approximate::Setting {
            postings: postings.unwrap_or(default_postings(documents)),
            candidates: candidates.unwrap_or_else(|| clusters_for(k)),
        }),
        Method::Seismic => Plan::Seismic(seismic::Setting {
            query_cut: params
                .query_cut
                .map_or(knobs.query_cut.unwrap_or(QUERY_CUT) as usize, NonZeroUsize::get),
            heap_factor: params.heap_factor.or(knobs.heap_factor).unwrap_or(HEAP_FACTOR),
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
    segment: &'a Segment,
    params: &SparseParams,
    terms: usize,
) -> (Method, Option<(&'a Curve, Point)>) {
    if !has_lists(segment) || params.overlap >= 1.0 || segment.entry().rows <= SMALL_SEGMENT {
        return (Method::Exact, None);
    }
    if let Some(table) = segment.calibration() {
        let best = choose(table, params, terms, None);
        // A table that promises nothing at this target leaves the exact search.
        return match best.and_then(|b| Method::named(&b.0.method).map(|m| (m, b))) {
            Some((method, best)) => (method, Some(best)),
            None => (Method::Exact, None),
        };
    }
    let method = if segment.impact().is_some() {
        Method::Impact
    } else if segment.clusters().is_some() {
        Method::Clusters
    } else {
        Method::Seismic
    };
    (method, None)
}

/// Whether there is anything but the exact search to choose.
pub(crate) fn has_lists(segment: &Segment) -> bool {
    segment.impact().is_some() || segment.seismic().is_some() || segment.clusters().is_some()
}

/// The cheapest point that meets the target, of one method or of all. When a single method has no
/// such point, its most accurate one.
fn choose<'a>(
    table: &'a Calibration,
    params: &SparseParams,
    terms: usize,
    only: Option<Method>,
) -> Option<(&'a Curve, Point)> {
    let curves = || {
        table
            .curves
            .iter()
            .filter(|c| !c.points.is_empty() && only.is_none_or(|m| m.name() == c.method))
    };
    let k = u32::try_from(params.k.get()).unwrap_or(u32::MAX);
    // The next larger k that was measured, or the largest.
    let k = curves().map(|c| c.k).filter(|measured| *measured >= k).min();
    let k = k.or_else(|| curves().map(|c| c.k).max())?;
    #[expect(clippy::cast_precision_loss, reason = "a distance")]
    let distance = |c: &Curve| ((terms.max(1) as f64) / c.query_terms.max(1.0)).ln().abs();
    let nearest = curves()
        .filter(|c| c.k == k)
        .min_by(|a, b| distance(a).total_cmp(&distance(b)))?
        .query_terms;
    let near = || curves().filter(|c| c.k == k && c.query_terms.total_cmp(&nearest).is_eq());
    let target = f64::from(params.overlap);
    let cheapest = near()
        .filter_map(|c| meet(c, target).map(|p| (c, p)))
        .min_by(|a, b| a.1.micros.total_cmp(&b.1.micros));
    cheapest.or_else(|| {
        let most = |c: &'a Curve| c.points.iter().max_by(|a, b| a.overlap.total_cmp(&b.overlap));
        only.and_then(|_| near().find_map(|c| most(c).map(|p| (c, *p))))
    })
}

/// The cheapest point of a curve that meets the target.
fn meet(curve: &Curve, target: f64) -> Option<Point> {
    let at = curve
        .points
        .iter()
        .enumerate()
        .filter(|(_, p)| p.overlap >= target)
        .min_by(|a, b| a.1.micros.total_cmp(&b.1.micros))?;
    let (at, above) = at;
    let below = at.checked_sub(1).map(|before| curve.points[before]);
    Some(match below {
        Some(below) if below.overlap < target => between(below, *above, target),
        _ => *above,
    })
}

/// Postings between two points that differ only in them, as far as the target lies between.
fn between(below: Point, above: Point, target: f64) -> Point {
    let (Some(low), Some(high)) = (below.setting.postings, above.setting.postings) else {
        return above;
    };
    if below.setting.candidates != above.setting.candidates || low >= high {
        return above;
    }
    let share = (target - below.overlap) / (above.overlap - below.overlap);
    let mix = |a: f64, b: f64| a + (b - a) * share;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between two numbers of 32 bits"
    )]
    let postings = mix(f64::from(low), f64::from(high)).ceil() as u32;
    Point {
        setting: Setting { postings: Some(postings), ..above.setting },
        overlap: target,
        micros: mix(below.micros, above.micros),
    }
}
