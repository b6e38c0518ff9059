//! What candidate pruning and early exit save on a GPU, where many candidates are scored at once anyway,
//! and on the processor beside it.
//!
//! 1. an index of synthetic rows: documents of 20 to 180 tokens, int8
//! 2. of each query MaxSim with all its candidates; the first stage's scores are a mixture of that and of
//!    noise, so that their correlation is known
//! 3. the same batches with nothing pruned, each rule alone, and both: the same hits from either device;
//!    medians of the times from candidates to hits
//!
//! Without a GPU it says so and ends well.
#![allow(clippy::print_stdout, reason = "a program for people")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "times and counts"
)]

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use quarry_benches::Numbers;
use quarry_index::tokens::Form;
use quarry_index::{Index, Verify};
use quarry_indexer::{Lists, TokenInput, TokenOptions, add_tokens, build};
use quarry_reranker::cuda::{CudaError, Gpu};
use quarry_reranker::{CpuReranker, GpuReranker};
use quarry_searcher::{
    DEFAULT_ALPHA, DEFAULT_BETA, Hit, Rerank, RerankParams, RerankQuery, RerankStats, Reranked,
};
use quarry_vectors::{DocId, Document, InputVector, SparseVector, TokenEmbeddings};
use serde_json::{Value, json};

const DIMS: usize = 128;
const ROWS: usize = 32;

/// Measure what pruning saves at large depths.
#[derive(Debug, Parser)]
struct Args {
    /// Folder for the index; made where it is not there
    #[arg(long)]
    work: PathBuf,
    /// Documents
    #[arg(long, default_value_t = 60_000)]
    documents: usize,
    /// Correlation of the first stage's scores with MaxSim
    #[arg(long, default_value_t = 0.7)]
    correlation: f64,
    /// Where the results go as JSON
    #[arg(long)]
    out: Option<PathBuf>,
    /// Timed repeats
    #[arg(long, default_value_t = 9)]
    repeats: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Err(e @ (CudaError::NoDriver | CudaError::NoDevice)) = Gpu::open(0) {
        println!("skipped: {e}");
        return Ok(());
    }
    let mut numbers = Numbers::new(3);
    if !args.work.join("CURRENT").exists() {
        make(&args, &mut numbers)?;
    }
    let mut index = Index::open(&args.work, Verify::Envelope)?;
    index.preload()?;
    let index = Arc::new(index);
    let cpu = CpuReranker::new(Arc::clone(&index))?;
    let gpu = GpuReranker::new(Arc::clone(&index), false, None)?;
    let cores = rayon::current_num_threads();
    println!("{} beside {cores} cores; correlation {}", gpu.device(), args.correlation);
    println!(
        "{:<14}{:<10}{:>10}{:>14}{:>8}{:>16}{:>8}",
        "batch", "pruning", "scored", "device us", "x", "processor us", "x"
    );
    let mut report = Vec::new();
    for (batch, depth) in [
        (1, 1000),
        (16, 1000),
        (64, 1000),
        (256, 1000),
        (1, 4000),
        (16, 4000),
        (64, 4000),
        (256, 4000),
    ] {
        let queries = queries(&gpu, &mut numbers, &args, (batch, depth))?;
        report.extend(compare(&args, &gpu, &cpu, &queries, (batch, depth))?);
    }
    if let Some(path) = &args.out {
        let report = json!({ "device": gpu.device(), "cores": cores, "documents": args.documents,
            "correlation": args.correlation, "alpha": DEFAULT_ALPHA, "beta": DEFAULT_BETA, "rows": report });
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(())
}

fn make(args: &Args, numbers: &mut Numbers) -> Result<()> {
    let mut options = quarry_benches::options(&args.work);
    options.seal.lists = Lists::NONE;
    let vector = SparseVector::from_pairs(vec![(0, 1.0)])?;
    let documents = (0..args.documents).map(|id| {
        let vector = Some(InputVector::Terms(vector.clone()));
        Ok::<_, Infallible>(Document { id: id.to_string(), vector, ..Document::default() })
    });
    build(documents, None, &options, &|_| {})?;
    let options = TokenOptions {
        forms: vec![Form::Int8],
        pool: 1,
        centroids: 1,
        replace: false,
        source: Value::Null,
    };
    let mut read = |_: &str| {
        let tokens = 20 + numbers.below(161) as usize;
        rows(numbers, tokens).map_err(|e| quarry_indexer::BuildError::Input(e.into()))
    };
    add_tokens(&args.work, &options, TokenInput::Rows(DIMS, &mut read), &|_| {})?;
    Ok(())
}

/// About normal: the sum of three uniform numbers.
fn normal(numbers: &mut Numbers) -> f64 {
    let uniform = |n: &mut Numbers| f64::from(n.below(1 << 20)) / f64::from(1 << 20) - 0.5;
    2.0 * (uniform(numbers) + uniform(numbers) + uniform(numbers))
}

fn rows(
    numbers: &mut Numbers,
    count: usize,
) -> Result<TokenEmbeddings, quarry_vectors::TokenEmbeddingsError> {
    let mut values: Vec<f32> = (0..count * DIMS).map(|_| normal(numbers) as f32).collect();
    for row in values.chunks_exact_mut(DIMS) {
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        row.iter_mut().for_each(|v| *v /= length);
    }
    TokenEmbeddings::new(DIMS, values)
}

type Query = (TokenEmbeddings, Vec<Hit>);

/// Queries with candidates in a first stage's order.
fn queries(
    gpu: &GpuReranker,
    numbers: &mut Numbers,
    args: &Args,
    (batch, depth): (usize, usize),
) -> Result<Vec<Query>> {
    let documents = u32::try_from(args.documents)?;
    let mut all = Vec::new();
    for _ in 0..batch {
        let tokens = rows(numbers, ROWS)?;
        let mut docs: Vec<u32> = (0..depth + depth / 2).map(|_| numbers.below(documents)).collect();
        docs.sort_unstable();
        docs.dedup();
        docs.truncate(depth);
        let hit = |doc: &u32| Hit { segment: 0, doc: DocId(*doc), score: 0.0 };
        all.push((tokens, docs.iter().map(hit).collect::<Vec<_>>()));
    }
    let params = RerankParams::new(NonZeroUsize::MIN.saturating_add(depth - 1));
    let scored = gpu.rerank(&asked(&all), &params)?;
    for ((_, candidates), scored) in all.iter_mut().zip(scored) {
        let n = scored.hits.len() as f64;
        let mean = scored.hits.iter().map(|h| h.score).sum::<f64>() / n;
        let spread = scored.hits.iter().map(|h| (h.score - mean).powi(2)).sum::<f64>();
        let deviation = (spread / n).sqrt();
        let noise = (1.0 - args.correlation.powi(2)).sqrt();
        let mut hits = scored.hits;
        for hit in &mut hits {
            let z = (hit.score - mean) / deviation;
            hit.score = 20.0 + 4.0 * (args.correlation * z + noise * normal(numbers));
        }
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.doc.cmp(&b.doc)));
        *candidates = hits;
    }
    Ok(all)
}

fn asked(queries: &[Query]) -> Vec<RerankQuery<'_>> {
    queries.iter().map(|(tokens, candidates)| RerankQuery { tokens, candidates }).collect()
}

fn compare(
    args: &Args,
    gpu: &GpuReranker,
    cpu: &CpuReranker,
    queries: &[Query],
    (batch, depth): (usize, usize),
) -> Result<Vec<Value>> {
    let queries = asked(queries);
    let all = RerankParams::new(NonZeroUsize::MIN.saturating_add(9));
    let alpha = Some(DEFAULT_ALPHA);
    let beta = Some(DEFAULT_BETA);
    let variants = [
        ("none", all),
        ("CP", RerankParams { alpha, ..all }),
        ("EE", RerankParams { beta, ..all }),
        ("CP + EE", RerankParams { alpha, beta, ..all }),
    ];
    let timed = |on: &dyn Rerank, params: &RerankParams, repeats: usize| -> Result<_> {
        let mut times = Vec::new();
        let mut found: Vec<Reranked> = Vec::new();
        for _ in 0..repeats {
            let started = Instant::now();
            found = on.rerank(&queries, params)?;
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
        times.sort_by(f64::total_cmp);
        Ok((times[times.len() / 2], found))
    };
    let mut first = (0.0, 0.0);
    let mut out = Vec::new();
    for (name, params) in variants {
        let (device, found) = timed(gpu, &params, args.repeats)?;
        let (processor, want) = timed(cpu, &params, args.repeats.div_ceil(3))?;
        let mut stats = RerankStats::default();
        for (found, want) in found.iter().zip(&want) {
            ensure!(found.hits == want.hits, "{name}: the devices decide differently");
            ensure!(found.stats == want.stats, "{name}: the devices count differently");
            stats.add(&found.stats);
        }
        if first.0 == 0.0 {
            first = (device, processor);
        }
        let scored = stats.scored as f64 / batch as f64;
        let gain = (first.0 / device, first.1 / processor);
        println!(
            "{:<14}{name:<10}{scored:>10.1}{device:>14.0}{:>8.2}{processor:>16.0}{:>8.2}",
            format!("{batch} x {depth}"),
            gain.0,
            gain.1
        );
        out.push(json!({ "queries": batch, "depth": depth, "pruning": name, "scored": scored,
            "device_us": device, "device_gain": gain.0, "processor_us": processor, "processor_gain": gain.1 }));
    }
    Ok(out)
}
