//! How the second stage on a GPU begins: rows go up, some scores are compared, costs are measured.

use std::sync::Arc;
use std::time::Instant;

use quarry_index::tokens::{Form, TokenStore};
use quarry_index::{Index, Segment};
use quarry_searcher::Rerank;
use quarry_vectors::TokenEmbeddings;

use super::costs::Costs;
use super::{GpuReranker, Prepared, count_u32};
use crate::cpu::CpuReranker;
use crate::cuda::{Corpus, CudaError, Exhaustive, Gatherer, Gpu, HostRows, Kind};
use crate::kernels::Scratch;

/// Documents of the self-test.
const TESTED: usize = 64;
/// Candidates of the first call that is timed for what a token costs, and of the last.
const TIMED: [usize; 2] = [1024, 16_384];

impl GpuReranker {
    /// A second stage over an open index: finds the device, copies the rows that fit (into at most
    /// `budget` bytes), and compares some scores with the CPU's. With `auto` small batches stay
    /// on the CPU.
    ///
    /// # Errors
    /// When there is no usable device, no form that it scores, or it computes something else.
    pub fn new(index: Arc<Index>, auto: bool, budget: Option<usize>) -> Result<Self, CudaError> {
        let no_tokens = CudaError::NotResident("the index has no token embeddings");
        let cpu = CpuReranker::new(Arc::clone(&index)).map_err(|_| no_tokens.clone())?;
        if index.segments().iter().any(|s| s.tokens().is_none()) {
            return Err(CudaError::NotResident(
                "some segments of the index have no token embeddings; `quarry tokens add` fills them",
            ));
        }
        let kind = match cpu.form() {
            Form::Int8 => Kind::Int8,
            Form::Fp16 => Kind::Fp16,
            _ => return Err(CudaError::NotResident("the device scores int8 and fp16 rows only")),
        };
        let stores: Vec<&TokenStore> =
            index.segments().iter().filter_map(Segment::tokens).collect();
        let mut meta = stores.first().ok_or(no_tokens)?.meta().clone();
        kind.supports(meta.stride)?;
        meta.max_norm = stores.iter().map(|s| s.meta().max_norm).fold(0.0, f32::max);
        let gpu = Gpu::open(0)?;
        let host: Vec<HostRows<'_>> = stores
            .iter()
            .map(|store| HostRows {
                starts: store.starts(),
                stride: store.meta().stride,
                int8: store.int8(),
                fp16: store.fp16(),
            })
            .collect();
        let mut bases = vec![0u32];
        for store in &stores {
            let next = bases[bases.len() - 1].checked_add(count_u32(store.documents()));
            bases.push(
                next.ok_or(CudaError::NotResident("more documents than the device numbers"))?,
            );
        }
        let corpus = Arc::new(Corpus::upload(&gpu, &host, budget)?);
        for kind in [Kind::Int8, Kind::Fp16] {
            let documents = corpus.documents();
            let resident = corpus.resident(kind).map_or(documents, |r| r.documents);
            if resident < documents {
                tracing::warn!(
                    "{} holds the {} rows of {resident} of {documents} documents; the CPU scores the others",
                    gpu.name(),
                    kind.form(),
                );
            }
        }
        let gatherer = Gatherer::new(&corpus);
        let exhaustive = Exhaustive::new(&corpus);
        let costs = Costs {
            cpu_token: 0.0,
            call: 0.0,
            gpu_token: 0.0,
            cores: rayon::current_num_threads(),
        };
        let mut made =
            Self { cpu, index, corpus, gatherer, exhaustive, bases, meta, kind, costs, auto };
        made.self_test()?;
        tracing::info!("reranking runs on {}", made.device());
        Ok(made)
    }

    /// Compares scores of some documents with the CPU's.
    #[expect(clippy::cast_precision_loss, reason = "random numbers")]
    fn self_test(&mut self) -> Result<(), CudaError> {
        let resident = self.resident();
        if self.corpus.tokens(0..resident) == 0 {
            return Err(CudaError::NotResident(
                "the device's memory, or what --device-memory allows of it, holds no document's rows",
            ));
        }
        let step = resident.div_ceil(TESTED).max(1);
        let documents: Vec<u32> = (0..resident).step_by(step).map(count_u32).collect();
        let dims = self.meta.dims;
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let values = (0..35 * dims).map(|_| next()).collect();
        let test = |why: &str| CudaError::SelfTest(why.to_owned());
        let query = TokenEmbeddings::new(dims, values).map_err(|e| test(&e.to_string()))?;
        let query = self.prepare(&query).map_err(|e| test(&e.to_string()))?;
        let mut scratch = Scratch::default();
        for kind in [Kind::Int8, Kind::Fp16] {
            let Some(here) = self.corpus.resident(kind).map(|r| count_u32(r.documents)) else {
                continue;
            };
            let documents: Vec<u32> = documents.iter().copied().filter(|d| *d < here).collect();
            let bounds = kind == Kind::Int8;
            let rows = query.rows(kind);
            let found = self.gatherer.score(kind, bounds, &[rows], &[&documents])?;
            for (i, document) in documents.iter().enumerate() {
                let wanted = self.on_processor(&query, *document, kind, bounds, &mut scratch);
                let device = found.scored(i, self.margin(*document, query.rows.margin()));
                let same = if bounds {
                    device == wanted
                } else {
                    (device.score - wanted.score).abs() <= query.margin
                };
                if !same {
                    let what = format!("document {document} has {device:?}, on the CPU {wanted:?}");
                    return Err(CudaError::SelfTest(what));
                }
            }
        }
        if self.auto { self.measure(&query, &documents) } else { Ok(()) }
    }

    /// Measures what a call costs, and a token on either side.
    #[expect(clippy::cast_precision_loss, reason = "microseconds and counts")]
    fn measure(&mut self, query: &Prepared, documents: &[u32]) -> Result<(), CudaError> {
        let mut scratch = Scratch::default();
        let one = query.rows(self.kind);
        let clock = |work: &mut dyn FnMut() -> Result<(), CudaError>| {
            let mut times = Vec::new();
            for _ in 0..9 {
                let start = Instant::now();
                work()?;
                times.push(start.elapsed().as_secs_f64() * 1e6);
            }
            times.sort_by(f64::total_cmp);
            Ok::<f64, CudaError>(times[4])
        };
        let tokens: u64 = documents.iter().map(|d| self.tokens(*d)).sum();
        let few = &documents[..1];
        self.costs.call =
            clock(&mut || self.gatherer.score(self.kind, false, &[one], &[few]).map(drop))?;
        self.costs.cpu_token = clock(&mut || {
            for document in documents {
                let _ = self.on_processor(query, *document, self.kind, false, &mut scratch);
            }
            Ok(())
        })? / tokens.max(1) as f64;
        // A batch large enough that the call itself is a small part.
        let mut count = TIMED[0];
        loop {
            let many: Vec<u32> = documents.iter().copied().cycle().take(count).collect();
            let tokens: u64 = many.iter().map(|d| self.tokens(*d)).sum();
            let all =
                clock(&mut || self.gatherer.score(self.kind, false, &[one], &[&many]).map(drop))?;
            self.costs.gpu_token = (all - self.costs.call).max(0.0) / tokens.max(1) as f64;
            if count >= TIMED[1] || all > 8.0 * self.costs.call {
                return Ok(());
            }
            count *= 4;
        }
    }
}
