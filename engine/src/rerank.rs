//! The reranking stage: scores token embeddings, and encodes queries for it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use quarry_index::Index;
use quarry_index::tokens::Form;
use quarry_reranker::{CpuReranker, Device as ScoreDevice};
use quarry_searcher::{
    DEFAULT_ALPHA, DEFAULT_BETA, DEFAULT_DEPTH, DEFAULT_WEIGHT, Hit as Found, Rerank, RerankParams,
    RerankQuery, Reranked,
};
use quarry_vectors::{EncodeTokens, TokenEmbeddings};

use crate::{EngineError, ModelSource, Models, Query};

/// A second stage: what is found is rescored by MaxSim over token embeddings.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RerankOptions {
    /// Candidates that the search hands on; at least k are.
    pub depth: NonZeroUsize,
    /// Candidates whose first score lies more than this share below the k-th are left out; `None` keeps all.
    pub alpha: Option<f32>,
    /// Scoring ends after this many candidates in a row that do not enter the k best; `None` scores all.
    pub beta: Option<NonZeroUsize>,
    /// Weight of the first stage's standardised score.
    pub weight: f32,
    /// Whether the result must equal scoring in fp16.
    pub exact: bool,
}

impl Default for RerankOptions {
    fn default() -> Self {
        Self {
            depth: NonZeroUsize::new(DEFAULT_DEPTH).unwrap_or(NonZeroUsize::MIN),
            alpha: Some(DEFAULT_ALPHA),
            beta: Some(DEFAULT_BETA),
            weight: DEFAULT_WEIGHT,
            exact: false,
        }
    }
}

impl RerankOptions {
    /// The same result as scoring every candidate in fp16.
    #[must_use]
    pub fn exact() -> Self {
        Self { alpha: None, beta: None, exact: true, ..Self::default() }
    }

    /// As the second stage takes them.
    #[must_use]
    pub fn params(&self, k: NonZeroUsize, deadline: Option<Instant>) -> RerankParams {
        let Self { alpha, beta, weight, exact, .. } = *self;
        RerankParams { k, alpha, beta, weight, exact, deadline }
    }
}

/// What turns the text of queries into token embeddings.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum TokenModel {
    /// None: queries bring their own.
    #[default]
    Brought,
    /// A model, which must be the one that made the index's embeddings.
    Model(ModelSource),
    /// The caller's encoder.
    Encoder(Arc<dyn EncodeTokens>),
}

impl std::fmt::Debug for TokenModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Brought => f.write_str("Brought"),
            Self::Model(source) => f.debug_tuple("Model").field(source).finish(),
            Self::Encoder(_) => f.write_str("Encoder(..)"),
        }
    }
}

/// How token embeddings are opened, for the channel maxsim and for reranking.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TokensOptions {
    /// What makes the token embeddings of queries.
    pub model: TokenModel,
    /// Open the collection even if the index has no token embeddings or the model did not make them.
    /// [`crate::Snapshot::tokens_lack`] then says why, and queries must bring their own.
    pub optional: bool,
    /// Device that scores.
    pub device: ScoreDevice,
    /// Bytes of GPU memory for embeddings; `None`: the free memory, less a reserve.
    pub device_memory: Option<usize>,
    /// Storage form to score, on the CPU; `None`: int8 if stored.
    pub form: Option<Form>,
}

impl TokensOptions {
    /// Default options, with a model for the text of queries.
    #[must_use]
    pub fn new(model: TokenModel) -> Self {
        Self { model, ..Self::default() }
    }
}

/// The reranking stage of an index: scores token embeddings, and makes those of queries.
pub struct SecondStage {
    pub(crate) reranker: Arc<dyn Rerank>,
    pub(crate) encoder: Option<Arc<dyn EncodeTokens>>,
}

impl std::fmt::Debug for SecondStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecondStage").field("reranker", &self.reranker).finish_non_exhaustive()
    }
}

/// The reranking stage, if there can be one, and what it lacks.
pub(crate) struct Opened {
    pub(crate) stage: Option<SecondStage>,
    pub(crate) lacks: Option<EngineError>,
}

impl SecondStage {
    /// Opens the reranking stage of an index. `kept` is the encoder of an earlier generation with the same
    /// embeddings.
    pub(crate) fn open(
        index: &Arc<Index>,
        models: &Models,
        options: &TokensOptions,
        kept: Option<Arc<dyn EncodeTokens>>,
    ) -> Result<Opened, EngineError> {
        if options.optional && index.token_dims().is_none() {
            return Ok(Opened { stage: None, lacks: None });
        }
        let reranker: Arc<dyn Rerank> = match options.form {
            Some(form) => Arc::new(CpuReranker::new(Arc::clone(index))?.with_form(form)?),
            None => {
                quarry_reranker::open(Arc::clone(index), options.device, options.device_memory)?
            }
        };
        let encoder = match (&options.model, kept) {
            (_, Some(kept)) => Ok(Some(kept)),
            (TokenModel::Brought, None) => Ok(None),
            (TokenModel::Encoder(encoder), None) => Ok(Some(Arc::clone(encoder))),
            (TokenModel::Model(source), None) => models.query_tokens(index, source).map(Some),
        };
        match encoder {
            Ok(encoder) => Ok(Opened { stage: Some(Self { reranker, encoder }), lacks: None }),
            Err(error) if options.optional => {
                Ok(Opened { stage: Some(Self { reranker, encoder: None }), lacks: Some(error) })
            }
            Err(error) => Err(error),
        }
    }

    /// The reranker that scores.
    #[must_use]
    pub fn reranker(&self) -> &Arc<dyn Rerank> {
        &self.reranker
    }

    /// Token embeddings of a query: those that it brings, or else those of its text.
    ///
    /// # Errors
    /// [`EngineError::NoQuery`] if it has neither, [`EngineError::NoTokenEncoder`] for a text without an
    /// encoder, or the encoder's errors. Cost: one pass of the token model.
    pub fn rows(&self, query: &Query) -> Result<TokenEmbeddings, EngineError> {
        match (&query.tokens, &query.text, &self.encoder) {
            (Some(rows), _, _) => Ok(rows.clone()),
            (None, None, _) => Err(EngineError::NoQuery { channel: "maxsim" }),
            (None, Some(_), None) => Err(EngineError::NoTokenEncoder),
            (None, Some(text), Some(encoder)) => Ok(encoder.encode_question(text)?),
        }
    }

    /// Rescores the candidates of many queries; each query may have its own error. If the batch fails, the
    /// queries are run one by one.
    pub fn rescore(
        &self,
        queries: &[RerankQuery<'_>],
        params: &RerankParams,
    ) -> Vec<Result<Reranked, EngineError>> {
        by_query(queries, |queries| Ok(self.reranker.rerank(queries, params)?))
    }
}

/// A query's token embeddings and candidates.
pub(crate) struct Candidates {
    pub(crate) rows: TokenEmbeddings,
    pub(crate) found: Vec<Found>,
}

impl Candidates {
    pub(crate) fn asked(&self) -> RerankQuery<'_> {
        RerankQuery { tokens: &self.rows, candidates: &self.found }
    }
}

/// Calls `run` with all queries together; if that fails, with one query at a time.
pub(crate) fn by_query<Q, T>(
    queries: &[Q],
    run: impl Fn(&[Q]) -> Result<Vec<T>, EngineError>,
) -> Vec<Result<T, EngineError>> {
    let lacking = || Err(EngineError::NoAnswer);
    match run(queries) {
        Ok(found) if found.len() == queries.len() => found.into_iter().map(Ok).collect(),
        Err(error) if queries.len() == 1 => vec![Err(error)],
        _ => {
            let one = |query: &Q| match run(std::slice::from_ref(query)) {
                Ok(mut found) => found.pop().map_or_else(lacking, Ok),
                Err(error) => Err(error),
            };
            queries.iter().map(one).collect()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_batch_that_fails_has_an_error_for_the_query_at_fault_alone() {
        let calls = RefCell::new(Vec::new());
        let run = |queries: &[u32]| {
            calls.borrow_mut().push(queries.len());
            match queries.contains(&2) {
                true => Err(EngineError::Cancelled),
                false => Ok(queries.iter().map(|q| q * 10).collect()),
            }
        };
        let found = by_query(&[1, 2, 3], run);
        assert_eq!(*found[0].as_ref().unwrap(), 10);
        assert!(matches!(found[1], Err(EngineError::Cancelled)));
        assert_eq!(*found[2].as_ref().unwrap(), 30);
        assert_eq!(calls.take(), [3, 1, 1, 1]);
        assert_eq!(by_query(&[4, 5], run).len(), 2);
        assert!(by_query(&[2], run)[0].is_err());
        assert_eq!(calls.take(), [2, 1], "one query is not run twice");
    }
}
