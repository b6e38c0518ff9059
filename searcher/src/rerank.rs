//! Reranking as the searcher sees it: candidates and token embeddings go in, the k best by their new
//! scores come out. [`Rerank`] hides the device that scores (CPU or GPU).

use std::num::NonZeroUsize;
use std::time::Instant;

use quarry_vectors::TokenEmbeddings;
use serde::Serialize;

use crate::error::SearchError;
use crate::outcome::Hit;

/// Default number of candidates that are reranked.
pub const DEFAULT_DEPTH: usize = 100;
/// Default of candidate pruning.
pub const DEFAULT_ALPHA: f32 = 0.4;
/// Default of early exit.
pub const DEFAULT_BETA: NonZeroUsize = NonZeroUsize::MIN.saturating_add(19);
/// Default weight of the first stage's standardised score.
pub const DEFAULT_WEIGHT: f32 = 0.05;

/// One query to rerank.
#[derive(Debug, Clone, Copy)]
pub struct RerankQuery<'a> {
    /// The query's token embeddings.
    pub tokens: &'a TokenEmbeddings,
    /// The first stage's hits, best first, with their scores.
    pub candidates: &'a [Hit],
}

/// Parameters of reranking.
///
/// A document's new score is `MaxSim + weight * rows * z`, where `rows` is the number of the query's
/// rows and `z` the first stage's score, standardised over the query's candidates (mean 0, standard
/// deviation 1; 0 where all are equal).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RerankParams {
    /// Number of results.
    pub k: NonZeroUsize,
    /// Candidate pruning: candidates with a first score `s < s_k - alpha * |s_k|` are left out, where
    /// `s_k` is the k-th first score. At least 0; `None` keeps all.
    pub alpha: Option<f32>,
    /// Early exit: after the first k candidates, stop once this many consecutive candidates fail to enter
    /// the k best. `None` scores all.
    pub beta: Option<NonZeroUsize>,
    /// Weight of the first stage's standardised score; at least 0, 0 is MaxSim alone.
    pub weight: f32,
    /// Whether the result must equal scoring in fp16; bounds from the int8 rows avoid most of that work.
    pub exact: bool,
    /// When to give up.
    pub deadline: Option<Instant>,
}

/// The largest weight of the first stage's score: beyond it MaxSim no longer counts, and sums overflow.
const MOST_WEIGHT: f32 = 1e6;

impl RerankParams {
    /// No pruning and MaxSim alone, for k results.
    #[must_use]
    pub fn new(k: NonZeroUsize) -> Self {
        Self { k, alpha: None, beta: None, weight: 0.0, exact: false, deadline: None }
    }

    /// Checks that all numbers lie in their ranges.
    ///
    /// # Errors
    /// Names the first that does not.
    pub fn check(&self) -> Result<(), SearchError> {
        let least = |name, found: f32| {
            if found.is_finite() && found >= 0.0 {
                return Ok(());
            }
            let expected = "a finite number of at least 0";
            Err(SearchError::Param { name, found: found.to_string(), expected })
        };
        self.alpha.map_or(Ok(()), |alpha| least("alpha", alpha))?;
        if self.weight > MOST_WEIGHT {
            let (name, found) = ("weight", self.weight.to_string());
            return Err(SearchError::Param { name, found, expected: "at most 1,000,000" });
        }
        least("weight", self.weight)
    }
}

impl RerankParams {
    /// The defaults, for k results: pruned, with the first stage's score beside MaxSim.
    #[must_use]
    pub fn pruned(k: NonZeroUsize) -> Self {
        Self {
            alpha: Some(DEFAULT_ALPHA),
            beta: Some(DEFAULT_BETA),
            weight: DEFAULT_WEIGHT,
            ..Self::new(k)
        }
    }
}

/// Work of reranking one query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RerankStats {
    /// Candidates given.
    pub candidates: u64,
    /// Left out by candidate pruning.
    pub pruned: u64,
    /// Left out by early exit.
    pub skipped: u64,
    /// Scored over the coarser rows (int8, 4 bits, signs), or over fp16 where nothing else is stored.
    pub scored: u64,
    /// Scored again over fp16 rows.
    pub rescored: u64,
    /// Kept at the first stage's rank because their segments have no token embeddings.
    pub without_tokens: u64,
}

impl RerankStats {
    /// Adds another query's counts.
    pub fn add(&mut self, other: &Self) {
        self.candidates += other.candidates;
        self.pruned += other.pruned;
        self.skipped += other.skipped;
        self.scored += other.scored;
        self.rescored += other.rescored;
        self.without_tokens += other.without_tokens;
    }
}

/// The k best documents of one query by their new scores, and the work.
#[derive(Debug, Clone, PartialEq)]
pub struct Reranked {
    /// Hits, best first, under the one total order.
    pub hits: Vec<Hit>,
    /// Counts.
    pub stats: RerankStats,
}

/// Scores token embeddings by MaxSim, over one open index.
pub trait Rerank: std::fmt::Debug + Send + Sync {
    /// The device, for reports.
    fn device(&self) -> String;

    /// Dimensions that a query's rows must have.
    fn dims(&self) -> usize;

    /// Rescores the candidates of each query; results in the queries' order. Candidates whose segment has no
    /// token embeddings keep the place that the first stage gave them.
    ///
    /// # Errors
    /// When a query's rows do not fit this index's embeddings, a parameter is out of range, the index
    /// lacks what `exact` needs, or the deadline passes. One failed query fails the batch.
    fn rerank(
        &self,
        queries: &[RerankQuery<'_>],
        params: &RerankParams,
    ) -> Result<Vec<Reranked>, SearchError>;

    /// The k best of all documents with token embeddings by MaxSim, for each query. With `exact` over fp16
    /// rows.
    ///
    /// # Errors
    /// As [`Self::rerank`].
    fn exhaustive(
        &self,
        queries: &[&TokenEmbeddings],
        params: &RerankParams,
    ) -> Result<Vec<Reranked>, SearchError>;
}
