//! One segment's dense vectors: which way they are searched, and the search.
//!
//! 1. pick the beam: the caller's, or the narrowest that was measured to reach the wanted overlap  2. scan, where there
//!    is no graph, no measured beam suffices, or so few rows may be found that a walk would score more
//! 3. walk  4. scan after all where the walk found fewer than k rows and there are more
//!
//! A row found by a walk has the score that the scan gives it.

use std::cell::Cell;
use std::time::Instant;

use quarry_index::Segment;
use quarry_index::dense::DenseStore;
use quarry_index::neighbours::MeasuredBeam;
use quarry_vectors::DocId;

use crate::error::SearchError;
use crate::filter::rows::RowSet;
use crate::kernels::Kernels;
use crate::method::Method;
use crate::methods::collect::{Scored, SegmentHits, best};
use crate::methods::dense::query::{DenseQuery, DenseScorer};
use crate::methods::dense::scan;
use crate::methods::dense::walk::{Walk, WalkScratch};
use crate::options::{DenseMethod, DenseSearchOptions, Options};
use crate::outcome::Stats;

/// What scoring a row costs in a walk, in rows of a scan: a walk waits for memory.
const WALK_COST: f64 = 2.0;
/// Rows scored for each place of a beam that was not measured, at least.
const SCORED_A_PLACE: f64 = 8.0;
/// Expansions between two looks at the clock.
const LOOK: u32 = 32;

/// A segment's dense vectors, and what its searches work with.
pub(crate) struct DenseSegment<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) store: &'a DenseStore,
    /// The rows that may be found; `None` for all.
    pub(crate) allowed: Option<&'a RowSet>,
    pub(crate) kernels: Kernels,
}

/// A walk's width, and the rows that it scores by estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Beam {
    width: usize,
    scored: f64,
}

/// The k best rows, best first, and how they were found. Walks begin at `seeds` too.
pub(crate) fn search(
    of: &DenseSegment<'_>,
    query: &DenseQuery,
    seeds: impl Iterator<Item = u32>,
    params: &Options<'_>,
    (scratch, stats): (&mut WalkScratch, &mut Stats),
) -> Result<(SegmentHits, Method), SearchError> {
    let scorer = DenseScorer::new(of.store.rows(), of.store.meta().stride, of.kernels);
    let rows = of.store.documents();
    let k = params.k.get();
    let graph = of.segment.neighbours().filter(|_| params.dense.method == DenseMethod::Graph);
    if let Some(graph) = graph
        && let Some(beam) = beam(&graph.meta().measured, k, &params.dense)
        && is_cheaper(beam, of.allowed.map_or(rows, RowSet::len), rows)
    {
        let walk = Walk { graph: graph.graph()?, scorer, rows, offsets: None, beam: beam.width };
        let expansions = Cell::new(0u32);
        let stops = || {
            expansions.set(expansions.get().wrapping_add(1));
            expansions.get().is_multiple_of(LOOK)
                && params.deadline.is_some_and(|deadline| Instant::now() >= deadline)
        };
        let admits = |row: u32| {
            of.store.has(DocId(row)) && of.allowed.is_none_or(|set| set.contains(DocId(row)))
        };
        let seeds = seeds.filter(|row| of.store.has(DocId(*row)));
        let scored = walk
            .run(query, seeds, admits, stops, scratch)
            .map_err(|_stopped| SearchError::Timeout)?;
        stats.documents_scored += scored;
        let mut found: Vec<Scored> = scratch
            .found()
            .map(|near| Scored { score: near.score, doc: DocId(near.row) })
            .collect();
        let vectors = usize::try_from(of.store.meta().vectors).unwrap_or(usize::MAX);
        if found.len() >= k.min(of.allowed.map_or(vectors, RowSet::len)) {
            return Ok((best(k, &mut found, of.segment.documents()), Method::Graph));
        }
    }
    let found = scan::search((of.segment, of.allowed), (of.store, scorer), query, params, stats)?;
    Ok((found, Method::Scan))
}

/// Whether a walk costs less than a scan of the rows that may be found: the fewer these are, the more rows it passes.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn is_cheaper(beam: Beam, allowed: usize, rows: usize) -> bool {
    let allowed = allowed as f64;
    beam.scored * WALK_COST * rows as f64 <= allowed * allowed
}

/// The narrowest beam that reaches the overlap, by those measured for the next larger k; of a k beyond these, as much
/// wider as it is larger. `None` if none does.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn beam(measured: &[MeasuredBeam], k: usize, how: &DenseSearchOptions) -> Option<Beam> {
    if let Some(own) = how.beam {
        let width = own.get().max(k);
        return Some(Beam { width, scored: width as f64 * SCORED_A_PLACE });
    }
    let of_k = |m: &&MeasuredBeam| m.k as usize >= k;
    let of = measured.iter().find(of_k).or(measured.last())?.k;
    let enough = |m: &&MeasuredBeam| m.k == of && m.overlap >= f64::from(how.overlap);
    let found = measured.iter().find(enough)?;
    let wider = k.div_ceil(of as usize).max(1);
    let width = (found.beam as usize).saturating_mul(wider).max(k);
    Some(Beam { width, scored: found.scored * wider as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_beam_that_suffices() {
        let of = |k, beam, overlap| MeasuredBeam { k, beam, overlap, scored: f64::from(beam) };
        let measured = [of(10, 16, 0.9), of(10, 32, 0.95), of(10, 64, 0.99), of(100, 128, 0.97)];
        let how = |overlap| DenseSearchOptions { overlap, ..DenseSearchOptions::default() };
        let width = |k, overlap| beam(&measured, k, &how(overlap)).map(|beam| beam.width);
        assert_eq!(width(10, 0.95), Some(32));
        assert_eq!(width(3, 0.96), Some(64));
        assert_eq!(width(10, 0.995), None);
        assert_eq!(width(11, 0.96), Some(128));
        assert_eq!(width(250, 0.96), Some(384));
        assert_eq!(beam(&[], 10, &how(0.5)), None);
        let own = DenseSearchOptions { beam: 7.try_into().ok(), ..how(1.0) };
        assert_eq!(beam(&[], 10, &own).map(|beam| beam.width), Some(10));
    }

    #[test]
    fn few_rows_are_scanned() {
        let beam = Beam { width: 64, scored: 1500.0 };
        assert!(is_cheaper(beam, 300_000, 300_000));
        assert!(!is_cheaper(beam, 1_000, 300_000));
        assert!(!is_cheaper(beam, 2_000, 2_000));
    }
}
