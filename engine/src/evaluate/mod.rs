//! How good rankings are: measures by judgements, and overlap with the exact search.
//!
//! Means are over all judged queries; one without a ranking counts as zero. What judgements and an index, or
//! a run, have to do with each other is counted: judgements of another collection would be a silent zero.

mod fused;
mod given;
mod judged;
mod runs;
mod tuned;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use quarry_datasets::measures::evaluate;
use quarry_searcher::{
    ChannelQuery, Method, Options, Outcome, Searcher, SparseOptions, mean_overlap,
};
use quarry_vectors::SparseVector;

use crate::EngineError;

pub use fused::{FuseOptions, WeightedRun, fuse_runs};
pub use judged::{IndexJudgements, RunJudgements};
// What a caller needs for them.
pub use quarry_datasets::measures::{EvaluateOptions, Evaluation, Measure};
pub use quarry_datasets::{Ignored, Qrels, QueryOptions, Run, open_qrels, open_queries};
pub use quarry_vectors::ScoredDoc;
pub use runs::{followed, run_of};
pub use tuned::{TunedWeights, tune_weights};

/// Least hits retrieved for a query.
const LEAST_DEPTH: usize = 100;
/// Hits retrieved when a measure has no cut-off.
const FULL_DEPTH: usize = 1000;

/// A run by judgements.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// The measures, their means, and how many queries were not answered.
    pub evaluation: Evaluation,
    /// What run and judgements have in common.
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

/// Hits that have to be retrieved for these measures: as many as the deepest looks at, at least 100, and
/// 1,000 for one without a cut-off.
#[must_use]
pub fn depth(measures: &[Measure]) -> NonZeroUsize {
    let of = |measure: &Measure| {
        measure.cutoff().map_or(FULL_DEPTH, |c| usize::try_from(c.get()).unwrap_or(FULL_DEPTH))
    };
    let deepest = measures.iter().map(of).fold(LEAST_DEPTH, usize::max);
    NonZeroUsize::new(deepest).unwrap_or(NonZeroUsize::MIN)
}

/// How much of the exact search a search finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlap {
    /// Share of the exact top k that is found, on average over queries that have any. A hit whose score
    /// equals the k-th exact one counts as found, whichever of the ties it is.
    pub share: f64,
    /// What the exact ranking is that of.
    pub judged_by: JudgedBy,
}

/// The weights that an exact ranking is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum JudgedBy {
    /// Those that were given, in 64 bits: the file of vectors that the index was made of.
    Given {
        /// The file.
        path: PathBuf,
    },
    /// The stored ones.
    Stored {
        /// Their relative error is at most this.
        max_relative_error: f64,
        /// Why it is not the given ones; `None` with a filter, under which they are not looked for.
        why: Option<String>,
    },
}

/// Searches vectors with `options`, and exactly, and compares. `options.k` is the depth that is compared.
///
/// Cost: both searches; where the file of vectors that the index was made of is still there, one pass over it
/// in place of the exact search.
///
/// # Errors
/// When a search fails. A file of vectors that cannot judge is no error: the result says why.
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by it")]
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
