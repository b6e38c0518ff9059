//! Fuses the runs of several systems into one.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use quarry_datasets::Run;
use quarry_vectors::{ScoredDoc, printed};

use crate::EngineError;
use crate::fusion::{DEFAULT_RRF_K, DEFAULT_WINDOW, FusionMethod, List, Scored, fuse, is_weight};

/// A run and its weight.
#[derive(Debug, Clone, Copy)]
pub struct WeightedRun<'a> {
    /// The run.
    pub run: &'a Run,
    /// Its weight: 0, or [`LEAST_WEIGHT`](crate::LEAST_WEIGHT) to [`MOST_WEIGHT`](crate::MOST_WEIGHT). With 0 it is as if absent.
    pub weight: f64,
}

/// Options of fusing runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FuseOptions {
    /// How scores are brought to one scale.
    pub method: FusionMethod,
    /// Number of best hits of each ranking that are fused.
    pub window: NonZeroUsize,
    /// For [`FusionMethod::Rrf`]: the constant that is added to ranks; finite, at least 0.
    pub rrf_k: f64,
    /// Number of hits kept in each fused ranking.
    pub depth: NonZeroUsize,
}

impl Default for FuseOptions {
    fn default() -> Self {
        let window = NonZeroUsize::new(DEFAULT_WINDOW).unwrap_or(NonZeroUsize::MIN);
        Self { method: FusionMethod::Max, window, rrf_k: DEFAULT_RRF_K, depth: window }
    }
}

/// Fuses the rankings of every query in any of the runs; queries keep their order of first occurrence. Among
/// documents with equal fused scores, each written score is one float below the last, so that the order is
/// kept.
///
/// # Errors
/// [`EngineError::NotAboveZero`]; [`EngineError::NoWeight`] if a weight is below 0, too large or not a number,
/// or all are 0.
pub fn fuse_runs(
    tag: &str,
    runs: &[WeightedRun<'_>],
    options: &FuseOptions,
) -> Result<Run, EngineError> {
    let weights: Vec<f64> = runs.iter().map(|run| run.weight).collect();
    if !weights.iter().all(|weight| is_weight(*weight)) || weights.iter().all(|w| *w == 0.0) {
        return Err(EngineError::NoWeight);
    }
    let mut fused = Run::new(tag);
    let mut seen = HashSet::new();
    for query in runs.iter().flat_map(|run| run.run.queries()) {
        if !seen.insert(query) {
            continue;
        }
        let lists: Vec<List<&str>> = runs
            .iter()
            .zip(&weights)
            .map(|(run, weight)| List {
                weight: *weight,
                hits: cut(run.run, query, options.window),
                scored: Vec::new(),
            })
            .collect();
        let found = fuse(&lists, options.method, options.rrf_k, |a, b| b.cmp(a));
        let mut found = found.map_err(|error| EngineError::NotAboveZero {
            list: format!("ranking {}", error.list + 1),
            query: Some(query.clone()),
            best: error.best,
        })?;
        found.truncate(options.depth.get());
        let scores = printed(&found.iter().map(|hit| hit.score).collect::<Vec<_>>());
        let scored = found.iter().zip(scores);
        let hits = scored.map(|(hit, score)| ScoredDoc { id: hit.key.to_owned(), score });
        fused.insert(query, hits.collect())?;
    }
    Ok(fused)
}

/// The `window` best hits of a query's ranking.
fn cut<'a>(run: &'a Run, query: &str, window: NonZeroUsize) -> Vec<Scored<&'a str>> {
    let ranking = run.ranking(query).unwrap_or_default().iter().take(window.get());
    ranking.map(|hit| Scored { key: hit.id.as_str(), score: hit.score }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn run(rankings: &[(&str, &[(&str, f64)])]) -> Run {
        let mut run = Run::new("x");
        for (query, hits) in rankings {
            let hits = hits.iter().map(|(id, score)| ScoredDoc { id: (*id).into(), score: *score });
            run.insert(query, hits.collect()).unwrap();
        }
        run
    }

    #[test]
    fn queries_of_all_runs_are_fused_and_equal_scores_keep_their_order() {
        let a = run(&[("1", &[("x", 4.0), ("a", 2.0)]), ("2", &[("y", 1.0)])]);
        let b = run(&[("1", &[("z", 9.0), ("a", 9.0)]), ("3", &[("w", 2.0)])]);
        let both = [WeightedRun { run: &a, weight: 1.0 }, WeightedRun { run: &b, weight: 0.5 }];
        let fused = fuse_runs("f", &both, &FuseOptions::default()).unwrap();
        assert_eq!(fused.queries(), ["1", "2", "3"]);
        let ids = |query| -> Vec<&str> {
            fused.ranking(query).unwrap().iter().map(|hit| hit.id.as_str()).collect()
        };
        // x and a both score 1; x is first, since the heavier run has it.
        assert_eq!((ids("1"), ids("2"), ids("3")), (vec!["x", "a", "z"], vec!["y"], vec!["w"]));
        let scores: Vec<f64> = fused.ranking("1").unwrap().iter().map(|hit| hit.score).collect();
        assert!(scores[0] == 1.0 && scores[1] < 1.0 && scores[1] > 0.999_999, "{scores:?}");
    }

    #[test]
    fn weights_and_scores_that_say_nothing_are_refused() {
        let a = run(&[("1", &[("x", -4.0)])]);
        let with =
            |weight| fuse_runs("f", &[WeightedRun { run: &a, weight }], &FuseOptions::default());
        for weight in [0.0, -1.0, f64::NAN, f64::INFINITY, 2e6] {
            assert!(matches!(with(weight), Err(EngineError::NoWeight)));
        }
        assert!(with(1.0).unwrap_err().to_string().contains("query `1`"));
    }
}
