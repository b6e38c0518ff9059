//! Weights of a fusion, chosen by judged queries, and what they gain on queries that did not choose them.
//!
//! 1. of each combination of a grid of weights: the runs fused, each query's measure  2. the combination with the
//!    best mean  3. in five folds: the best by the other four, its values in this one; their mean is what may be
//!    expected of queries without judgements (five-fold cross-validation)

use quarry_datasets::measures::{EvaluateOptions, Measure, evaluate};
use quarry_datasets::{Qrels, Run};
use rayon::prelude::*;

use super::fused::{FuseOptions, WeightedRun, fuse_runs};
use crate::EngineError;

/// Weights tried for each run beside the first, which keeps 1.
const GRID: [f64; 13] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0];
/// Parts of the queries; each is judged by weights that the others chose.
const FOLDS: usize = 5;

/// Weights, and what a measure says of them.
#[derive(Debug, Clone, PartialEq)]
pub struct TunedWeights {
    /// The weights with the best mean, in the order of the runs; the first is 1.
    pub weights: Vec<f64>,
    /// Their mean over all judged queries: what they were chosen by, so that it promises too much.
    pub chosen: f64,
    /// The mean of queries by weights that others chose.
    pub left_out: f64,
    /// The mean of the weights given.
    pub given: f64,
    /// The mean of each run alone.
    pub alone: Vec<f64>,
    /// Judged queries.
    pub queries: usize,
}

/// Chooses weights for runs. Of combinations with equal means the one that stands nearest to the given weights, by
/// the sum of differences, is kept, so that what no query tells apart stays as it was.
///
/// Cost: as many fusions as there are combinations, 13 for two runs and 169 for three, over all cores.
///
/// # Errors
/// As [`fuse_runs`]; [`EngineError::TooFewJudged`] with fewer than two judged queries a fold.
pub fn tune_weights(
    runs: &[WeightedRun<'_>],
    qrels: &Qrels,
    measure: Measure,
    how: &FuseOptions,
    options: EvaluateOptions<'_>,
) -> Result<TunedWeights, EngineError> {
    let judged = qrels.queries().len();
    if judged < 2 * FOLDS {
        return Err(EngineError::TooFewJudged { found: judged, needed: 2 * FOLDS });
    }
    let values = |weights: &[f64]| -> Result<Vec<f64>, EngineError> {
        let pairs = runs.iter().zip(weights);
        let weighted: Vec<WeightedRun<'_>> =
            pairs.map(|(run, weight)| WeightedRun { run: run.run, weight: *weight }).collect();
        of_run(&fuse_runs("tuned", &weighted, how)?, qrels, measure, options)
    };
    let given: Vec<f64> = runs.iter().map(|run| run.weight).collect();
    let mut combinations = combinations(runs.len());
    // Only their proportions count.
    let first = given.first().copied().filter(|weight| *weight > 0.0).unwrap_or(1.0);
    let distance = |weights: &[f64]| -> f64 {
        weights.iter().zip(&given).map(|(a, b)| (a - b / first).abs()).sum()
    };
    combinations.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
    let tried: Vec<Vec<f64>> =
        combinations.par_iter().map(|weights| values(weights)).collect::<Result<_, _>>()?;
    let best = best_of(&tried, |_| true);
    let mut left_out = 0.0;
    for fold in 0..FOLDS {
        let here = |query: usize| query % FOLDS == fold;
        let by_others = best_of(&tried, |query| !here(query));
        left_out +=
            tried[by_others].iter().enumerate().filter(|(q, _)| here(*q)).map(|v| v.1).sum::<f64>();
    }
    let alone = runs.iter().map(|run| Ok(mean(&of_run(run.run, qrels, measure, options)?)));
    Ok(TunedWeights {
        chosen: mean(&tried[best]),
        left_out: left_out / count(judged),
        given: mean(&values(&given)?),
        alone: alone.collect::<Result<_, EngineError>>()?,
        weights: combinations.swap_remove(best),
        queries: judged,
    })
}

/// All weights of `runs` runs, of which the first has 1.
fn combinations(runs: usize) -> Vec<Vec<f64>> {
    let mut all = vec![vec![1.0]];
    for _ in 1..runs {
        let longer = |weights: &Vec<f64>| {
            let weights = weights.clone();
            GRID.into_iter().map(move |weight| [&weights[..], &[weight]].concat())
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// The combination with the best sum over the queries wanted; the first of equal ones.
fn best_of(tried: &[Vec<f64>], wanted: impl Fn(usize) -> bool) -> usize {
    let sum = |values: &[f64]| -> f64 {
        values.iter().enumerate().filter(|(query, _)| wanted(*query)).map(|(_, value)| value).sum()
    };
    let mut best = 0;
    let mut highest = f64::NEG_INFINITY;
    for (at, values) in tried.iter().enumerate() {
        let sum = sum(values);
        if sum > highest {
            (best, highest) = (at, sum);
        }
    }
    best
}

/// Each judged query's value.
fn of_run(
    run: &Run,
    qrels: &Qrels,
    measure: Measure,
    options: EvaluateOptions<'_>,
) -> Result<Vec<f64>, EngineError> {
    let evaluation = evaluate(run, qrels, &[measure], options);
    evaluation.values(0).map(<[f64]>::to_vec).ok_or(EngineError::NoAnswer)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / count(values.len())
}

#[expect(clippy::cast_precision_loss, reason = "a count of queries")]
fn count(queries: usize) -> f64 {
    queries as f64
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use super::*;
    use quarry_vectors::ScoredDoc;

    /// Twenty queries: the first run has the relevant document second, the second run has it first.
    #[test]
    fn the_run_that_is_right_gets_the_weight_and_queries_left_out_say_so() {
        let (mut wrong, mut right, mut qrels) = (Run::new("a"), Run::new("b"), Qrels::default());
        let hit = |id: &str, score| ScoredDoc { id: id.to_owned(), score };
        for query in (0..20).map(|q| format!("q{q}")) {
            wrong.insert(&query, vec![hit("x", 2.0), hit("y", 1.0)]).unwrap();
            right.insert(&query, vec![hit("y", 2.0), hit("z", 1.0)]).unwrap();
            qrels.insert(&query, "y", 1);
        }
        let runs =
            [WeightedRun { run: &wrong, weight: 1.0 }, WeightedRun { run: &right, weight: 0.3 }];
        let measure: Measure = "RR@10".parse().unwrap();
        let (how, options) = (FuseOptions::default(), EvaluateOptions::default());
        let tuned = tune_weights(&runs, &qrels, measure, &how, options).unwrap();
        // x has 1, y .5 and the weight of the second run.
        assert_eq!(tuned.weights, [1.0, 0.7]);
        assert_eq!((tuned.chosen, tuned.left_out, tuned.given), (1.0, 1.0, 0.5));
        assert_eq!((tuned.alone, tuned.queries), (vec![0.5, 1.0], 20));
        // Queries that tell no weights apart leave them as they are.
        let same =
            [WeightedRun { run: &right, weight: 1.0 }, WeightedRun { run: &right, weight: 0.3 }];
        assert_eq!(
            tune_weights(&same, &qrels, measure, &how, options).unwrap().weights,
            [1.0, 0.3]
        );
        let few = qrels.only(|query| query.len() == 2 && query < "q9");
        let error = tune_weights(&runs, &few, measure, &how, options).unwrap_err();
        assert!(matches!(error, EngineError::TooFewJudged { found: 9, needed: 10 }), "{error}");
    }

    #[test]
    fn all_weights_are_tried() {
        assert_eq!(combinations(1), [[1.0]]);
        assert_eq!((combinations(2).len(), combinations(3).len()), (13, 169));
    }
}
