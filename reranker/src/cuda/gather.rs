//! Scores of queries with candidates on the device: batches go in, scores come out.
//!
//! A batch is packed into one pinned buffer (queries, candidates, tasks), goes up in one copy, and
//! one kernel runs over it (`cuda/gather.cu`). Few scores are written by the kernel straight into
//! pinned memory, many come back by a copy. Large batches go in waves over two sets of buffers: the
//! host packs a wave while the device scores the one before.

use std::sync::{Arc, Mutex, PoisonError};

use super::corpus::{Corpus, Kind};
use super::memory::{DeviceBuffer, HostBuffer};
use super::stream::{Event, Stream};
use super::{CudaError, EMPTY_SCORE};

/// Query rows of a tensor core tile: queries are padded to a multiple.
pub(super) const QUERY_TILE: usize = 32;
/// Candidates that a warp takes at most.
const TASK: usize = 16;
/// Warps a multiprocessor should get before tasks grow.
const WARPS: usize = 32;
/// Scores from which on a copy is better than writing them over the bus one by one.
const DIRECT_SCORES: usize = 8192;
/// Candidates of a wave.
const WAVE: usize = 1 << 17;

/// A query's rows as the device takes them.
#[derive(Debug, Clone, Copy)]
pub struct QueryRows<'a> {
    /// Row by row, each as many bytes as a stored row of that kind.
    pub bytes: &'a [u8],
    /// Int8: a scale each.
    pub scales: &'a [f32],
    /// For bounds: how much a document row's error of 1 can move the row's product, over its scale.
    pub reach: &'a [f32],
}

/// Scores of a batch, query by query, candidate by candidate.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    /// MaxSim over the rows.
    pub scores: Vec<f32>,
    /// With bounds: the same with reach times the row's error added, and subtracted.
    pub upper: Vec<f32>,
    /// As `upper`.
    pub lower: Vec<f32>,
}

/// `Task` of `cuda/gather.cu`: the query's first row, its tiles, the first candidate, candidates.
type Task = [u32; 4];

/// `GatherArgs` of `cuda/gather.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct GatherArgs {
    queries: u64,
    query_scale: u64,
    query_reach: u64,
    docs: u64,
    doc_scale: u64,
    doc_error: u64,
    offsets: u64,
    candidates: u64,
    tasks: u64,
    scores: u64,
    upper: u64,
    lower: u64,
    partial: u64,
    task_count: u32,
    count: u32,
    empty: f32,
}

/// A wave on its way: buffers, and what the kernel was told.
#[derive(Debug)]
pub struct Wave {
    stream: Stream,
    /// Kept while the kernel may read it.
    corpus: Arc<Corpus>,
    input: HostBuffer,
    device_input: DeviceBuffer,
    output: HostBuffer,
    device_output: DeviceBuffer,
    kernel: String,
    arguments: GatherArgs,
    threads: u32,
    scores: usize,
    bounds: bool,
    direct: bool,
}

/// Scores batches over one corpus.
#[derive(Debug)]
pub struct Gatherer {
    corpus: Arc<Corpus>,
    idle: Mutex<Vec<Wave>>,
}

fn next(at: &mut usize, bytes: usize) -> usize {
    let start = *at;
    *at += bytes.next_multiple_of(256);
    start
}

impl Gatherer {
    /// For a corpus; buffers are made when they are needed and kept.
    #[must_use]
    pub fn new(corpus: &Arc<Corpus>) -> Self {
        Self { corpus: Arc::clone(corpus), idle: Mutex::default() }
    }

    /// MaxSim of each query with each of its candidates; with bounds over int8 rows only.
    ///
    /// # Errors
    /// When a candidate is not resident, a query's rows have another length than the corpus', or the
    /// device fails.
    pub fn score(
        &self,
        kind: Kind,
        bounds: bool,
        queries: &[QueryRows<'_>],
        candidates: &[&[u32]],
    ) -> Result<Scores, CudaError> {
        let mut scores = Scores::default();
        let mut flying: Option<Wave> = None;
        let mut from = 0;
        while from < queries.len().min(candidates.len()) {
            let mut to = from;
            let mut total = 0;
            while to < queries.len() && (to == from || total + candidates[to].len() <= WAVE) {
                total += candidates[to].len();
                to += 1;
            }
            let wave = self.prepare(kind, bounds, &queries[from..to], &candidates[from..to])?;
            wave.start()?;
            if let Some(before) = flying.replace(wave) {
                self.collect(before, &mut scores)?;
            }
            from = to;
        }
        match flying {
            Some(last) => self.collect(last, &mut scores).map(|()| scores),
            None => Ok(scores),
        }
    }

    /// Packs a batch and starts its copy to the device.
    ///
    /// # Errors
    /// As [`Self::score`].
    pub fn prepare(
        &self,
        kind: Kind,
        bounds: bool,
        queries: &[QueryRows<'_>],
        candidates: &[&[u32]],
    ) -> Result<Wave, CudaError> {
        let corpus = &*self.corpus;
        let resident = corpus
            .resident(kind)
            .ok_or(CudaError::NotResident("the device does not hold rows of this kind"))?;
        let row_bytes = kind.row_bytes(corpus.stride);
        let rows_of = |query: &QueryRows<'_>| query.bytes.len() / row_bytes;
        let parts_of = |query: &QueryRows<'_>| rows_of(query).div_ceil(QUERY_TILE);
        for query in queries {
            let rows = rows_of(query);
            let whole = query.bytes.len() == rows * row_bytes
                && (kind == Kind::Fp16 || query.scales.len() == rows)
                && (!bounds || kind == Kind::Int8 && query.reach.len() == rows);
            if !whole {
                return Err(CudaError::NotResident("a query's rows do not fit the corpus"));
            }
        }
        let beyond = |d: &u32| *d as usize >= resident.documents;
        if candidates.iter().any(|c| c.iter().any(beyond)) {
            return Err(CudaError::NotResident("a candidate lies outside the device's documents"));
        }
        let total: usize = candidates.iter().map(|c| c.len()).sum();
        let rows: usize = queries.iter().map(|q| parts_of(q) * QUERY_TILE).sum();
        let warps = corpus.gpu.multiprocessors() as usize * WARPS;
        let per_task = total.div_ceil(warps).clamp(1, TASK);
        let tasks: usize = candidates.iter().map(|c| c.len().div_ceil(per_task)).sum();

        let mut at = 0;
        let query_at = next(&mut at, rows * row_bytes);
        let scale_at = next(&mut at, rows * 4);
        let reach_at = next(&mut at, rows * 4);
        let candidate_at = next(&mut at, total * 4);
        let task_at = next(&mut at, tasks * size_of::<Task>());
        let out = (total * 4).next_multiple_of(256);
        let long = queries.iter().any(|q| parts_of(q) > 1);
        let partial = if long { 3 * 16 * 4 * total } else { 0 };
        let mut wave = self.take(at, 3 * out + partial)?;

        let bytes = wave.input.bytes_mut();
        bytes[..candidate_at].fill(0);
        let mut row = 0;
        let mut start = 0;
        let mut task = 0;
        for (query, candidates) in queries.iter().zip(candidates) {
            let target = query_at + row * row_bytes;
            bytes[target..target + query.bytes.len()].copy_from_slice(query.bytes);
            let mut put = |at: usize, values: &[f32]| {
                let values: &[u8] = bytemuck::cast_slice(values);
                bytes[at + 4 * row..at + 4 * row + values.len()].copy_from_slice(values);
            };
            put(scale_at, query.scales);
            put(reach_at, query.reach);
            let ids: &[u8] = bytemuck::cast_slice(candidates);
            let target = candidate_at + 4 * start;
            bytes[target..target + ids.len()].copy_from_slice(ids);
            for chunk in candidates.chunks(per_task) {
                let one: Task = [row, parts_of(query), start, chunk.len()].map(u32_of);
                let target = task_at + task * size_of::<Task>();
                bytes[target..target + size_of::<Task>()]
                    .copy_from_slice(bytemuck::cast_slice(&one));
                start += chunk.len();
                task += 1;
            }
            row += parts_of(query) * QUERY_TILE;
        }
        wave.direct = total <= DIRECT_SCORES;
        wave.scores = total;
        wave.bounds = bounds;
        let input = wave.device_input.address();
        let output = if wave.direct { wave.output.address() } else { wave.device_output.address() };
        let or_null = |wanted: bool, address: u64| if wanted { address } else { 0 };
        let int8 = kind == Kind::Int8;
        let of = |buffer: &Option<DeviceBuffer>| buffer.as_ref().map_or(0, DeviceBuffer::address);
        wave.kernel = format!(
            "{}_{}_{}",
            if bounds { "bounds" } else { "gather" },
            kind.name(),
            corpus.stride
        );
        wave.arguments = GatherArgs {
            queries: input + query_at as u64,
            query_scale: or_null(int8, input + scale_at as u64),
            query_reach: or_null(bounds, input + reach_at as u64),
            docs: resident.rows.address(),
            doc_scale: of(&resident.scales),
            doc_error: of(&resident.errors),
            offsets: corpus.starts.address(),
            candidates: input + candidate_at as u64,
            tasks: input + task_at as u64,
            scores: output,
            upper: output + out as u64,
            lower: output + 2 * out as u64,
            partial: wave.device_output.address() + 3 * out as u64,
            task_count: u32_of(tasks),
            count: u32_of(total),
            empty: EMPTY_SCORE,
        };
        wave.threads = if tasks < warps { 32 } else { 128 };
        if wave.direct {
            wave.output.bytes_mut()[..3 * out].fill(0);
        } else if queries.iter().any(|q| parts_of(q) == 0) {
            // The score of a query without rows is 0.
            wave.stream.fill(&wave.device_output, 0, 3 * out)?;
        }
        debug_assert!(Arc::ptr_eq(&wave.corpus, &self.corpus));
        wave.stream.upload(&wave.device_input, 0, &wave.input, at)?;
        Ok(wave)
    }

    /// Waits for a started wave and appends its scores.
    ///
    /// # Errors
    /// What failed on the device.
    pub fn collect(&self, mut wave: Wave, scores: &mut Scores) -> Result<(), CudaError> {
        let out = (wave.scores * 4).next_multiple_of(256);
        if !wave.direct {
            let bytes = if wave.bounds { 3 * out } else { out };
            wave.stream.download(&mut wave.output, &wave.device_output, 0, bytes)?;
        }
        wave.stream.wait()?;
        scores.scores.extend_from_slice(wave.output.values(0, wave.scores));
        if wave.bounds {
            scores.upper.extend_from_slice(wave.output.values(out, wave.scores));
            scores.lower.extend_from_slice(wave.output.values(2 * out, wave.scores));
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(wave);
        Ok(())
    }

    /// Buffers of at least these sizes.
    fn take(&self, input: usize, output: usize) -> Result<Wave, CudaError> {
        let fits =
            |wave: &Wave| wave.input.bytes().len() >= input && wave.output.bytes().len() >= output;
        {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(i) = idle.iter().position(fits) {
                return Ok(idle.swap_remove(i));
            }
            idle.clear();
        }
        let gpu = &self.corpus.gpu;
        let (input, output) = (input.next_power_of_two(), output.next_power_of_two());
        Ok(Wave {
            stream: Stream::new(gpu)?,
            corpus: Arc::clone(&self.corpus),
            input: HostBuffer::new(gpu, input)?,
            device_input: DeviceBuffer::new(gpu, input)?,
            output: HostBuffer::new(gpu, output)?,
            device_output: DeviceBuffer::new(gpu, output)?,
            kernel: String::new(),
            arguments: GatherArgs {
                queries: 0,
                query_scale: 0,
                query_reach: 0,
                docs: 0,
                doc_scale: 0,
                doc_error: 0,
                offsets: 0,
                candidates: 0,
                tasks: 0,
                scores: 0,
                upper: 0,
                lower: 0,
                partial: 0,
                task_count: 0,
                count: 0,
                empty: EMPTY_SCORE,
            },
            threads: 32,
            scores: 0,
            bounds: false,
            direct: true,
        })
    }
}

impl Wave {
    /// Starts the kernel.
    ///
    /// # Errors
    /// When the driver refuses.
    #[expect(unsafe_code, reason = "a kernel's arguments")]
    pub fn start(&self) -> Result<(), CudaError> {
        if self.arguments.task_count == 0 {
            return Ok(());
        }
        let blocks = self.arguments.task_count.div_ceil(self.threads / 32);
        // SAFETY: `GatherArgs` is the kernel's structure; `prepare` sized all buffers for this batch
        // and checked the candidates against the resident documents; the wave owns its buffers and
        // is only reused after a wait, and it holds the corpus.
        unsafe { self.stream.launch(&self.kernel, (blocks, 1), self.threads, 0, &self.arguments) }
    }

    /// Marks the end of what was started so far.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn mark(&self, event: &Event) -> Result<(), CudaError> {
        self.stream.mark(event)
    }

    /// Waits for what was started so far.
    ///
    /// # Errors
    /// What failed meanwhile.
    pub fn wait(&self) -> Result<(), CudaError> {
        self.stream.wait()
    }
}

pub(super) fn u32_of(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
