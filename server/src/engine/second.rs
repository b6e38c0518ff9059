//! The second stage of a request: which candidates, under which rules, and what was done.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use quarry_searcher::{
    DEFAULT_ALPHA, DEFAULT_BETA, DEFAULT_DEPTH, DEFAULT_WEIGHT, Hit, Rerank, RerankParams,
    RerankQuery, RerankStats, SearchError,
};
use quarry_vectors::{EncodeTokens, TokenEmbeddings};

use super::request::positive;
use super::{expire, micros};
use crate::api::{
    ApiError, ErrorCode, MAX_K, MAX_TOKENS, RerankInput, RerankReport, SearchRequest,
};

/// What rescores candidates, and what turns questions into token embeddings for it. Without an
/// encoder requests must bring them.
#[derive(Clone)]
pub struct SecondStage {
    /// Scores candidates of the index that the engine searches.
    pub reranker: Arc<dyn Rerank>,
    /// Questions to rows.
    pub encoder: Option<Arc<dyn EncodeTokens>>,
}

impl std::fmt::Debug for SecondStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecondStage").field("reranker", &self.reranker).finish_non_exhaustive()
    }
}

/// A request's second stage, checked.
#[derive(Debug, Clone)]
pub(crate) struct Second {
    pub(crate) depth: NonZeroUsize,
    params: RerankParams,
}

/// What a second stage gave.
pub(crate) struct Rescored {
    pub(crate) hits: Vec<Hit>,
    pub(crate) report: RerankReport,
    pub(crate) tokens_us: u64,
    pub(crate) rerank_us: u64,
}

/// Checks what needs no index.
pub(crate) fn check(input: &RerankInput, k: NonZeroUsize) -> Result<Second, ApiError> {
    let default = u32::try_from(DEFAULT_DEPTH).unwrap_or(MAX_K);
    let depth = positive("rerank.depth", input.depth.unwrap_or(default), MAX_K)?.max(k);
    let alpha = input.alpha.unwrap_or((!input.exact).then_some(DEFAULT_ALPHA));
    let beta = match input.beta {
        None => (!input.exact).then_some(DEFAULT_BETA),
        Some(None) => None,
        Some(Some(beta)) => Some(positive("rerank.beta", beta, MAX_K)?),
    };
    let weight = input.weight.unwrap_or(DEFAULT_WEIGHT);
    let params = RerankParams { alpha, beta, weight, exact: input.exact, ..RerankParams::new(k) };
    match params.check() {
        Err(SearchError::Param { name, found, expected }) => {
            let message = format!("{found} is not {expected}");
            Err(ApiError::invalid(format!("rerank.{name}"), message))
        }
        _ => Ok(Second { depth, params }),
    }
}

impl SecondStage {
    pub(crate) fn run(
        &self,
        request: &SearchRequest,
        (second, candidates): (&Second, &[Hit]),
        deadline: Option<Instant>,
    ) -> Result<Rescored, ApiError> {
        let started = Instant::now();
        let tokens = self.tokens(request)?;
        let tokens_us = micros(started);
        expire(deadline)?;
        let started = Instant::now();
        let query = RerankQuery { tokens: &tokens, candidates };
        let params = RerankParams { deadline, ..second.params };
        let found = self.reranker.rerank(&[query], &params)?.pop();
        let found = found
            .ok_or_else(|| ApiError::new(ErrorCode::Internal, "the second stage gave no answer"))?;
        let RerankStats { candidates, pruned, skipped, scored, rescored, without_tokens } =
            found.stats;
        let device = self.reranker.device();
        let report =
            RerankReport { device, candidates, pruned, skipped, scored, rescored, without_tokens };
        Ok(Rescored { hits: found.hits, report, tokens_us, rerank_us: micros(started) })
    }

    /// The rows that the request brings, else those of its question.
    fn tokens(&self, request: &SearchRequest) -> Result<TokenEmbeddings, ApiError> {
        let given = request.rerank.as_ref().and_then(|r| r.vectors.as_ref());
        let Some(rows) = given else {
            let Some(text) = &request.query.text else {
                let message = "give `rerank.vectors`, or a question as `query.text`";
                return Err(ApiError::invalid("rerank.vectors", message));
            };
            let encoder = self.encoder.as_ref().ok_or_else(|| {
                ApiError::not_supported("rerank", "no encoder of token embeddings is loaded")
                    .hint("give the question's token embeddings as `rerank.vectors`")
            })?;
            return encoder.encode_question(text).map_err(ApiError::internal);
        };
        if rows.is_empty() {
            let message = "no row; give at least one, or a question as `query.text`";
            return Err(ApiError::invalid("rerank.vectors", message));
        }
        if rows.len() > MAX_TOKENS {
            let message = format!("{} rows, at most {MAX_TOKENS}", rows.len());
            return Err(ApiError::invalid("rerank.vectors", message));
        }
        let dims = self.reranker.dims();
        if let Some(at) = rows.iter().position(|row| row.len() != dims) {
            let found = rows[at].len();
            let message = format!("{found} dimensions, the index's rows have {dims}");
            return Err(ApiError::invalid(format!("rerank.vectors[{at}]"), message));
        }
        TokenEmbeddings::new(dims.max(1), rows.concat())
            .map_err(|e| ApiError::invalid("rerank.vectors", e.to_string()))
    }
}
