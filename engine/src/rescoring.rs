//! Candidates of many queries rescored by token embeddings: those that are answered, and those of a first round that
//! feeds back.

use std::time::{Duration, Instant};

use quarry_searcher::{RerankParams, RerankQuery, Reranked, SearchError};

use crate::EngineError;
use crate::channel::Channel;
use crate::fusion::ChannelWeight;
use crate::rerank::Candidates;
use crate::search::{RerankReport, SearchOptions};
use crate::snapshot::Snapshot;
use crate::work::{Rescored, Results, Work, put, share};

/// What rescoring gave a query, and its share of the time.
pub(crate) struct Rated {
    pub(crate) rescored: Rescored,
    pub(crate) took: Duration,
}

impl Snapshot {
    /// Whether what the channels find can be rescored.
    pub(crate) fn check_rescoring(&self, weights: &[ChannelWeight]) -> Result<(), EngineError> {
        if weights.iter().any(|weighted| weighted.channel == Channel::Maxsim) {
            let what =
                "the channel maxsim has scored every document by its token embeddings already";
            return Err(EngineError::NotSupported { what });
        }
        self.second_stage().ok_or(SearchError::NoTokens)?;
        Ok(())
    }

    /// Rescores what is answered, if that is asked for.
    pub(crate) fn rescore_all(
        &self,
        works: &mut [Result<Work<'_>, EngineError>],
        options: &SearchOptions,
    ) -> Result<(), EngineError> {
        let Some(rerank) = &options.rerank else { return Ok(()) };
        let params = rerank.params(options.k, options.deadline);
        let rated = self.rescore(works, &params, options)?;
        put(works, rated, |work, Rated { rescored, took }| {
            work.rescored = Some(rescored);
            work.timings.rerank = took;
        });
        Ok(())
    }

    /// Rescores the hits that each query has; its token embeddings are made once.
    pub(crate) fn rescore(
        &self,
        works: &mut [Result<Work<'_>, EngineError>],
        params: &RerankParams,
        options: &SearchOptions,
    ) -> Result<Results<Rated>, EngineError> {
        let second = self.second_stage().ok_or(SearchError::NoTokens)?;
        let rows = works.iter().flatten().map(|work| {
            let started = Instant::now();
            let rows = work.rows.clone().map_or_else(|| second.rows(work.query), Ok);
            rows.map(|rows| (rows, started.elapsed()))
        });
        let rows: Results<_> = rows.collect();
        let mut candidates: Vec<Candidates> = Vec::with_capacity(rows.len());
        put(works, rows, |work, (rows, took)| {
            work.timings.tokens += took;
            work.rows = Some(rows.clone());
            candidates.push(Candidates { rows, found: work.found.clone() });
        });
        options.expire()?;
        let asked: Vec<RerankQuery<'_>> = candidates.iter().map(Candidates::asked).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let started = Instant::now();
        let found = second.rescore(&asked, params);
        let took = share(started.elapsed(), asked.len());
        let device = second.reranker().device();
        let rated = |Reranked { hits, stats }| {
            let report = RerankReport { device: device.clone(), stats };
            Rated { rescored: Rescored { hits, report }, took }
        };
        Ok(found.into_iter().map(|found| found.map(rated)).collect())
    }
}
