//! The index measures itself: what each method's settings cost, and how well they agree with the
//! exact search.
//!
//! 1. for each segment and k, sample queries: a user's, or made of the segment's own documents, of
//!    several kinds  2. for each kind the exact search, on all cores
//! 3. for each setting of each method: overlap on all cores, time on one thread over fewer queries,
//!    the best of three passes
//! 4. keep the settings that no other beats in both
//!
//! Cost: a few seconds for a segment of some 100,000 documents.

use std::num::NonZeroUsize;
use std::time::Instant;

use quarry_index::Segment;
use quarry_index::calibration::{Calibration, Curve, Point, Setting};
use quarry_index::seismic::SMALL_SEGMENT;
use quarry_vectors::SparseVector;
use rayon::prelude::*;

use crate::made::{self, Kind};
use crate::outcome::SegmentHits;
use crate::overlap::mean_by;
use crate::plan::{self, Plan};
use crate::searcher::Searcher;
use crate::{Method, SearchError, SparseParams};

/// Results asked for.
const KS: [usize; 3] = [10, 100, 1000];
/// Queries of each kind that are made of documents, for the smallest k.
const MADE: usize = 512;
/// Fewest that are made.
const FEWEST: usize = 192;
/// Queries whose time is taken, and how often; no further pass begins after this many seconds, and
/// a pass ends after them when it has [`FEWEST_TIMED`].
const TIMED: usize = 48;
const PASSES: usize = 3;
const SECONDS: f64 = 0.05;
const FEWEST_TIMED: usize = 8;
/// Larger overlaps need no further points.
const ENOUGH: f64 = 0.998;
/// From one number of postings to the next, in hundredths: for the smallest k, and for larger ones.
const STEP: usize = 145;
const LARGE_STEP: usize = 210;
/// Candidates tried with each, in tenths of the default.
const CANDIDATES: [usize; 3] = [6, 10, 25];
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

/// Measures every segment that is large enough to have a choice; `None` for the others. `queries`
/// and the name of where they come from, or queries made of the documents themselves. `progress`
/// hears of every curve done and of how many there are.
///
/// # Errors
/// When the index has no vectors, or a search fails.
pub fn calibrate(
    searcher: &Searcher,
    queries: Option<(&str, &[SparseVector])>,
    seed: u64,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<Option<Calibration>>, SearchError> {
    let segments = searcher.index().segments();
    let worth = |s: &Segment| s.entry().rows > SMALL_SEGMENT && plan::has_lists(s);
    let kinds_of = |number: usize, segment: &Segment, k: NonZeroUsize| match queries {
        Some((_, given)) => Ok(vec![Kind::of(given.to_vec())]),
        None => made::of_documents(searcher, (number, segment), (made(segment, k), k), seed),
    };
    let mut out = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        if !worth(segment) {
            out.push(None);
            continue;
        }
        let (mut curves, mut count) = (Vec::new(), 0);
        for (at, k) in KS.into_iter().enumerate() {
            let Some(k) = NonZeroUsize::new(k.min(segment.documents().len())) else { continue };
            let kinds = kinds_of(number, segment, k)?;
            for (done, kind) in
                kinds.iter().enumerate().filter(|(_, kind)| !kind.queries.is_empty())
            {
                curves.extend(measure(searcher, (number, segment), kind, k)?);
                count = count.max(kind.queries.len());
                progress(at * kinds.len() + done + 1, KS.len() * kinds.len());
            }
        }
        out.push(Some(Calibration {
            source: queries.map_or("documents", |q| q.0).to_owned(),
            queries: u32::try_from(count).unwrap_or(u32::MAX),
            kernels: searcher.kernels().name().to_owned(),
            curves,
        }));
    }
    Ok(out)
}

/// Queries of a kind that are made. A larger k needs fewer for the same precision; so does a segment
/// where the exact search is a scan, which takes milliseconds.
fn made(segment: &Segment, k: NonZeroUsize) -> usize {
    let made = if segment.impact().is_some() { MADE } else { MADE / 2 };
    (made * KS[0] / k).max(FEWEST)
}

/// The curves of all methods for one kind of query and one k.
fn measure(
    searcher: &Searcher,
    segment: (usize, &Segment),
    kind: &Kind,
    k: NonZeroUsize,
) -> Result<Vec<Curve>, SearchError> {
    let bench = Bench { searcher, segment, kind, params: SparseParams::new(k) };
    let exact = bench.all(Plan::Exact)?;
    let curve = |method: Method, points: Vec<Point>| Curve {
        method: method.name().to_owned(),
        k: u32::try_from(k.get()).unwrap_or(u32::MAX),
        query_terms: kind.mean_terms,
        points: front(points),
    };
    let micros = bench.time(Plan::Exact)?;
    let exactly = Point { setting: Setting::default(), overlap: 1.0, micros };
    let mut curves = vec![curve(Method::Exact, vec![exactly])];
    if segment.1.impact().is_some() {
        let candidates = plan::candidates_for(k.get());
        let rows = segment.1.documents().len();
        let points = bench.grid(Method::Impact, candidates, rows, &exact)?;
        curves.push(curve(Method::Impact, points));
    }
    if let Some(clusters) = segment.1.clusters() {
        let candidates = plan::clusters_for(k.get());
        let rows = clusters.meta().clusters as usize;
        let points = bench.grid(Method::Clusters, candidates, rows, &exact)?;
        curves.push(curve(Method::Clusters, points));
    }
    if segment.1.seismic().is_some() {
        let mut points = Vec::new();
        for (query_cut, heap_factor) in SEISMIC {
            let setting = Setting {
                query_cut: Some(query_cut),
                heap_factor: Some(heap_factor),
                ..Setting::default()
            };
            points.push(bench.point(Method::Seismic, setting, &exact)?);
        }
        curves.push(curve(Method::Seismic, points));
    }
    Ok(curves)
}

/// Fewer postings and fewer candidates never take longer: what another process did to one
/// measurement is undone by those above it.
fn level(points: &mut [Point]) {
    let within =
        |a: &Setting, b: &Setting| a.postings <= b.postings && a.candidates <= b.candidates;
    for at in 0..points.len() {
        let setting = points[at].setting;
        let above = points.iter().filter(|p| within(&setting, &p.setting)).map(|p| p.micros);
        points[at].micros = above.fold(f64::INFINITY, f64::min);
    }
}

/// The points that no other point beats in both time and overlap, cheapest first.
fn front(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_by(|a, b| a.micros.total_cmp(&b.micros).then(b.overlap.total_cmp(&a.overlap)));
    let mut best = f64::NEG_INFINITY;
    points.retain(|p| {
        let better = p.overlap > best;
        best = best.max(p.overlap);
        better
    });
    points
}

/// One segment, one kind of query, one k.
struct Bench<'a> {
    searcher: &'a Searcher,
    segment: (usize, &'a Segment),
    kind: &'a Kind,
    params: SparseParams,
}

impl Bench<'_> {
    fn all(&self, plan: Plan) -> Result<Vec<SegmentHits>, SearchError> {
        let one = |q| self.searcher.planned(self.segment, plan, q, &self.params);
        self.kind.queries.par_iter().map(one).collect()
    }

    fn time(&self, plan: Plan) -> Result<f64, SearchError> {
        let timed = &self.kind.queries[..self.kind.queries.len().min(TIMED)];
        let begun = Instant::now();
        let late = || begun.elapsed().as_secs_f64() > SECONDS;
        let mut best = f64::INFINITY;
        for _ in 0..PASSES {
            let started = Instant::now();
            let mut count = 0u32;
            for query in timed {
                self.searcher.planned(self.segment, plan, query, &self.params)?;
                count += 1;
                if count as usize >= FEWEST_TIMED && late() {
                    break;
                }
            }
            best = best.min(started.elapsed().as_secs_f64() * 1e6 / f64::from(count.max(1)));
            if late() {
                break;
            }
        }
        Ok(best)
    }

    /// Points of a method that has postings over `rows` rows and candidates.
    fn grid(
        &self,
        method: Method,
        candidates: usize,
        rows: usize,
        exact: &[SegmentHits],
    ) -> Result<Vec<Point>, SearchError> {
        let mut points = Vec::new();
        let mut postings = (rows / 50).max(1000);
        let step = if self.params.k.get() <= KS[0] { STEP } else { LARGE_STEP };
        let mut enough = false;
        while postings < 4 * rows && !enough {
            // Many results take many documents as it is; clusters of them may be too few.
            let both = self.params.k.get() <= 100 || method == Method::Clusters;
            let shares: &[usize] = if both { &CANDIDATES } else { &[10] };
            for share in shares {
                let setting = Setting {
                    postings: u32::try_from(postings).ok(),
                    candidates: u32::try_from(candidates * share / 10).ok(),
                    ..Setting::default()
                };
                let point = self.point(method, setting, exact)?;
                points.push(point);
                enough |= point.overlap >= ENOUGH;
            }
            postings = postings * step / 100;
        }
        level(&mut points);
        Ok(points)
    }

    fn point(
        &self,
        method: Method,
        setting: Setting,
        exact: &[SegmentHits],
    ) -> Result<Point, SearchError> {
        let rows = self.segment.1.documents().len();
        let plan = plan::with(method, &self.params, setting, rows);
        let found = self.all(plan)?;
        let overlap = mean_by(&found, exact, |hits| hits.iter().map(|h| h.0).collect());
        Ok(Point { setting, overlap, micros: self.time(plan)? })
    }
}
