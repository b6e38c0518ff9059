//! The second stage on a GPU, with the CPU beside it.
//!
//! 1. candidate pruning cuts the candidates on the host, by their first scores
//! 2. the device scores what stays (`cuda`); with early exit over many candidates it does so in waves,
//!    and the host replays each wave's scores in the first stage's order, so that the decisions are
//!    those of the CPU
//! 3. the exact mode takes bounds from the device and scores the undecided over fp16: on the device
//!    where it holds the rows, else on the CPU
//!
//! The CPU scores the documents that the device has no memory for, whole batches that it
//! finishes sooner (`Device::Auto`), and everything after an error of the device.

mod candidates;
mod costs;
mod exhaustive;
mod prepared;
mod score;
mod start;

use std::sync::Arc;

use quarry_index::Index;
use quarry_index::tokens::{Form, TokensMeta};
use quarry_searcher::{Rerank, RerankParams, RerankQuery, Reranked, SearchError};
use quarry_vectors::{DocId, TokenEmbeddings};

use crate::cpu::CpuReranker;
use crate::cuda::{Corpus, CudaError, Exhaustive, Gatherer, Kind};
use crate::query::QueryRows;
use costs::Costs;
use prepared::Prepared;

/// MaxSim over the token embeddings of an open index, on a GPU.
#[derive(Debug)]
pub struct GpuReranker {
    cpu: CpuReranker,
    index: Arc<Index>,
    corpus: Arc<Corpus>,
    gatherer: Gatherer,
    exhaustive: Exhaustive,
    /// The first document of each segment in the corpus.
    bases: Vec<u32>,
    meta: TokensMeta,
    kind: Kind,
    costs: Costs,
    auto: bool,
}

impl GpuReranker {
    /// Documents whose rows the device holds.
    #[must_use]
    pub fn resident(&self) -> usize {
        self.corpus.resident(self.kind).map_or(0, |r| r.documents)
    }

    /// Whether the device takes a batch of `queries` queries with `candidates` candidates each.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn takes(&self, queries: usize, candidates: usize) -> bool {
        let mean = self.corpus.tokens(0..self.corpus.documents()) as f64
            / self.corpus.documents().max(1) as f64;
        !self.auto || self.costs.device_pays(queries, (queries * candidates) as f64 * mean)
    }

    fn tokens(&self, document: u32) -> u64 {
        self.corpus.tokens(document as usize..document as usize + 1)
    }

    fn prepare(&self, query: &TokenEmbeddings) -> Result<Prepared, SearchError> {
        let rows = QueryRows::new(query, &self.meta)?;
        Ok(Prepared::new(rows, self.meta.max_norm))
    }

    /// Segment and document of a number in the corpus.
    fn place(&self, document: u32) -> (usize, DocId) {
        let segment = self.bases.partition_point(|b| *b <= document) - 1;
        (segment, DocId(document - self.bases[segment]))
    }

    /// What the device did, or the same from the CPU after an error of the device.
    fn or_processor(
        &self,
        done: Result<Vec<Reranked>, Failure>,
        processor: impl FnOnce() -> Result<Vec<Reranked>, SearchError>,
    ) -> Result<Vec<Reranked>, SearchError> {
        match done {
            Ok(made) => Ok(made),
            Err(Failure::Search(error)) => Err(error),
            Err(Failure::Device(error)) => {
                tracing::warn!("{error}; the CPU reranks this batch instead");
                processor()
            }
        }
    }
}

/// Why the device gave no result: the query's fault, or its own.
enum Failure {
    Search(SearchError),
    Device(CudaError),
}

impl From<SearchError> for Failure {
    fn from(error: SearchError) -> Self {
        Self::Search(error)
    }
}

impl From<CudaError> for Failure {
    fn from(error: CudaError) -> Self {
        Self::Device(error)
    }
}

impl Rerank for GpuReranker {
    fn device(&self) -> String {
        let gpu = self.corpus.gpu();
        if gpu.broken().is_some() {
            return format!("{} (in place of {}, which failed)", self.cpu.device(), gpu.name());
        }
        let (here, all) = (self.resident(), self.corpus.documents());
        let part = if here < all { format!(", {here} of {all} documents") } else { String::new() };
        format!("cuda ({}{part})", gpu.name())
    }

    fn dims(&self) -> usize {
        self.meta.dims
    }

    fn rerank(
        &self,
        queries: &[RerankQuery<'_>],
        params: &RerankParams,
    ) -> Result<Vec<Reranked>, SearchError> {
        self.cpu.coarse(params)?;
        let candidates: usize = queries.iter().map(|q| q.candidates.len()).sum();
        let mean = candidates.div_ceil(queries.len().max(1));
        if self.corpus.gpu().broken().is_some() || !self.takes(queries.len(), mean) {
            return self.cpu.rerank(queries, params);
        }
        self.or_processor(self.on_device(queries, params), || self.cpu.rerank(queries, params))
    }

    fn exhaustive(
        &self,
        queries: &[&TokenEmbeddings],
        params: &RerankParams,
    ) -> Result<Vec<Reranked>, SearchError> {
        params.check()?;
        if params.exact {
            self.cpu.need(Form::Fp16, "an exact search")?;
        }
        let kind = if params.exact { Kind::Fp16 } else { self.kind };
        let missing = self.corpus.resident(kind).is_none_or(|r| r.documents == 0);
        if missing || self.corpus.gpu().broken().is_some() {
            return self.cpu.exhaustive(queries, params);
        }
        self.or_processor(self.all_on_device(queries, params), || {
            self.cpu.exhaustive(queries, params)
        })
    }
}

fn count_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
