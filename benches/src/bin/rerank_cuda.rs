//! MaxSim on a GPU: what it reaches, beside the device's own copy rate and the processor.
//!
//! Synthetic rows: bytes and halves of random values, lengths uniform from 20 to 180. Prints a table
//! and writes JSON. Without a GPU it says so and ends well.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "sizes, times and random bytes of a measuring program"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use quarry_index::tokens::Int8Rows;
use quarry_reranker::cuda::{
    Capability, Corpus, CudaError, DeviceBuffer, Event, Exhaustive, Found, Gatherer, Gpu, HostRows,
    Kernels, Kind, QueryRows, Scores, Stream, Wave,
};
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use rayon::prelude::*;
use serde_json::{Value, json};

const DIMS: usize = 128;
const ROWS: usize = 32;
const DEPTH: usize = 1000;
/// Sets of candidates that timed launches go through, so that the cache does not hold them.
const SETS: usize = 6;

/// Measure MaxSim on a GPU.
#[derive(Debug, Parser)]
struct Args {
    /// Documents
    #[arg(long, default_value_t = 1_000_000)]
    documents: usize,
    /// Where the results go as JSON
    #[arg(long)]
    out: Option<PathBuf>,
    /// Another build of the kernels than the embedded one
    #[arg(long)]
    kernels: Vec<PathBuf>,
    /// Leave fp16 and the exhaustive search out
    #[arg(long)]
    short: bool,
    /// Timed repeats
    #[arg(long, default_value_t = 30)]
    repeats: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let first = match Gpu::open(0) {
        Ok(gpu) => gpu,
        Err(e @ (CudaError::NoDriver | CudaError::NoDevice)) => {
            println!("skipped: {e}");
            return Ok(());
        }
        Err(e) => return Err(e.into()),
    };
    let Capability { major, minor } = first.capability();
    let mut report = json!({ "device": first.name(), "capability": format!("({major}, {minor})"),
        "multiprocessors": first.multiprocessors(), "cores": rayon::current_num_threads() });
    println!("{}, {} multiprocessors", first.name(), first.multiprocessors());
    let copy = copy_rate(&first)?;
    report["copy_gb_s"] = json!(copy / 1e9);
    println!("copy within the device: {:.0} GB/s, bytes read and written", copy / 1e9);

    let started = Instant::now();
    let data = Data::new(args.documents, !args.short);
    println!("made {} rows in {:.1} s", data.tokens(), started.elapsed().as_secs_f64());
    let builds = if args.kernels.is_empty() {
        vec![("embedded".to_owned(), first)]
    } else {
        let build = |path: &PathBuf| -> Result<(String, Arc<Gpu>)> {
            let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
            Ok((path.display().to_string(), Gpu::open_with(0, &Kernels::read(&bytes)?)?))
        };
        args.kernels.iter().map(build).collect::<Result<_>>()?
    };
    let mut all = Vec::new();
    for (name, gpu) in builds {
        println!("\nkernels: {name}");
        let mut one = one_build(&args, &gpu, &data, copy)?;
        one["kernels"] = json!(name);
        all.push(one);
    }
    report["builds"] = Value::Array(all);
    if let Some(path) = &args.out {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(())
}

fn one_build(args: &Args, gpu: &Arc<Gpu>, data: &Data, copy: f64) -> Result<Value> {
    let started = Instant::now();
    let corpus = Arc::new(Corpus::upload(gpu, &[data.rows()], None)?);
    let seconds = started.elapsed().as_secs_f64();
    let bytes = data.tokens() as f64 * (if data.half.is_empty() { 136.0 } else { 392.0 });
    println!("upload: {:.1} GB in {seconds:.1} s, {:.1} GB/s", bytes / 1e9, bytes / seconds / 1e9);
    let gatherer = Gatherer::new(&corpus);
    let mut report = json!({ "upload_gb_s": bytes / seconds / 1e9 });
    check(data, &gatherer)?;

    println!(
        "{:<26}{:>10}{:>12}{:>12}{:>10}",
        "ragged gather", "µs", "M docs/s", "GB/s", "of copy"
    );
    let mut rows = Vec::new();
    for batch in [64, 256] {
        for (kind, bounds) in [(Kind::Int8, false), (Kind::Int8, true), (Kind::Fp16, false)] {
            if kind == Kind::Fp16 && data.half.is_empty() {
                continue;
            }
            rows.push(gather(args, data, &gatherer, gpu, (kind, bounds, batch), copy)?);
        }
    }
    report["gather"] = Value::Array(rows);
    report["latency"] = latency(args, data, &gatherer, gpu)?;
    if !args.short {
        report["exhaustive"] = exhaustive(data, &corpus)?;
    }
    Ok(report)
}

/// Bytes read and written a second by copies within the device.
fn copy_rate(gpu: &Arc<Gpu>) -> Result<f64> {
    let bytes = 2usize << 30;
    let (from, to) = (DeviceBuffer::new(gpu, bytes)?, DeviceBuffer::new(gpu, bytes)?);
    let stream = Stream::new(gpu)?;
    stream.fill(&from, 0x5a, bytes)?;
    let (start, end) = (Event::new(gpu)?, Event::new(gpu)?);
    let mut times = Vec::new();
    for _ in 0..12 {
        stream.mark(&start)?;
        stream.copy(&to, &from, bytes)?;
        stream.mark(&end)?;
        stream.wait()?;
        times.push(end.since(&start)?);
    }
    Ok(2.0 * bytes as f64 / median(&mut times) * 1e6)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Synthetic rows of documents and queries.
struct Data {
    starts: Vec<u64>,
    bytes: Vec<i8>,
    scales: Vec<f32>,
    errors: Vec<f32>,
    half: Vec<u16>,
    queries: Vec<(Vec<u8>, Vec<f32>, Vec<f32>)>,
    half_queries: Vec<Vec<u8>>,
}

impl Data {
    fn new(documents: usize, with_half: bool) -> Self {
        let mut random = SmallRng::seed_from_u64(1);
        let mut starts = vec![0u64];
        for at in 0..documents {
            starts.push(starts[at] + random.random_range(20..=180));
        }
        let tokens = starts[documents] as usize;
        let step = 1 << 16;
        let mut bytes = vec![0i8; tokens * DIMS];
        let chunks = bytes.par_chunks_mut(step * DIMS).enumerate();
        chunks.for_each(|(seed, chunk)| {
            let raw: &mut [u8] = bytemuck::cast_slice_mut(chunk);
            SmallRng::seed_from_u64(2 + seed as u64).fill_bytes(raw);
            // Bytes from -127 to 127.
            raw.iter_mut().filter(|b| **b == 0x80).for_each(|b| *b = 1);
        });
        let mut half = vec![0u16; if with_half { tokens * DIMS } else { 0 }];
        half.par_chunks_mut(step * DIMS).zip(bytes.par_chunks(step * DIMS)).for_each(
            |(to, from)| {
                let table: Vec<u16> = (0..256u32)
                    .map(|b| half::f16::from_f32(f32::from(b as u8 as i8) * 0.0012).to_bits())
                    .collect();
                to.iter_mut().zip(from).for_each(|(t, f)| *t = table[usize::from(*f as u8)]);
            },
        );
        let floats = |seed, n: usize, scale: f32| -> Vec<f32> {
            let mut random = SmallRng::seed_from_u64(seed);
            (0..n).map(|_| random.random_range(0.5..1.0f32) * scale).collect()
        };
        let query = |seed: u64| {
            let mut random = SmallRng::seed_from_u64(seed);
            let bytes = (0..ROWS * DIMS).map(|_| random.random_range(-127..=127i8) as u8).collect();
            (bytes, floats(seed, ROWS, 0.0012), floats(seed + 1, ROWS, 800.0))
        };
        let queries: Vec<(Vec<u8>, Vec<f32>, Vec<f32>)> =
            (0..256).map(|q| query(1000 + q)).collect();
        let half_queries = queries
            .iter()
            .map(|(bytes, _, _)| {
                let value = |b: &u8| half::f16::from_f32(f32::from(*b as i8) * 0.0012).to_bits();
                bytes.iter().flat_map(|b| value(b).to_le_bytes()).collect()
            })
            .collect();
        Self {
            scales: floats(3, tokens, 0.0012),
            errors: floats(4, tokens, 0.004),
            starts,
            bytes,
            half,
            queries,
            half_queries,
        }
    }

    fn tokens(&self) -> usize {
        self.starts[self.starts.len() - 1] as usize
    }

    fn rows(&self) -> HostRows<'_> {
        HostRows {
            starts: &self.starts,
            stride: DIMS,
            int8: Some(Int8Rows {
                rows: &self.bytes,
                scales: &self.scales,
                errors: &self.errors,
                stride: DIMS,
            }),
            fp16: (!self.half.is_empty()).then_some(&self.half[..]),
        }
    }

    fn query(&self, kind: Kind, q: usize) -> QueryRows<'_> {
        let (bytes, scales, reach) = &self.queries[q];
        match kind {
            Kind::Int8 => QueryRows { bytes, scales, reach },
            Kind::Fp16 => QueryRows { bytes: &self.half_queries[q], scales: &[], reach: &[] },
        }
    }

    fn length(&self, document: u32) -> u64 {
        self.starts[document as usize + 1] - self.starts[document as usize]
    }

    fn candidates(&self, batch: usize, depth: usize, seed: u64) -> Vec<Vec<u32>> {
        let mut random = SmallRng::seed_from_u64(seed);
        let documents = self.starts.len() as u32 - 1;
        let mut one = || (0..depth).map(|_| random.random_range(0..documents)).collect();
        (0..batch).map(|_| one()).collect()
    }

    /// The score as the processor's scalar form computes it.
    fn int8(&self, q: usize, document: u32) -> f32 {
        let (bytes, scales, _) = &self.queries[q];
        let tokens =
            self.starts[document as usize] as usize..self.starts[document as usize + 1] as usize;
        let mut sums = [0f32; 16];
        for (i, row) in bytes.chunks_exact(DIMS).enumerate() {
            let mut best = f32::NEG_INFINITY;
            for t in tokens.clone() {
                let other = &self.bytes[t * DIMS..][..DIMS];
                let dot: i32 =
                    row.iter().zip(other).map(|(a, b)| i32::from(*a as i8) * i32::from(*b)).sum();
                best = best.max(dot as f32 * self.scales[t]);
            }
            sums[i % 16] += best * scales[i];
        }
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                sums[i] += sums[i + half];
            }
        }
        sums[0]
    }

    fn fp16(&self, q: usize, document: u32) -> f64 {
        let value = |b: u16| f64::from(half::f16::from_bits(b).to_f32());
        let query: Vec<f64> = self.half_queries[q]
            .chunks_exact(2)
            .map(|b| value(u16::from_le_bytes([b[0], b[1]])))
            .collect();
        let tokens =
            self.starts[document as usize] as usize..self.starts[document as usize + 1] as usize;
        let dot = |row: &[f64], t: usize| -> f64 {
            row.iter().zip(&self.half[t * DIMS..][..DIMS]).map(|(a, b)| a * value(*b)).sum()
        };
        let rows = query.chunks_exact(DIMS);
        rows.map(|row| tokens.clone().map(|t| dot(row, t)).fold(f64::NEG_INFINITY, f64::max)).sum()
    }
}

/// Scores of some pairs are the processor's.
fn check(data: &Data, gatherer: &Gatherer) -> Result<()> {
    for kind in [Kind::Int8, Kind::Fp16] {
        if kind == Kind::Fp16 && data.half.is_empty() {
            continue;
        }
        for (batch, depth) in [(1, 60), (20, 500)] {
            let lists = data.candidates(batch, depth, 5);
            let candidates: Vec<&[u32]> = lists.iter().map(|l| &l[..]).collect();
            let queries: Vec<QueryRows<'_>> = (0..batch).map(|q| data.query(kind, q)).collect();
            let found = gatherer.score(kind, false, &queries, &candidates)?.scores;
            let worst = (0..found.len())
                .into_par_iter()
                .map(|i| {
                    let (q, d) = (i / depth, lists[i / depth][i % depth]);
                    match kind {
                        Kind::Int8 if data.int8(q, d).to_bits() == found[i].to_bits() => 0.0,
                        Kind::Int8 => f64::INFINITY,
                        Kind::Fp16 => (data.fp16(q, d) - f64::from(found[i])).abs(),
                    }
                })
                .reduce(|| 0.0, f64::max);
            ensure!(worst < 1e-3, "{kind:?}: a score is off by {worst}");
            println!("check {kind:?}: {} scores, largest difference {worst:.2e}", found.len());
        }
    }
    Ok(())
}

fn gather(
    args: &Args,
    data: &Data,
    gatherer: &Gatherer,
    gpu: &Arc<Gpu>,
    (kind, bounds, batch): (Kind, bool, usize),
    copy: f64,
) -> Result<Value> {
    let queries: Vec<QueryRows<'_>> = (0..batch).map(|q| data.query(kind, q)).collect();
    let sets: Vec<Vec<Vec<u32>>> =
        (0..SETS as u64).map(|s| data.candidates(batch, DEPTH, s)).collect();
    let mut waves: Vec<Wave> = Vec::new();
    for set in &sets {
        let lists: Vec<&[u32]> = set.iter().map(|l| &l[..]).collect();
        waves.push(gatherer.prepare(kind, bounds, &queries, &lists)?);
    }
    let row = kind.row_bytes(DIMS)
        + [0, 4, 8][if kind == Kind::Fp16 { 0 } else { 1 + usize::from(bounds) }];
    let tokens: Vec<u64> =
        sets.iter().map(|s| s.iter().flatten().map(|d| data.length(*d)).sum()).collect();
    let (start, end) = (Event::new(gpu)?, Event::new(gpu)?);
    let mut times = Vec::new();
    for repeat in 0..args.repeats + SETS {
        let wave = &waves[repeat % SETS];
        wave.mark(&start)?;
        wave.start()?;
        wave.mark(&end)?;
        wave.wait()?;
        if repeat >= SETS {
            times.push(end.since(&start)? / tokens[repeat % SETS] as f64);
        }
    }
    for wave in waves {
        gatherer.collect(wave, &mut Scores::default())?;
    }
    let each = median(&mut times);
    let rate = row as f64 / each * 1e6;
    let microseconds = each * tokens[0] as f64;
    let documents = (batch * DEPTH) as f64 / microseconds;
    let name = format!("{}{} {batch} x {DEPTH}", kind.name(), if bounds { " bounds" } else { "" });
    println!(
        "{name:<26}{microseconds:>10.1}{documents:>12.1}{:>12.0}{:>9.1}%",
        rate / 1e9,
        100.0 * rate / copy
    );
    Ok(
        json!({ "kind": kind.name(), "bounds": bounds, "queries": batch, "depth": DEPTH, "us": microseconds,
        "m_documents_s": documents, "gb_s": rate / 1e9, "of_copy": rate / copy }),
    )
}

/// From candidate ids on the host to scores on the host.
fn latency(args: &Args, data: &Data, gatherer: &Gatherer, gpu: &Arc<Gpu>) -> Result<Value> {
    println!("{:<26}{:>14}{:>14}", "host to host, int8", "µs", "device µs");
    let mut rows = Vec::new();
    for (batch, depth) in [
        (1, 10),
        (1, 50),
        (1, 100),
        (1, 200),
        (1, 1000),
        (4, 100),
        (16, 100),
        (64, 100),
        (64, 1000),
        (256, 1000),
    ] {
        let queries: Vec<QueryRows<'_>> = (0..batch).map(|q| data.query(Kind::Int8, q)).collect();
        let mut times = Vec::new();
        let mut device = Vec::new();
        let (start, end) = (Event::new(gpu)?, Event::new(gpu)?);
        for repeat in 0..args.repeats + 5 {
            let lists = data.candidates(batch, depth, repeat as u64);
            let lists: Vec<&[u32]> = lists.iter().map(|l| &l[..]).collect();
            let started = Instant::now();
            let scores = gatherer.score(Kind::Int8, false, &queries, &lists)?;
            let spent = started.elapsed().as_secs_f64() * 1e6;
            ensure!(scores.scores.len() == batch * depth, "scores are missing");
            let wave = gatherer.prepare(Kind::Int8, false, &queries, &lists)?;
            wave.wait()?;
            wave.mark(&start)?;
            wave.start()?;
            wave.mark(&end)?;
            wave.wait()?;
            gatherer.collect(wave, &mut Scores::default())?;
            if repeat >= 5 {
                times.push(spent);
                device.push(end.since(&start)?);
            }
        }
        let (wall, device) = (median(&mut times), median(&mut device));
        println!("{:<26}{wall:>14.1}{device:>14.1}", format!("{batch} x {depth}"));
        rows.push(json!({ "queries": batch, "depth": depth, "us": wall, "device_us": device }));
    }
    Ok(Value::Array(rows))
}

fn exhaustive(data: &Data, corpus: &Arc<Corpus>) -> Result<Value> {
    println!(
        "{:<26}{:>10}{:>12}{:>12}{:>12}",
        "exhaustive, k = 100", "ms", "queries/s", "T op/s", "GB/s"
    );
    let search = Exhaustive::new(corpus);
    let mut rows = Vec::new();
    for (kind, batch) in
        [(Kind::Int8, 1), (Kind::Int8, 16), (Kind::Int8, 64), (Kind::Int8, 256), (Kind::Fp16, 64)]
    {
        if kind == Kind::Fp16 && data.half.is_empty() {
            continue;
        }
        let queries: Vec<QueryRows<'_>> = (0..batch).map(|q| data.query(kind, q)).collect();
        let mut times = Vec::new();
        let mut best = Vec::new();
        for _ in 0..4 {
            let searched = search.search(kind, &queries, 100)?;
            times.push(searched.microseconds);
            best = searched.best;
        }
        for (q, best) in best.iter().enumerate().take(4) {
            ensure!(best.len() == 100, "hits are missing");
            for Found { document: d, score } in best {
                let off = match kind {
                    Kind::Int8 if data.int8(q, *d).to_bits() == score.to_bits() => 0.0,
                    Kind::Int8 => f64::INFINITY,
                    Kind::Fp16 => (data.fp16(q, *d) - f64::from(*score)).abs(),
                };
                ensure!(off < 1e-3, "{kind:?}: document {d} is off by {off}");
            }
        }
        let us = median(&mut times);
        let operations = 2.0 * (data.tokens() * DIMS * ROWS * batch) as f64;
        let sweep = data.tokens() as f64
            * (kind.row_bytes(DIMS) + if kind == Kind::Int8 { 4 } else { 0 }) as f64;
        let rate = batch as f64 / us * 1e6;
        println!(
            "{:<26}{:>10.2}{rate:>12.0}{:>12.0}{:>12.0}",
            format!("{} {batch}", kind.name()),
            us / 1e3,
            operations / us / 1e6,
            sweep / us / 1e3
        );
        rows.push(json!({ "kind": kind.name(), "queries": batch, "documents": data.starts.len() - 1,
            "ms": us / 1e3, "queries_s": rate, "t_op_s": operations / us / 1e6, "sweep_gb_s": sweep / us / 1e3 }));
    }
    Ok(Value::Array(rows))
}
