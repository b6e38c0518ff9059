//! MaxSim of queries with all resident documents, and the best of each.
//!
//! Documents go in slabs whose scores fit the score matrix in device memory; each block of the kernel
//! takes a run of documents with about the same number of tokens (`cuda/exhaustive.cu`). The best of
//! a slab come back as a short list a query; the host sorts and keeps them.

use std::sync::{Arc, Mutex, PoisonError};

use super::corpus::{Corpus, Kind};
use super::gather::{QUERY_TILE, QueryRows, u32_of};
use super::memory::{DeviceBuffer, HostBuffer};
use super::stream::{Event, Stream};
use super::{CudaError, EMPTY_SCORE};

/// Scores of the matrix in device memory.
const SLAB_SCORES: usize = 256 << 20;
/// Warps of a block, each with its own queries.
const WARPS: usize = 8;
/// Tokens of a stage in shared memory, and stages.
const STAGE: usize = 64;
const STAGES: usize = 4;
/// Entries of a list beyond k, for ties and neighbours.
const MORE: usize = 448;
const SELECT_THREADS: u32 = 512;
const SELECT_SHARED: u32 = (2048 + 4) * 4;

/// `ExhaustiveArgs` of `cuda/exhaustive.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct ExhaustiveArgs {
    queries: u64,
    query_scale: u64,
    docs: u64,
    doc_scale: u64,
    offsets: u64,
    bounds: u64,
    scores: u64,
    stride: u64,
    first: u32,
    query_count: u32,
    empty: f32,
}

/// `SelectArgs` of `cuda/exhaustive.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct SelectArgs {
    scores: u64,
    stride: u64,
    count: u32,
    k: u32,
    room: u32,
    lengths: u64,
    documents: u64,
    values: u64,
}

/// `AddArgs` of `cuda/exhaustive.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct AddArgs {
    to: u64,
    from: u64,
    count: u64,
}

/// A document that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Its number in the corpus.
    pub document: u32,
    /// Its score.
    pub score: f32,
}

/// What a batch of queries found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Searched {
    /// For each query its best documents, best first.
    pub best: Vec<Vec<Found>>,
    /// Microseconds that the device spent on scores and on choosing.
    pub microseconds: f64,
}

/// Scores everything over one corpus; one batch at a time.
#[derive(Debug)]
pub struct Exhaustive {
    corpus: Arc<Corpus>,
    running: Mutex<()>,
}

impl Exhaustive {
    /// For a corpus.
    #[must_use]
    pub fn new(corpus: &Arc<Corpus>) -> Self {
        Self { corpus: Arc::clone(corpus), running: Mutex::default() }
    }

    /// The k best resident documents of each query, and those that equal the last of them.
    ///
    /// # Errors
    /// When rows of that kind are not resident, a query's rows have another length, or the device
    /// fails.
    pub fn search(
        &self,
        kind: Kind,
        queries: &[QueryRows<'_>],
        k: usize,
    ) -> Result<Searched, CudaError> {
        let _one = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let corpus = &*self.corpus;
        let gpu = &corpus.gpu;
        let resident = corpus
            .resident(kind)
            .ok_or(CudaError::NotResident("the device does not hold rows of this kind"))?;
        let documents = resident.documents;
        let mut best: Vec<Vec<Found>> = vec![Vec::new(); queries.len()];
        if documents == 0 || queries.is_empty() || k == 0 {
            return Ok(Searched { best, microseconds: 0.0 });
        }
        let packed = pack(kind, corpus.stride, queries)?;
        let lines = packed.parts.iter().sum::<usize>();
        let slab = (SLAB_SCORES / lines.max(1)).clamp(1, documents);
        let groups = lines.div_ceil(WARPS * queries_per_warp(kind, corpus.stride));
        let runs = (gpu.multiprocessors() as usize * 16).div_ceil(groups).clamp(64, 1 << 16);

        let stream = Stream::new(gpu)?;
        let (start, end) = (Event::new(gpu)?, Event::new(gpu)?);
        let room = k + MORE;
        let list = queries.len() * room;
        let mut input = HostBuffer::new(gpu, packed.bytes.len())?;
        input.bytes_mut()[..packed.bytes.len()].copy_from_slice(&packed.bytes);
        let rows = DeviceBuffer::new(gpu, packed.bytes.len())?;
        stream.upload(&rows, 0, &input, packed.bytes.len())?;
        let scores = DeviceBuffer::new(gpu, lines * slab * 4)?;
        let bounds = DeviceBuffer::new(gpu, (runs + 1) * 4)?;
        let mut host_bounds = HostBuffer::new(gpu, (runs + 1) * 4)?;
        let lists = DeviceBuffer::new(gpu, queries.len() * 4 + 8 * list)?;
        let mut host_lists = HostBuffer::new(gpu, queries.len() * 4 + 8 * list)?;
        let row_bytes = kind.row_bytes(corpus.stride);
        let shared = u32_of(STAGES * (STAGE * row_bytes + STAGE * 4));
        let kernel = format!("exhaustive_{}_{}", kind.name(), corpus.stride);
        let of = |b: &Option<DeviceBuffer>| b.as_ref().map_or(0, DeviceBuffer::address);
        let mut microseconds = 0.0;

        for first in (0..documents).step_by(slab) {
            let count = slab.min(documents - first);
            let cuts = cuts(&corpus.host_starts, first, count, runs);
            let bytes: &[u8] = bytemuck::cast_slice(&cuts);
            host_bounds.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
            stream.upload(&bounds, 0, &host_bounds, bytes.len())?;
            stream.mark(&start)?;
            let arguments = ExhaustiveArgs {
                queries: rows.address(),
                query_scale: if kind == Kind::Int8 {
                    rows.address() + packed.scales as u64
                } else {
                    0
                },
                docs: resident.rows.address(),
                doc_scale: of(&resident.scales),
                offsets: corpus.starts.address(),
                bounds: bounds.address(),
                scores: scores.address(),
                stride: slab as u64,
                first: u32_of(first),
                query_count: u32_of(lines),
                empty: EMPTY_SCORE,
            };
            let grid = (u32_of(cuts.len() - 1), u32_of(groups));
            start_kernel(&stream, &kernel, grid, u32_of(32 * WARPS), shared, &arguments)?;
            // A long query's parts lie one after another: their scores are added to the first's.
            let mut line = 0;
            let mut firsts = Vec::with_capacity(queries.len());
            for parts in &packed.parts {
                let at = |l: usize| scores.address() + (l * slab * 4) as u64;
                for part in 1..*parts {
                    let add = AddArgs { to: at(line), from: at(line + part), count: count as u64 };
                    start_kernel(&stream, "add_rows", (1024, 1), 256, 0, &add)?;
                }
                firsts.push(at(line));
                line += parts;
            }
            let one_part = packed.parts.iter().all(|p| *p == 1);
            let batches = if one_part { 1 } else { firsts.len() };
            for (batch, first) in firsts.iter().enumerate().take(batches) {
                let blocks = if one_part { queries.len() } else { 1 };
                let lengths = lists.address() + (batch * 4) as u64;
                let lists_at = lists.address() + (queries.len() * 4) as u64;
                let select = SelectArgs {
                    scores: *first,
                    stride: slab as u64,
                    count: u32_of(count),
                    k: u32_of(k),
                    room: u32_of(room),
                    lengths,
                    documents: lists_at + (batch * room * 4) as u64,
                    values: lists_at + ((list + batch * room) * 4) as u64,
                };
                let grid = (u32_of(blocks), 1);
                start_kernel(&stream, "select_best", grid, SELECT_THREADS, SELECT_SHARED, &select)?;
            }
            stream.mark(&end)?;
            stream.download(&mut host_lists, &lists, 0, queries.len() * 4 + 8 * list)?;
            stream.wait()?;
            microseconds += end.since(&start)?;
            for (query, best) in best.iter_mut().enumerate() {
                let length = host_lists.values::<u32>(query * 4, 1)[0] as usize;
                if length <= room {
                    let at = queries.len() * 4 + query * room * 4;
                    let ids = host_lists.values::<u32>(at, length);
                    let values = host_lists.values::<f32>(at + list * 4, length);
                    let found = ids.iter().map(|d| d + u32_of(first)).zip(values);
                    best.extend(found.map(|(document, score)| Found { document, score: *score }));
                } else {
                    // More ties than the list holds: the whole row decides.
                    let mut row = HostBuffer::new(gpu, count * 4)?;
                    let at = usize::try_from(firsts[query] - scores.address()).unwrap_or(0);
                    stream.download(&mut row, &scores, at, count * 4)?;
                    stream.wait()?;
                    let values = row.values::<f32>(0, count);
                    let found = (u32_of(first)..).zip(values);
                    best.extend(found.map(|(document, score)| Found { document, score: *score }));
                }
                best_of(best, k);
            }
        }
        Ok(Searched { best, microseconds })
    }
}

/// Keeps the k best and all that equal the last of them: best first, equal ones by document.
pub fn best_of(found: &mut Vec<Found>, k: usize) {
    let order =
        |a: &Found, b: &Found| b.score.total_cmp(&a.score).then(a.document.cmp(&b.document));
    if k == 0 {
        found.clear();
    } else if found.len() > k {
        let least = found.select_nth_unstable_by(k - 1, order).1.score;
        found.retain(|f| f.score.total_cmp(&least).is_ge());
    }
    found.sort_unstable_by(order);
}

/// Queries that a warp keeps in registers, as the kernels are compiled.
fn queries_per_warp(kind: Kind, stride: usize) -> usize {
    match (kind, stride) {
        (Kind::Int8, 256) | (Kind::Fp16, 96 | 128) => 1,
        _ => 2,
    }
}

/// Queries in the kernel's form: all rows, then all scales.
struct Packed {
    bytes: Vec<u8>,
    scales: usize,
    /// Tiles of 32 rows of each query.
    parts: Vec<usize>,
}

fn pack(kind: Kind, stride: usize, queries: &[QueryRows<'_>]) -> Result<Packed, CudaError> {
    let row_bytes = kind.row_bytes(stride);
    let rows_of = |q: &QueryRows<'_>| q.bytes.len() / row_bytes;
    let parts: Vec<usize> =
        queries.iter().map(|q| rows_of(q).div_ceil(QUERY_TILE).max(1)).collect();
    let rows = parts.iter().sum::<usize>() * QUERY_TILE;
    let scales = (rows * row_bytes).next_multiple_of(256);
    let mut bytes = vec![0; scales + rows * 4];
    let mut row = 0;
    for (query, parts) in queries.iter().zip(&parts) {
        let rows = rows_of(query);
        if query.bytes.len() != rows * row_bytes || kind == Kind::Int8 && query.scales.len() != rows
        {
            return Err(CudaError::NotResident("a query's rows do not fit the corpus"));
        }
        bytes[row * row_bytes..row * row_bytes + query.bytes.len()].copy_from_slice(query.bytes);
        if kind == Kind::Int8 {
            let values: &[u8] = bytemuck::cast_slice(query.scales);
            bytes[scales + 4 * row..scales + 4 * row + values.len()].copy_from_slice(values);
        }
        row += parts * QUERY_TILE;
    }
    Ok(Packed { bytes, scales, parts })
}

/// Cuts `count` documents from `first` into at most `runs` runs with about the same number of tokens:
/// where each begins, and the end.
fn cuts(starts: &[u64], first: usize, count: usize, runs: usize) -> Vec<u32> {
    let (from, to) = (starts[first], starts[first + count]);
    let mut cuts = vec![u32_of(first)];
    for run in 1..=runs as u64 {
        let target = from + (to - from) / runs as u64 * run;
        let mut at = first + starts[first..first + count].partition_point(|s| *s < target);
        if run == runs as u64 {
            at = first + count;
        }
        if u32_of(at) > cuts[cuts.len() - 1] {
            cuts.push(u32_of(at));
        }
    }
    cuts
}

#[expect(unsafe_code, reason = "a kernel's arguments")]
fn start_kernel<T: Copy>(
    stream: &Stream,
    name: &str,
    grid: (u32, u32),
    threads: u32,
    shared: u32,
    arguments: &T,
) -> Result<(), CudaError> {
    // SAFETY: `search` gives each kernel its own structure, with buffers that it sized for the batch
    // and keeps until it has waited for the stream; documents and runs lie inside the resident part.
    unsafe { stream.launch(name, grid, threads, shared, arguments) }
}

#[cfg(test)]
#[allow(clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    /// What the source of the kernels says, and this module repeats.
    #[test]
    fn constants_are_those_of_the_kernels() {
        let source = include_str!("../../cuda/exhaustive.cu");
        let defined = |name: &str| -> usize {
            let line = source.lines().find_map(|l| l.strip_prefix(&format!("#define {name} ")));
            line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name}"))
        };
        assert_eq!([STAGE, STAGES, WARPS], ["STAGE", "STAGES", "WARPS"].map(defined));
        assert_eq!(SELECT_THREADS as usize, defined("SELECT_THREADS"));
        assert_eq!(SELECT_SHARED as usize, 4 * (defined("BINS") + 4), "bins and the state");
        let mut kernels = 0;
        for line in source.lines().filter_map(|l| l.strip_prefix("EXHAUSTIVE(")) {
            let words: Vec<&str> = line.trim_end_matches(')').split(", ").collect();
            let name: Vec<&str> = words[0].split('_').collect();
            let kind = if name[1] == "i8" { Kind::Int8 } else { Kind::Fp16 };
            let stride: usize = name[2].parse().unwrap_or_else(|_| panic!("{line}"));
            assert_eq!(words[2], kind.row_bytes(stride).to_string(), "bytes of a row: {line}");
            assert_eq!(words[3], queries_per_warp(kind, stride).to_string(), "queries: {line}");
            assert_eq!(kind.supports(stride), Ok(()), "{line}");
            kernels += 1;
        }
        assert_eq!(kernels, 9);
    }

    #[test]
    fn runs_cover_all_documents_once() {
        let lengths = [5u64, 0, 0, 9, 1, 1, 1, 40, 0, 2, 2, 0];
        let mut starts = vec![0];
        for length in lengths {
            starts.push(starts[starts.len() - 1] + length);
        }
        for first in 0..lengths.len() {
            for count in 1..=lengths.len() - first {
                for runs in [1, 2, 3, 7, 100] {
                    let cuts = cuts(&starts, first, count, runs);
                    assert!(cuts.len() <= runs + 1);
                    assert_eq!(
                        (cuts[0], cuts[cuts.len() - 1]),
                        (u32_of(first), u32_of(first + count))
                    );
                    assert!(cuts.windows(2).all(|w| w[0] < w[1]));
                }
            }
        }
    }

    #[test]
    fn the_best_are_kept_in_order() {
        let of = |pairs: &[(u32, f32)]| -> Vec<Found> {
            pairs.iter().map(|&(document, score)| Found { document, score }).collect()
        };
        let mut found = of(&[(4, 1.0), (1, 2.0), (3, 1.0), (2, 1.0), (0, 0.5)]);
        best_of(&mut found, 3);
        assert_eq!(found, of(&[(1, 2.0), (2, 1.0), (3, 1.0), (4, 1.0)]));
        best_of(&mut found, 9);
        assert_eq!(found.len(), 4);
        best_of(&mut found, 1);
        assert_eq!(found, of(&[(1, 2.0)]));
    }
}
