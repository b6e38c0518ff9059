//! The second stage on a GPU, with the processor beside it.
//!
//! 1. candidate pruning cuts the candidates on the host, by their first scores
//! 2. the device scores what stays (`cuda`); with early exit over many candidates it does so in waves,
//!    and the host replays each wave's scores in the first stage's order, so that the decisions are
//!    those of the processor
//! 3. the exact mode takes bounds from the device and scores the undecided over fp16: on the device
//!    where it holds the rows, else on the processor
//!
//! The processor scores the documents that the device has no memory for, whole batches that it
//! finishes sooner (`Device::Auto`), and everything after an error of the device.

use std::sync::Arc;
use std::time::Instant;

use half::f16;
use quarry_index::tokens::{Form, TokenStore, TokensMeta};
use quarry_index::{Index, Segment};
use quarry_searcher::{Hit, Rerank, RerankParams, RerankQuery, RerankStats, Reranked, SearchError};
use quarry_vectors::{DocId, TokenEmbeddings, TopK};
use rayon::prelude::*;

use crate::cpu::{CpuReranker, check};
use crate::cuda::{self, Corpus, CudaError, Exhaustive, Gatherer, Gpu, HostRows, Kind, Scores};
use crate::kernels::{Kernels, Scored, Scratch};
use crate::prune::{self, EarlyExit};
use crate::query::{LANES, QueryRows};

/// Where a second stage runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// On a GPU where there is one and it pays, else on the processor.
    #[default]
    Auto,
    /// On the processor.
    Cpu,
    /// On a GPU; refused where there is none.
    Cuda,
}

impl std::str::FromStr for Device {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            other => Err(format!("`{other}` is no device: auto, cpu or cuda")),
        }
    }
}

/// Opens the second stage of an index. With `Auto` and no usable GPU one line of the log says why the
/// processor takes over.
///
/// # Errors
/// When the index has no token embeddings, or `Cuda` was asked for and cannot be had.
pub fn open(index: Arc<Index>, device: Device) -> Result<Arc<dyn Rerank>, SearchError> {
    let cpu = CpuReranker::new(Arc::clone(&index))?;
    if device == Device::Cpu {
        return Ok(Arc::new(cpu));
    }
    match GpuReranker::new(index, device == Device::Auto, None) {
        Ok(gpu) => Ok(Arc::new(gpu)),
        Err(why) if device == Device::Auto => {
            tracing::info!("reranking runs on the processor: {why}");
            Ok(Arc::new(cpu))
        }
        Err(why) => Err(SearchError::Device {
            device: "cuda".into(),
            what: format!("{why}; use --device auto or cpu to rerank on the processor"),
        }),
    }
}

/// Candidates that a wave of early exit gives the device at least, all queries together.
const WAVE: usize = 8192;
/// Candidates of a query in a wave, at least.
const LEAST_CHUNK: usize = 32;
/// Documents of the self-test.
const TESTED: usize = 64;

/// What scoring costs, measured at the start.
#[derive(Debug, Clone, Copy)]
struct Costs {
    /// Microseconds a token on one core.
    cpu_token: f64,
    /// Microseconds of a call of the device, whatever it scores.
    call: f64,
    /// Microseconds a token on the device.
    gpu_token: f64,
    cores: usize,
}

impl Costs {
    /// Whether the device is sooner.
    fn device_pays(&self, queries: usize, tokens: f64) -> bool {
        let cores = self.cores.min(queries).max(1);
        #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
        let cpu = tokens * self.cpu_token / cores as f64;
        self.call + tokens * self.gpu_token < cpu
    }
}

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

/// A query's rows as the device and the processor take them.
#[derive(Debug)]
struct Prepared {
    rows: QueryRows,
    bytes: Vec<u8>,
    scales: Vec<f32>,
    reach: Vec<f32>,
    halves: Vec<u8>,
    /// Half the distance that bounds keep: the processor's, and what halves of the query lose.
    margin: f32,
}

/// A query on its way.
struct Going<'a> {
    prepared: Prepared,
    hits: &'a [Hit],
    documents: Vec<u32>,
    bonuses: Vec<f32>,
    scores: Vec<Scored>,
    ended: bool,
}

impl GpuReranker {
    /// A second stage over an open index: finds the device, copies the rows that fit (into at most
    /// `budget` bytes), and compares some scores with the processor's. With `auto` small batches stay
    /// on the processor.
    ///
    /// # Errors
    /// When there is no usable device, no form that it scores, or it computes something else.
    pub fn new(index: Arc<Index>, auto: bool, budget: Option<usize>) -> Result<Self, CudaError> {
        let no_tokens = CudaError::NotResident("the index has no token embeddings");
        let cpu = CpuReranker::new(Arc::clone(&index)).map_err(|_| no_tokens.clone())?;
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
                int8: store.int8().map(|r| (r.rows, r.scales, r.errors)),
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
        let resident = corpus.resident(kind).map_or(0, |r| r.documents);
        if resident < corpus.documents() {
            tracing::warn!(
                "{} holds the token embeddings of {resident} of {} documents; the processor scores the others",
                gpu.name(),
                corpus.documents()
            );
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

    /// Documents whose rows the device holds.
    #[must_use]
    pub fn resident(&self) -> usize {
        self.corpus.resident(self.kind).map_or(0, |r| r.documents)
    }

    /// Whether the device takes a batch of so many queries with so many candidates each.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn takes(&self, queries: usize, candidates: usize) -> bool {
        let mean = self.corpus.tokens(0..self.corpus.documents()) as f64
            / self.corpus.documents().max(1) as f64;
        !self.auto || self.costs.device_pays(queries, (queries * candidates) as f64 * mean)
    }

    /// Compares scores of some documents with the processor's, and measures what a call costs.
    #[expect(clippy::cast_precision_loss, reason = "microseconds and counts")]
    fn self_test(&mut self) -> Result<(), CudaError> {
        let resident = self.resident();
        if resident == 0 {
            return Err(CudaError::NotResident("the device has no memory for a single document"));
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
                    let what =
                        format!("document {document} has {device:?}, on the processor {wanted:?}");
                    return Err(CudaError::SelfTest(what));
                }
            }
        }
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
            for document in &documents {
                let _ = self.on_processor(&query, *document, self.kind, false, &mut scratch);
            }
            Ok(())
        })? / tokens.max(1) as f64;
        // A batch large enough that the call itself is a small part.
        let many: Vec<u32> = documents.iter().copied().cycle().take(16_384).collect();
        let many_tokens: u64 = many.iter().map(|d| self.tokens(*d)).sum();
        let all = clock(&mut || self.gatherer.score(self.kind, false, &[one], &[&many]).map(drop))?;
        self.costs.gpu_token = (all - self.costs.call).max(0.0) / many_tokens.max(1) as f64;
        Ok(())
    }

    /// What bounds are widened by; a document without rows has none.
    fn margin(&self, document: u32, margin: f32) -> Option<f32> {
        (self.tokens(document) > 0).then_some(margin)
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

    /// One document's score by the processor's kernels.
    fn on_processor(
        &self,
        query: &Prepared,
        document: u32,
        kind: Kind,
        bounds: bool,
        scratch: &mut Scratch,
    ) -> Scored {
        let (segment, doc) = self.place(document);
        let Some(store) = self.index.segments()[segment].tokens() else { return Scored::default() };
        let rows = store.rows(doc);
        let kernels = Kernels::detect();
        let plain = |score| Scored { score, ..Scored::default() };
        let scored = match kind {
            Kind::Int8 => store.int8().map(|all| {
                let rows = all.slice(rows);
                if bounds {
                    kernels.int8_bounds(&query.rows, &rows, scratch)
                } else {
                    plain(kernels.int8(&query.rows, &rows, scratch))
                }
            }),
            Kind::Fp16 => store.fp16().map(|all| {
                let stride = query.rows.stride();
                plain(kernels.fp16(
                    &query.rows,
                    &all[rows.start * stride..rows.end * stride],
                    scratch,
                ))
            }),
        };
        // The constructor and `rerank` saw that the form is stored.
        scored.unwrap_or_default()
    }

    /// Scores lists of documents: the device those it holds, the processor the others meanwhile.
    fn score(
        &self,
        kind: Kind,
        bounds: bool,
        queries: &[&Prepared],
        lists: &[&[u32]],
        margins: bool,
    ) -> Result<Vec<Vec<Scored>>, CudaError> {
        let here = self.corpus.resident(kind).map_or(0, |r| count_u32(r.documents));
        let rows: Vec<_> = queries.iter().map(|q| q.rows(kind)).collect();
        let margin = |q: &Prepared| if margins { q.margin } else { q.rows.margin() };
        let split = |found: &Scores| {
            let mut at = 0;
            let mut out: Vec<Vec<Scored>> = Vec::with_capacity(lists.len());
            for (query, list) in queries.iter().zip(lists) {
                let one = |(i, d): (usize, &u32)| found.scored(i, self.margin(*d, margin(query)));
                out.push((at..).zip(*list).map(one).collect());
                at += list.len();
            }
            out
        };
        if lists.iter().all(|l| l.iter().all(|d| *d < here)) {
            return Ok(split(&self.gatherer.score(kind, bounds, &rows, lists)?));
        }
        let resident: Vec<Vec<u32>> =
            lists.iter().map(|l| l.iter().copied().filter(|d| *d < here).collect()).collect();
        let resident: Vec<&[u32]> = resident.iter().map(|l| &l[..]).collect();
        let (device, processor) = rayon::join(
            || self.gatherer.score(kind, bounds, &rows, &resident),
            || -> Vec<Vec<Scored>> {
                let work = queries.par_iter().zip(lists);
                work.map_init(Scratch::default, |scratch, (query, list)| {
                    let others = list.iter().filter(|d| **d >= here);
                    others.map(|d| self.on_processor(query, *d, kind, bounds, scratch)).collect()
                })
                .collect()
            },
        );
        let device = device?;
        let mut at = 0;
        let mut out = Vec::with_capacity(lists.len());
        for ((query, list), others) in queries.iter().zip(lists).zip(processor) {
            let mut others = others.into_iter();
            let mut one = Vec::with_capacity(list.len());
            for document in *list {
                if *document < here {
                    one.push(device.scored(at, self.margin(*document, margin(query))));
                    at += 1;
                } else {
                    one.push(others.next().unwrap_or_default());
                }
            }
            out.push(one);
        }
        Ok(out)
    }

    fn on_device(
        &self,
        queries: &[RerankQuery<'_>],
        params: &RerankParams,
    ) -> Result<Vec<Reranked>, Failure> {
        let bounds = params.exact && self.kind == Kind::Int8;
        let going: Result<Vec<Going<'_>>, SearchError> = queries
            .par_iter()
            .map(|query| {
                let first: Vec<f32> = query.candidates.iter().map(|hit| hit.score).collect();
                let all = first.len();
                let kept =
                    params.alpha.map_or(all, |a| prune::candidate_pruning(&first, params.k, a));
                let hits = &query.candidates[..kept];
                Ok(Going {
                    prepared: self.prepare(query.tokens)?,
                    hits,
                    documents: hits.iter().map(|h| self.bases[h.segment] + h.doc.0).collect(),
                    bonuses: prune::bonuses(&first, params.weight, query.tokens.len()),
                    scores: Vec::with_capacity(kept),
                    ended: kept == 0,
                })
            })
            .collect();
        let mut going = going?;
        let mut exits: Vec<_> = going
            .iter()
            .map(|g| {
                let hits = g.hits;
                let order = move |a: &(f32, usize), b: &(f32, usize)| {
                    self.cpu.order((a.0, hits[a.1]), (b.0, hits[b.1]))
                };
                EarlyExit::new(params.k, params.beta, order)
            })
            .collect();
        loop {
            check(0, params.deadline)?;
            let active: Vec<usize> = (0..going.len()).filter(|i| !going[*i].ended).collect();
            if active.is_empty() {
                break;
            }
            let chunk = match params.beta {
                Some(beta) => {
                    let first = going[active[0]].scores.is_empty();
                    let least = if first { params.k.get() + beta.get() } else { LEAST_CHUNK };
                    (WAVE / active.len()).max(least)
                }
                None => usize::MAX,
            };
            let prepared: Vec<&Prepared> = active.iter().map(|i| &going[*i].prepared).collect();
            let lists: Vec<&[u32]> = active
                .iter()
                .map(|i| {
                    let rest = &going[*i].documents[going[*i].scores.len()..];
                    &rest[..chunk.min(rest.len())]
                })
                .collect();
            let found = self.score(self.kind, bounds, &prepared, &lists, true)?;
            for (i, scored) in active.into_iter().zip(found) {
                let going = &mut going[i];
                for one in scored {
                    let at = going.scores.len();
                    going.scores.push(one);
                    if !exits[i].offer(at, one.score + going.bonuses[at]) {
                        going.ended = true;
                        break;
                    }
                }
                going.ended |= going.scores.len() == going.hits.len();
            }
        }
        let mut results = Vec::with_capacity(queries.len());
        for ((query, going), exit) in queries.iter().zip(&going).zip(exits) {
            let scored = exit.offered();
            let stats = RerankStats {
                candidates: query.candidates.len() as u64,
                pruned: (query.candidates.len() - going.hits.len()) as u64,
                skipped: (going.hits.len() - scored) as u64,
                scored: scored as u64,
                rescored: 0,
            };
            let best = if bounds { Vec::new() } else { exit.into_sorted() };
            results.push((best, stats));
        }
        if bounds {
            self.rescore(&going, params, &mut results)?;
        }
        let hits = |going: &Going<'_>, best: Vec<(f32, usize)>| {
            best.into_iter().map(|(score, at)| Hit { score, ..going.hits[at] }).collect()
        };
        let made = results.into_iter().zip(&going);
        Ok(made.map(|((best, stats), going)| Reranked { hits: hits(going, best), stats }).collect())
    }

    /// The exact mode's end: fp16 scores of those that bounds leave undecided.
    fn rescore(
        &self,
        going: &[Going<'_>],
        params: &RerankParams,
        results: &mut [(Vec<(f32, usize)>, RerankStats)],
    ) -> Result<(), Failure> {
        check(0, params.deadline)?;
        let undecided: Vec<Vec<usize>> = going
            .iter()
            .map(|g| {
                let bounds: Vec<(f32, f32)> = g
                    .scores
                    .iter()
                    .zip(&g.bonuses)
                    .map(|(s, bonus)| (s.lower + bonus, s.upper + bonus))
                    .collect();
                prune::undecided(&bounds, params.k)
            })
            .collect();
        let documents: Vec<Vec<u32>> = going
            .iter()
            .zip(&undecided)
            .map(|(g, list)| list.iter().map(|at| g.documents[*at]).collect())
            .collect();
        let prepared: Vec<&Prepared> = going.iter().map(|g| &g.prepared).collect();
        let fine: Vec<Vec<Scored>> =
            if self.corpus.resident(Kind::Fp16).is_some_and(|r| r.documents > 0) {
                let lists: Vec<&[u32]> = documents.iter().map(|l| &l[..]).collect();
                self.score(Kind::Fp16, false, &prepared, &lists, true)?
            } else {
                let work = prepared.par_iter().zip(&documents);
                work.map_init(Scratch::default, |scratch, (query, list)| {
                    list.iter()
                        .map(|d| self.on_processor(query, *d, Kind::Fp16, false, scratch))
                        .collect()
                })
                .collect()
            };
        for (((going, list), fine), (best, stats)) in
            going.iter().zip(&undecided).zip(fine).zip(results)
        {
            let order = |a: &(f32, usize), b: &(f32, usize)| {
                self.cpu.order((a.0, going.hits[a.1]), (b.0, going.hits[b.1]))
            };
            let mut top = TopK::new(params.k.get(), order);
            for (at, scored) in list.iter().zip(&fine) {
                top.offer((scored.score + going.bonuses[*at], *at));
            }
            stats.rescored = list.len() as u64;
            *best = top.into_sorted();
        }
        Ok(())
    }

    fn all_on_device(
        &self,
        queries: &[&TokenEmbeddings],
        params: &RerankParams,
    ) -> Result<Vec<Reranked>, Failure> {
        let kind = if params.exact { Kind::Fp16 } else { self.kind };
        let documents = self.corpus.documents();
        let here = self.corpus.resident(kind).map_or(0, |r| r.documents);
        let prepared: Result<Vec<Prepared>, SearchError> =
            queries.par_iter().map(|q| self.prepare(q)).collect();
        let prepared = prepared?;
        let rows: Vec<_> = prepared.iter().map(|q| q.rows(kind)).collect();
        check(0, params.deadline)?;
        // Sums of long queries are rounded in another order there: some more, and scored again.
        let long = |q: &Prepared| q.rows.len() > 2 * LANES;
        let more = if prepared.iter().any(long) { 16 } else { 0 };
        let (mut found, _) = self.exhaustive.search(kind, &rows, params.k.get() + more)?;
        let again: Vec<usize> = (0..found.len()).filter(|i| long(&prepared[*i])).collect();
        if !again.is_empty() {
            let lists: Vec<Vec<u32>> =
                again.iter().map(|i| found[*i].iter().map(|f| f.0).collect()).collect();
            let lists: Vec<&[u32]> = lists.iter().map(|l| &l[..]).collect();
            let queries: Vec<&Prepared> = again.iter().map(|i| &prepared[*i]).collect();
            let scores = self.score(kind, false, &queries, &lists, true)?;
            for (i, scores) in again.into_iter().zip(scores) {
                found[i].iter_mut().zip(scores).for_each(|(f, s)| f.1 = s.score);
            }
        }
        let order = |a: &(f32, Hit), b: &(f32, Hit)| self.cpu.order(*a, *b);
        let stats = RerankStats {
            candidates: documents as u64,
            scored: documents as u64,
            ..RerankStats::default()
        };
        let work = prepared.par_iter().zip(found);
        let made: Result<Vec<Reranked>, SearchError> = work
            .map_init(Scratch::default, |scratch, (query, found)| {
                let mut top = TopK::new(params.k.get(), order);
                let hit = |document: u32| {
                    let (segment, doc) = self.place(document);
                    Hit { segment, doc, score: 0.0 }
                };
                for (document, score) in found {
                    top.offer((score, hit(document)));
                }
                for (n, document) in (count_u32(here)..count_u32(documents)).enumerate() {
                    check(n, params.deadline)?;
                    let scored = self.on_processor(query, document, kind, false, scratch);
                    top.offer((scored.score, hit(document)));
                }
                let hits = top
                    .into_sorted()
                    .into_iter()
                    .map(|(score, hit)| Hit { score, ..hit })
                    .collect();
                Ok(Reranked { hits, stats })
            })
            .collect();
        Ok(made?)
    }

    /// What the device did, or the same from the processor after an error of the device.
    fn or_processor(
        &self,
        done: Result<Vec<Reranked>, Failure>,
        processor: impl FnOnce() -> Result<Vec<Reranked>, SearchError>,
    ) -> Result<Vec<Reranked>, SearchError> {
        match done {
            Ok(made) => Ok(made),
            Err(Failure::Search(error)) => Err(error),
            Err(Failure::Device(error)) => {
                tracing::warn!("{error}; the processor reranks this batch instead");
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

impl Prepared {
    fn new(rows: QueryRows, max_norm: f32) -> Self {
        let (stride, count) = (rows.stride(), rows.len());
        let mut bytes = vec![0; count * stride];
        let mut halves = vec![0; 2 * count * stride];
        let (mut lost, mut lengths) = (0.0, 0.0);
        for row in 0..count {
            let (base, lane) = (row / LANES * stride, row % LANES);
            let (mut moved, mut length) = (0.0, 0.0);
            for d in 0..stride {
                bytes[row * stride + d] =
                    rows.bytes()[(base + d / 4 * 4) * LANES + lane * 4 + d % 4].cast_unsigned();
                let value = rows.floats()[(base + d) * LANES + lane];
                let half = f16::from_f32(value);
                halves[2 * (row * stride + d)..][..2].copy_from_slice(&half.to_le_bytes());
                moved += f64::from(value - half.to_f32()).powi(2);
                length += f64::from(value).powi(2);
            }
            lost += moved.sqrt();
            lengths += length.sqrt();
        }
        // Halves of the query, and sums of the tensor cores that may cut where the processor rounds.
        #[expect(clippy::cast_precision_loss, reason = "some hundred")]
        let steps = (2 * stride + 64) as f64 * f64::from(f32::EPSILON);
        let more = (lost + steps * lengths) * f64::from(max_norm);
        #[expect(clippy::cast_possible_truncation, reason = "goes up to the next f32 afterwards")]
        let margin = ((f64::from(rows.margin()) + more) as f32).next_up();
        let scales = rows.scales()[..count].to_vec();
        let reach = rows.reach()[..count].to_vec();
        Self { rows, bytes, scales, reach, halves, margin }
    }

    fn rows(&self, kind: Kind) -> cuda::QueryRows<'_> {
        match kind {
            Kind::Int8 => {
                cuda::QueryRows { bytes: &self.bytes, scales: &self.scales, reach: &self.reach }
            }
            Kind::Fp16 => cuda::QueryRows { bytes: &self.halves, scales: &[], reach: &[] },
        }
    }
}

impl Scores {
    /// One score; with bounds, a margin wider, as the processor's kernels give it. Without a margin that
    /// of a document without rows.
    fn scored(&self, at: usize, margin: Option<f32>) -> Scored {
        let Some(margin) = margin else { return Scored::default() };
        let bound = |values: &[f32]| values.get(at).copied();
        Scored {
            score: self.scores[at],
            lower: bound(&self.lower).map_or(0.0, |l| (l - margin).next_down()),
            upper: bound(&self.upper).map_or(0.0, |u| (u + margin).next_up()),
        }
    }
}

fn count_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
