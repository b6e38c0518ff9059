//! The index measures itself: what each method's settings cost, and how well they agree with the
//! exact search.
//!
//! 1. for each segment and k, sample queries: a user's, or made of the segment's own documents, of
//!    several kinds (`made.rs`)  2. for each kind the exact search, on all cores
//! 3. for each setting of each method (`grid.rs`): overlap, and what is counted of its work, on all cores
//! 4. the time of some settings of all methods, on one thread and taking turns; of it what one of each
//!    thing that is counted takes (`costs.rs`), and from that what every setting costs
//! 5. keep the settings that no other beats in both
//!
//! Cost: a few seconds for a segment of some 100,000 documents.

use std::num::NonZeroUsize;

use quarry_index::Segment;
use quarry_index::calibration::{Calibration, Curve, Point, Setting, Units, Work};
use quarry_vectors::{EncodeQuery, SparseVector};

use crate::error::SearchError;
use crate::method::Method;
use crate::options::Options;
use crate::outcome::Stats;
use crate::planner::costs::{self, Cell, Stopwatch, Wall};
use crate::planner::grid::{Bench, Counted};
use crate::planner::made::{self, Kind};
use crate::planner::plan::{self, Facts, LEAST_MEASURED, Plan};
use crate::searcher::Searcher;

/// Results asked for.
const KS: [usize; 3] = [10, 100, 1000];
/// Queries of each kind that are made of documents, for the smallest k.
const MADE: usize = 512;
/// Fewest that are made.
const FEWEST: usize = 192;
/// Most queries made where a network encodes them, and documents per query there.
const MOST_BY_NETWORK: usize = 256;
const DOCUMENTS_A_QUERY: usize = 40;
/// Settings of a curve that are timed, their queries, and laps of each.
const TIMED_SETTINGS: usize = 3;
const TIMED: usize = 16;
const LAPS: usize = 5;
/// Microseconds that a query's searches of all settings take at most, or fewer queries are timed.
const MICROS: f64 = 50_000.0;
const FEWEST_TIMED: usize = 4;
/// How often cells that contradict the others are timed again.
const AGAIN: usize = 2;

/// The queries that an index is calibrated with.
#[derive(Clone, Copy)]
pub enum CalibrationQueries<'a> {
    /// A user's.
    Given {
        /// Where they come from: a name for reports.
        source: &'a str,
        /// Their vectors.
        vectors: &'a [SparseVector],
    },
    /// Texts made of the documents and encoded by the index's own query side.
    MadeTexts {
        /// The query side.
        encoder: &'a dyn EncodeQuery,
        /// Whether it runs a network, so that fewer queries are made.
        by_network: bool,
    },
    /// Vectors made of the documents' vectors.
    MadeVectors,
}

impl std::fmt::Debug for CalibrationQueries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.source())
    }
}

impl CalibrationQueries<'_> {
    fn source(&self) -> &str {
        match self {
            Self::Given { source, .. } => source,
            Self::MadeTexts { .. } => "documents, as texts encoded by the query side",
            Self::MadeVectors => "documents",
        }
    }
}

/// How far a calibration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalibrationProgress {
    /// Number of kinds of queries measured.
    pub done: usize,
    /// Number of kinds of queries in all, of the segment that is measured.
    pub total: usize,
}

/// Measures every segment that has a choice of methods; `None` for the others. `progress` is called after
/// each kind of query.
///
/// # Errors
/// When the index has no vectors, or a search or the query side fails.
pub fn calibrate(
    searcher: &Searcher,
    asked: CalibrationQueries<'_>,
    seed: u64,
    progress: &(dyn Fn(CalibrationProgress) + Sync),
) -> Result<Vec<Option<Calibration>>, SearchError> {
    calibrate_by(searcher, asked, seed, &mut Wall, progress)
}

/// [`calibrate`], with something else that tells time.
pub(crate) fn calibrate_by(
    searcher: &Searcher,
    asked: CalibrationQueries<'_>,
    seed: u64,
    watch: &mut dyn Stopwatch,
    progress: &(dyn Fn(CalibrationProgress) + Sync),
) -> Result<Vec<Option<Calibration>>, SearchError> {
    let mut out = Vec::new();
    for (number, segment) in searcher.index().segments().iter().enumerate() {
        let facts = Facts::of(segment);
        if facts.rows < LEAST_MEASURED || !facts.has_lists() {
            out.push(None);
            continue;
        }
        let mut measured = Vec::new();
        for (at, k) in KS.into_iter().enumerate() {
            let Some(k) = NonZeroUsize::new(k.min(facts.rows)) else { continue };
            let kinds = match asked {
                CalibrationQueries::Given { vectors, .. } => made::kinds_of(vectors),
                CalibrationQueries::MadeTexts { encoder, by_network } => {
                    let count = (made(&facts, k, by_network), k);
                    made::of_documents(searcher, (number, segment), count, Some(encoder), seed)?
                }
                CalibrationQueries::MadeVectors => {
                    let count = (made(&facts, k, false), k);
                    made::of_documents(searcher, (number, segment), count, None, seed)?
                }
            };
            let count = kinds.len();
            for (done, kind) in kinds.into_iter().enumerate().filter(|(_, k)| !k.queries.is_empty())
            {
                let params = Options::new(k);
                let bench = Bench { searcher, segment: (number, segment), kind: &kind, params };
                let curves = bench.curves()?;
                measured.push(Measured { kind, k, curves });
                progress(CalibrationProgress {
                    done: at * count + done + 1,
                    total: KS.len() * count,
                });
            }
        }
        out.push(Some(table(searcher, (number, segment), asked, &measured, watch)?));
    }
    Ok(out)
}

/// Queries of a kind that are made. A larger k needs fewer for the same precision; so does a segment
/// where the exact search is a scan, which takes milliseconds.
fn made(facts: &Facts<'_>, k: NonZeroUsize, by_network: bool) -> usize {
    let made = if facts.impact { MADE } else { MADE / 2 };
    let made = (made * KS[0] / k).max(FEWEST);
    let most = MOST_BY_NETWORK.min(facts.rows / DOCUMENTS_A_QUERY).max(1);
    if by_network { made.min(most) } else { made }
}

/// One kind of query and one k, with all that was counted.
struct Measured {
    kind: Kind,
    k: NonZeroUsize,
    curves: Vec<(Method, Vec<Counted>)>,
}

/// The table of a segment: what was counted, with what it costs.
fn table(
    searcher: &Searcher,
    segment: (usize, &Segment),
    asked: CalibrationQueries<'_>,
    measured: &[Measured],
    watch: &mut dyn Stopwatch,
) -> Result<Calibration, SearchError> {
    let units = time(searcher, segment, measured, watch)?;
    let mut curves = Vec::new();
    for Measured { kind, k, curves: counted } in measured {
        for (method, counted) in counted {
            let of_method = units.iter().find(|units| units.method == method.name());
            let point = |c: &Counted| Point {
                setting: c.setting,
                overlap: c.overlap,
                micros: of_method.map_or(0.0, |units| units.micros(&c.work)),
                work: Some(c.work),
            };
            curves.push(Curve {
                method: method.name().to_owned(),
                k: u32::try_from(k.get()).unwrap_or(u32::MAX),
                query_terms: kind.mean.terms,
                even_terms: Some(kind.mean.even_terms),
                points: front(counted.iter().map(point).collect()),
            });
        }
    }
    let most = measured.iter().map(|m| m.kind.queries.len()).max().unwrap_or_default();
    Ok(Calibration {
        source: asked.source().to_owned(),
        queries: u32::try_from(most).unwrap_or(u32::MAX),
        kernels: searcher.kernels().name().to_owned(),
        units,
        curves,
    })
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

/// A setting that is timed over some queries.
struct Timed<'a> {
    method: Method,
    plan: Plan,
    params: Options<'a>,
    queries: &'a [SparseVector],
    terms: f64,
    /// Of each query the fastest lap.
    fastest: Vec<f64>,
    did: Stats,
}

impl Timed<'_> {
    fn lap(
        &mut self,
        (searcher, segment): (&Searcher, (usize, &Segment)),
        watch: &mut dyn Stopwatch,
    ) -> Result<(), SearchError> {
        self.did = Stats::default();
        for (query, fastest) in self.queries.iter().zip(&mut self.fastest) {
            let (plan, params) = (self.plan, &self.params);
            let mut run = || Ok(searcher.planned(segment, plan, query, params)?.stats);
            let (micros, did) = watch.lap(self.method, &mut run)?;
            *fastest = fastest.min(micros);
            self.did.add(&did);
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    fn cell(&self) -> Cell {
        let queries = self.queries.len();
        let work = costs::mean(&self.did, self.terms, queries);
        Cell { work, micros: self.fastest.iter().sum::<f64>() / queries.max(1) as f64 }
    }
}

/// What one of each thing that is counted takes, by method.
fn time(
    searcher: &Searcher,
    segment: (usize, &Segment),
    measured: &[Measured],
    watch: &mut dyn Stopwatch,
) -> Result<Vec<Units>, SearchError> {
    let rows = segment.1.documents().len();
    let mut cells: Vec<Timed<'_>> = Vec::new();
    for Measured { kind, k, curves } in measured {
        let params = Options::new(*k);
        for (method, counted) in curves {
            for setting in spread(counted) {
                let queries = &kind.queries[..kind.queries.len().min(TIMED)];
                cells.push(Timed {
                    method: *method,
                    plan: plan::with(*method, &params, setting, rows),
                    params,
                    queries,
                    terms: made::mean_terms(queries),
                    fastest: vec![f64::INFINITY; queries.len()],
                    did: Stats::default(),
                });
            }
        }
    }
    let at = (searcher, segment);
    for lap in 0..LAPS {
        for cell in &mut cells {
            cell.lap(at, watch)?;
            if lap == 0 {
                cell.shorten();
            }
        }
    }
    let mut methods: Vec<Method> = Vec::new();
    for cell in &cells {
        if !methods.contains(&cell.method) {
            methods.push(cell.method);
        }
    }
    let fit = |cells: &[Timed<'_>]| -> Vec<Units> {
        let of = |m: Method| cells.iter().filter(move |c| c.method == m).map(Timed::cell);
        methods.iter().map(|m| costs::units(*m, &of(*m).collect::<Vec<_>>())).collect()
    };
    let mut units = fit(&cells);
    for _ in 0..AGAIN {
        let mut any = false;
        for cell in &mut cells {
            let own = units.iter().find(|u| u.method == cell.method.name());
            let measured = cell.cell();
            if own.is_some_and(|u| costs::contradicts(&measured, u.micros(&measured.work))) {
                any = true;
                for _ in 0..LAPS {
                    cell.lap(at, watch)?;
                }
            }
        }
        if !any {
            break;
        }
        units = fit(&cells);
    }
    Ok(units)
}

impl Timed<'_> {
    /// Fewer queries, where they take long.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of queries; a cast saturates"
    )]
    fn shorten(&mut self) {
        let mean = self.cell().micros.max(1.0);
        let queries = ((MICROS / mean) as usize).max(FEWEST_TIMED).min(self.queries.len());
        self.queries = &self.queries[..queries];
        self.fastest.truncate(queries);
        self.terms = made::mean_terms(self.queries);
    }
}

/// Settings from the least work to the most.
fn spread(counted: &[Counted]) -> Vec<Setting> {
    let mut by_work: Vec<&Counted> = counted.iter().collect();
    let work = |w: &Work| w.postings + 100.0 * w.documents + 100.0 * w.blocks;
    by_work.sort_by(|a, b| work(&a.work).total_cmp(&work(&b.work)));
    let last = by_work.len().saturating_sub(1);
    let mut places: Vec<usize> =
        (0..TIMED_SETTINGS).map(|at| at * last / (TIMED_SETTINGS - 1)).collect();
    places.dedup();
    places.into_iter().filter_map(|at| by_work.get(at)).map(|c| c.setting).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use quarry_indexer::Lists;

    use super::*;
    use crate::options::SparseOptions;
    use crate::planner::choose::{Shape, choose};
    use crate::planner::observed::Factors;
    use crate::random::Random;
    use crate::testing::built;

    /// Tells time from what was done, at times by hand; and what else the machine does.
    struct ByHand {
        random: Random,
        /// Of so many laps of a hundred others take part of the processor.
        disturbed: usize,
        /// All laps take so many times as long.
        slow: f64,
    }

    fn true_micros(method: Method, did: &Stats) -> f64 {
        let (query, posting, document, block) = match method {
            Method::Impact => (6.0, 0.002, 0.1, 0.0),
            Method::Clusters => (5.0, 0.001, 0.07, 0.0),
            Method::Seismic => (900.0, 0.0, 0.1, 0.02),
            _ => (90.0, 0.003, 0.1, 0.0),
        };
        query
            + posting * did.postings as f64
            + document * did.documents_scored as f64
            + block * did.blocks_estimated as f64
    }

    impl Stopwatch for ByHand {
        fn lap(
            &mut self,
            method: Method,
            run: &mut dyn FnMut() -> Result<Stats, SearchError>,
        ) -> Result<(f64, Stats), SearchError> {
            let did = run()?;
            let mut micros = true_micros(method, &did) * self.slow;
            if self.random.below(100) < self.disturbed {
                micros *= 1.0 + self.random.below(3_000) as f64 / 100.0;
            }
            Ok((micros, did))
        }
    }

    /// Documents of 40 topics with terms of their own, and queries of some words of a topic.
    fn collection(folder: &std::path::Path) -> (Searcher, Vec<SparseVector>) {
        let mut random = Random(3);
        let mut vector = |terms: usize, topic: usize| {
            let mut pairs: Vec<(u32, f32)> = Vec::new();
            for _ in 0..terms {
                let near = random.below(3) > 0;
                let term = if near { topic * 20 + random.below(20) } else { random.below(800) };
                pairs.push((u32::try_from(term).unwrap(), 1.0 + random.below(200) as f32));
            }
            pairs.sort_by_key(|p| p.0);
            pairs.dedup_by_key(|p| p.0);
            SparseVector::from_pairs(pairs).unwrap()
        };
        let documents: Vec<_> = (0..4_000).map(|n| (n.to_string(), vector(30, n % 40))).collect();
        let queries = (0..40).map(|n| vector(12, n)).collect();
        let lists = Lists::These { impact: true, seismic: true, clusters: true };
        (built(folder, lists, documents.into_iter()), queries)
    }

    fn measured(searcher: &Searcher, queries: &[SparseVector], by: (usize, f64)) -> Calibration {
        let mut watch = ByHand { random: Random(7), disturbed: by.0, slow: by.1 };
        let asked = CalibrationQueries::Given { source: "by hand", vectors: queries };
        let tables = calibrate_by(searcher, asked, 5, &mut watch, &|_| {}).unwrap();
        tables.into_iter().next().unwrap().unwrap()
    }

    #[test]
    fn a_table_is_counts_times_units_and_no_load_changes_the_plan() {
        let folder = tempfile::tempdir().unwrap();
        let (searcher, queries) = collection(folder.path());
        let quiet = measured(&searcher, &queries, (0, 1.0));
        let methods: Vec<&str> = quiet.units.iter().map(|u| u.method.as_str()).collect();
        assert_eq!(methods, ["exact", "impact", "clusters", "seismic"]);
        for curve in &quiet.curves {
            let units = quiet.units.iter().find(|u| u.method == curve.method).unwrap();
            for point in &curve.points {
                let work = point.work.unwrap();
                assert_eq!(point.micros, units.micros(&work));
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "counts"
                )]
                let did = Stats {
                    documents_scored: work.documents.round() as u64,
                    blocks_estimated: work.blocks.round() as u64,
                    blocks_visited: 0,
                    postings: work.postings.round() as u64,
                };
                let truth = true_micros(Method::named(&curve.method).unwrap(), &did);
                let ratio = point.micros / truth;
                assert!((0.9..1.1).contains(&ratio), "{ratio} of {} {point:?}", curve.method);
            }
            assert!(curve.points.windows(2).all(|w| w[0].micros <= w[1].micros));
            assert!(curve.points.windows(2).all(|w| w[0].overlap < w[1].overlap));
        }
        // Half of all laps disturbed, up to 31 times as long; and a machine that is always slow.
        for load in [(50, 1.0), (0, 2.5), (30, 2.5)] {
            let busy = measured(&searcher, &queries, load);
            for k in [10, 100, 1_000] {
                for overlap in [0.9, 0.95, 0.97, 0.99] {
                    for only in [None, Some(Method::Impact), Some(Method::Clusters)] {
                        let k = NonZeroUsize::new(k).unwrap();
                        let params = Options {
                            sparse: SparseOptions { overlap, ..SparseOptions::default() },
                            ..Options::new(k)
                        };
                        let plan = |table: &Calibration| {
                            let shape = Shape::of(&queries[0]);
                            let found = choose(table, &params, &shape, only, &Factors::NONE);
                            found.map(|(curve, point)| (curve.method.clone(), point.setting))
                        };
                        assert_eq!(plan(&busy), plan(&quiet), "{load:?} {k} {overlap} {only:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn small_segments_are_measured_and_tiny_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (searcher, queries) = collection(folder.path());
        assert!(searcher.index().segments()[0].entry().rows < quarry_index::seismic::SMALL_SEGMENT);
        let table = measured(&searcher, &queries, (0, 1.0));
        assert_eq!(table.curves.len(), 12, "four methods, three k");
        let folder = tempfile::tempdir().unwrap();
        let few = (0..200u32).map(|n| {
            (n.to_string(), SparseVector::from_pairs([(n % 9, 1.0), (9 + n, 2.0)]).unwrap())
        });
        let searcher = built(folder.path(), Lists::IMPACT, few);
        let tables = calibrate(&searcher, CalibrationQueries::MadeVectors, 5, &|_| {}).unwrap();
        assert_eq!(tables, [None]);
    }
}
