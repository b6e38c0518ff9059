//! Measures of rankings by judgements, and overlap with the exact search.
//!
//! Means are over all judged queries; a query without a ranking counts as zero. How well the judgements match
//! the index or the run is counted too, since judgements of another collection would silently give zeros.

mod fused;
mod given;
mod judged;
mod runs;
mod tuned;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use quarry_datasets::measures::evaluate;
use quarry_searcher::{
    ChannelQuery, DenseMethod, DenseSearchOptions, Method, Options, Outcome, Searcher,
    SparseOptions, mean_overlap,
};
use quarry_vectors::{DenseVector, SparseVector};

use crate::EngineError;

pub use fused::{FuseOptions, WeightedRun, fuse_runs};
pub use judged::{IndexJudgements, RunJudgements};
// Types that callers need for these.
pub use quarry_datasets::measures::{EvaluateOptions, Evaluation, Measure};
pub use quarry_datasets::{Ignored, Qrels, QueryOptions, Run, open_qrels, open_queries};
pub use quarry_vectors::ScoredDoc;
pub use runs::{followed, run_of};
pub use tuned::{TunedWeights, tune_weights};

/// Fewest hits retrieved per query.
const LEAST_DEPTH: usize = 100;
/// Hits retrieved per query for a measure without a cutoff.
const FULL_DEPTH: usize = 1000;

/// A run evaluated with judgements.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// The measures, their means, and the number of queries without a ranking.
    pub evaluation: Evaluation,
    /// How well the judgements match the run.
    pub judged: RunJudgements,
}

/// Computes measures of a run.
#[must_use]
pub fn evaluate_run(
    run: &Run,
    qrels: &Qrels,
    measures: &[Measure],
    options: EvaluateOptions<'_>,
) -> Evaluated {
    Evaluated {
        evaluation: evaluate(run, qrels, measures, options),
        judged: RunJudgements::of(run, qrels),
    }
}

/// Number of hits to retrieve per query for these measures: the largest cutoff, but at least 100; 1,000 if
/// a measure has no cutoff.
#[must_use]
pub fn depth(measures: &[Measure]) -> NonZeroUsize {
    let of = |measure: &Measure| {
        measure.cutoff().map_or(FULL_DEPTH, |c| usize::try_from(c.get()).unwrap_or(FULL_DEPTH))
    };
    let deepest = measures.iter().map(of).fold(LEAST_DEPTH, usize::max);
    NonZeroUsize::new(deepest).unwrap_or(NonZeroUsize::MIN)
}

/// How many of the exact hits a search finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlap {
    /// Mean share of the exact top k that was found, over queries with any hits (0 to 1). A hit whose score
    /// equals the k-th exact score counts as found, even if another document of this score is in the top k.
    pub share: f64,
    /// The weights of the exact ranking.
    pub judged_by: JudgedBy,
}

/// The weights that an exact ranking uses.
#[derive(Debug, Clone, PartialEq)]
pub enum JudgedBy {
    /// The original ones, in 64 bits, from the file of vectors that the index was built from.
    Given {
        /// The file.
        path: PathBuf,
    },
    /// The stored ones.
    Stored {
        /// Bound on their relative error.
        max_relative_error: f64,
        /// Why the original ones were not used; `None` with a filter, with which they are never used.
        why: Option<String>,
    },
}

/// Searches with `options` and exactly, and compares the results. `options.k` is the depth compared.
///
/// Cost: both searches; if the file of vectors that the index was built from is still there, one pass over
/// it in place of the exact search.
///
/// # Errors
/// If a search fails. A file of vectors that cannot be used is not an error; the result says why.
pub fn overlap(
    searcher: &Searcher,
    vectors: &[SparseVector],
    options: &Options<'_>,
) -> Result<Overlap, EngineError> {
    let queries: Vec<ChannelQuery<'_>> = vectors.iter().map(ChannelQuery::Sparse).collect();
    let found = searcher.search_batch(&queries, options)?;
    let mut why = None;
    if options.filter.is_none() {
        match given::judge(searcher, (vectors, &found), options.k.get()) {
            Ok((path, share)) => return Ok(Overlap { share, judged_by: JudgedBy::Given { path } }),
            Err(reason) => why = Some(reason),
        }
    }
    let sparse = SparseOptions { method: Method::Exact, ..options.sparse };
    let exact: Vec<Outcome> = searcher.search_batch(&queries, &Options { sparse, ..*options })?;
    let errors = searcher.index().segments().iter().filter_map(|segment| segment.forward());
    let max_relative_error =
        errors.map(|forward| forward.meta().max_relative_error).fold(0.0, f64::max);
    let judged_by = JudgedBy::Stored { max_relative_error, why };
    Ok(Overlap { share: mean_overlap(&found, &exact), judged_by })
}

/// Searches dense vectors with `options` and by comparing every stored row: the mean share of the exact top `options.k`
/// that was found (0 to 1), counted as [`Overlap::share`] is. Cost: both searches.
///
/// # Errors
/// If a search fails.
pub fn dense_overlap(
    searcher: &Searcher,
    vectors: &[DenseVector],
    options: &Options<'_>,
) -> Result<f64, EngineError> {
    let queries: Vec<ChannelQuery<'_>> = vectors.iter().map(ChannelQuery::Dense).collect();
    let found = searcher.search_batch(&queries, options)?;
    let dense = DenseSearchOptions { method: DenseMethod::Exact, ..options.dense };
    let exact = searcher.search_batch(&queries, &Options { dense, ..*options })?;
    Ok(mean_overlap(&found, &exact))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn depth_is_that_of_the_deepest_measure() {
        let depth = |measures: &[&str]| {
            depth(&measures.iter().map(|m| m.parse().unwrap()).collect::<Vec<_>>()).get()
        };
        assert_eq!(depth(&["nDCG@10"]), 100);
        assert_eq!(depth(&["nDCG@10", "R@500"]), 500);
        assert_eq!(depth(&[]), 100);
    }
}
