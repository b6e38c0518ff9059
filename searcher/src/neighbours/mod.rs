//! The graph of near rows of a segment's dense vectors: made, and measured.

mod build;
mod measure;
mod prune;

use quarry_index::Segment;
use quarry_index::neighbours::{MeasuredBeam, NeighbourGraph, NeighbourParams};
use quarry_vectors::DocId;

use self::build::{BuildParams, Vectors};
use crate::kernels::Kernels;
use crate::methods::dense::query::DenseScorer;

/// Neighbours of a row, and rows kept while they are searched, by default.
pub const DEFAULT_NEIGHBOURS: NeighbourParams = NeighbourParams { degree: 32, beam: 96 };
/// A segment of fewer vectors gets no graph: scanning it takes a tenth of a millisecond.
pub const LEAST_GRAPH: u64 = 4096;

/// A graph, and what walks over it found and cost.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeGraph {
    /// The graph.
    pub graph: NeighbourGraph,
    /// Measured beams, ascending by k and beam.
    pub measured: Vec<MeasuredBeam>,
}

/// Makes the graph of a segment's dense vectors on all cores and measures it; `None` for a segment of fewer than
/// [`LEAST_GRAPH`] vectors. The same for equal vectors, parameters and seed. `progress` hears how many rows are in.
///
/// Cost: some 3,000 comparisons for each row; memory 4 bytes for each place of a neighbour and up to
/// 40 for each row.
#[must_use]
pub fn make_graph(
    segment: &Segment,
    params: NeighbourParams,
    seed: u64,
    progress: &(dyn Fn(usize) + Sync),
) -> Option<MadeGraph> {
    let store = segment.dense().filter(|store| store.meta().vectors >= LEAST_GRAPH)?;
    let scorer = DenseScorer::new(store.rows(), store.meta().stride, Kernels::detect());
    let rows = u32::try_from(store.documents()).unwrap_or(u32::MAX);
    let order: Vec<u32> = (0..rows).filter(|row| store.has(DocId(*row))).collect();
    let vectors = Vectors { scorer, rows: store.documents() };
    let how = BuildParams { degree: params.degree as usize, beam: params.beam as usize, seed };
    let graph = build::build(vectors, &order, how, progress);
    let measured = measure::measure(vectors, store, (&graph, &order), seed);
    Some(MadeGraph { graph, measured })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::dense::query::{DenseQuery, ScoreBuffers};
    use crate::methods::dense::walk::{Near, Walk, WalkScratch};
    use crate::random::Random;
    use proptest::prelude::*;
    use quarry_index::dense::DenseRows;
    use quarry_index::neighbours::NONE;

    const STRIDE: usize = 32;

    /// Vectors of few different values, so that many are equal.
    fn vectors(rows: usize, seed: u64) -> Vec<f32> {
        let mut random = Random(seed);
        let mut one = |at: usize| match at % STRIDE {
            0..4 => f32::from(u8::try_from(random.below(4)).unwrap()) - 1.5,
            _ => 0.0,
        };
        (0..rows * STRIDE).map(&mut one).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_walk_that_keeps_all_finds_the_best(
            rows in 1usize..400,
            degree in 8usize..16,
            seed: u64,
        ) {
            let values = vectors(rows, seed);
            let scorer = DenseScorer::new(DenseRows::Fp32(&values), STRIDE, Kernels::detect());
            let vectors = Vectors { scorer, rows };
            let order: Vec<u32> = (0..u32::try_from(rows).unwrap()).collect();
            let how = BuildParams { degree, beam: 24, seed };
            let graph = build::build(vectors, &order, how, &|_| {});
            for row in 0..u32::try_from(rows).unwrap() {
                let of = graph.view().of(row);
                let some: Vec<u32> = of.iter().copied().take_while(|row| *row != NONE).collect();
                let distinct: std::collections::BTreeSet<&u32> = some.iter().collect();
                prop_assert!(distinct.len() == some.len() && !some.contains(&row));
                prop_assert!(of[some.len()..].iter().all(|row| *row == NONE));
            }
            let mut query = DenseQuery::default();
            scorer.query_of(order[rows / 2], &mut query);
            let (mut scores, mut scratch) = (Vec::new(), WalkScratch::default());
            scorer.score(&query, &order, &mut ScoreBuffers::default(), &mut scores);
            let all = order.iter().zip(&scores).map(|(row, score)| Near { score: *score, row: *row });
            let walk = Walk { graph: graph.view(), scorer, rows, offsets: None, beam: rows };
            // From every row, so that none is out of reach.
            for _ in 0..2 {
                let seeds = order.iter().copied();
                let scored = walk.run(&query, seeds, |_| true, || false, &mut scratch).unwrap();
                prop_assert_eq!(scored, rows as u64);
                let mut found: Vec<Near> = scratch.found().collect();
                found.sort_unstable();
                let mut wanted: Vec<Near> = all.clone().collect();
                wanted.sort_unstable();
                prop_assert_eq!(found, wanted);
            }
            // From the entries nearly all are found, and of equal ones all or none.
            let none = std::iter::empty();
            walk.run(&query, none, |_| true, || false, &mut scratch).unwrap();
            let found: std::collections::BTreeSet<u32> =
                scratch.found().map(|near| near.row).collect();
            prop_assert!(found.len() * 10 >= rows * 9, "{} of {rows}", found.len());
            let of = |row: &u32| &values[*row as usize * STRIDE..][..STRIDE];
            for row in order.iter().filter(|row| !found.contains(row)) {
                prop_assert!(found.iter().all(|other| of(other) != of(row)));
            }
            // Rows that are not admitted are passed through.
            let even = |row: u32| row.is_multiple_of(2);
            walk.run(&query, order.iter().copied(), even, || false, &mut scratch).unwrap();
            prop_assert!(scratch.found().all(|near| even(near.row)));
            prop_assert_eq!(scratch.found().count(), rows.div_ceil(2));
            prop_assert!(walk.run(&query, order.iter().copied(), even, || true, &mut scratch).is_err());
        }
    }
}
