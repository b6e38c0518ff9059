//! MaxSim on one core: documents a second of every kernel, from cache and from memory, beside the rates
//! at which the core reads and copies. One JSON object.
//!
//! 1. rows from .npy files become an index in a temporary folder, in every form
//! 2. from cache: the kernel alone over a few documents
//! 3. from memory: the reranker over candidates that no cache holds, one query at a time, in the order
//!    of addresses (no early exit) and in the order given (early exit that never comes)
//! 4. `--rounds` rounds, in which all take turns; of each the fastest

use std::convert::Infallible;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use quarry_benches::Numbers;
use quarry_datasets::TokenRows;
use quarry_index::tokens::{Form, TokenStore};
use quarry_index::{Index, Verify};
use quarry_indexer::{BuildError, Lists, TokenInput, TokenOptions, add_tokens, build};
use quarry_reranker::{CpuReranker, Kernels, QueryRows, Scratch};
use quarry_searcher::{Hit, Rerank, RerankParams, RerankQuery};
use quarry_vectors::{DocId, Document, InputVector, SparseVector, TokenEmbeddings};
use serde_json::{Value, json};

/// Documents that stay in the core's own caches.
const CACHED: u32 = 16;

/// Measure MaxSim on one core.
#[derive(Debug, Parser)]
struct Args {
    /// Documents' rows (.npy)
    #[arg(long)]
    npy: PathBuf,
    /// How many rows each has (.npy)
    #[arg(long)]
    lengths: PathBuf,
    /// Their ids, one a line
    #[arg(long)]
    ids: PathBuf,
    /// The same three of one query, with `.npy`, `.lengths.npy` and `.ids` appended
    #[arg(long)]
    query: PathBuf,
    /// Folder for the index; kept
    #[arg(long)]
    work: PathBuf,
    /// Candidates of a query
    #[arg(long, default_value_t = 1000)]
    candidates: usize,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let mut rows = TokenRows::open(&args.npy, &args.lengths, &args.ids)?;
    if !args.work.join("CURRENT").exists() {
        make(&args, &mut rows)?;
    }
    let mut index = Index::open(&args.work, Verify::Envelope)?;
    index.preload()?;
    let index = Arc::new(index);
    let store = index.segments().first().and_then(|s| s.tokens()).context("no token embeddings")?;
    let query = read_query(&args.query)?;
    let prepared = QueryRows::new(&query, store.meta())?;
    let sets = candidates(store, args.candidates);
    let mut points: Vec<Point> = Vec::new();
    for kernels in Kernels::all() {
        for form in Form::ALL {
            let of_scalar = kernels == Kernels::Scalar && form != Form::Int8;
            if !of_scalar {
                points.push(Point { kernels, form, best: [f64::INFINITY; 3] });
            }
        }
    }
    let (mut read, mut copy, mut prepare) = (0f64, 0f64, f64::INFINITY);
    for _ in 0..args.rounds {
        let rates = rates();
        (read, copy) = (read.max(rates.0), copy.max(rates.1));
        prepare = prepare.min(seconds(200, || {
            black_box(QueryRows::new(black_box(&query), store.meta()).ok());
        }));
        for point in &mut points {
            let cpu = CpuReranker::new(Arc::clone(&index))?;
            let cpu = cpu.with_form(point.form)?.with_kernels(point.kernels);
            point.best[0] = point.best[0].min(cached(point, store, &prepared));
            for (which, beta) in [(1, None), (2, Some(NonZeroUsize::MAX))] {
                let params =
                    RerankParams { beta, ..RerankParams::new(NonZeroUsize::MIN.saturating_add(9)) };
                let started = Instant::now();
                let mut scored = 0;
                for candidates in &sets {
                    let query = RerankQuery { tokens: &query, candidates };
                    scored += cpu.rerank(&[query], &params)?.len() * candidates.len();
                }
                let each = started.elapsed().as_secs_f64() / count(scored);
                point.best[which] = point.best[which].min(each);
            }
        }
    }
    let scores = first_scores(store, &prepared)?;
    let mean = count(usize::try_from(store.meta().tokens).unwrap_or(0)) / count(store.documents());
    let out: Vec<Value> = points
        .iter()
        .map(|p| {
            let bytes = mean * count(p.form.bytes_a_row(store.meta().stride));
            json!({
                "kernels": p.kernels.name(), "form": p.form.name(), "bytes_a_document": bytes,
                "cache_ns": p.best[0] * 1e9, "memory_ns": p.best[1] * 1e9,
                "memory_in_order_ns": p.best[2] * 1e9,
                "memory_gb_s": bytes / p.best[1] / 1e9,
            })
        })
        .collect();
    let report = json!({
        "documents": store.documents(), "tokens_a_document": mean, "dims": store.meta().dims,
        "query_rows": query.len(), "candidates": args.candidates, "rounds": args.rounds,
        "read_gb_s": read / 1e9, "copy_gb_s": copy / 1e9, "prepare_ns": prepare * 1e9,
        "points": out, "fp16_scores": scores,
    });
    #[expect(clippy::print_stdout, reason = "the report")]
    {
        println!("{report}");
    }
    Ok(())
}

#[derive(Debug)]
struct Point {
    kernels: Kernels,
    form: Form,
    /// Seconds a document: from cache, from memory by address, from memory in order.
    best: [f64; 3],
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(n: usize) -> f64 {
    n as f64
}

/// Seconds of one call, of the mean over `times`.
fn seconds(times: usize, mut call: impl FnMut()) -> f64 {
    let started = Instant::now();
    (0..times).for_each(|_| call());
    started.elapsed().as_secs_f64() / count(times)
}

fn make(args: &Args, rows: &mut TokenRows) -> anyhow::Result<()> {
    let mut options = quarry_benches::options(&args.work);
    options.seal.lists = Lists::NONE;
    let vector = SparseVector::from_pairs(vec![(0, 1.0)])?;
    let ids = rows.ids().to_vec();
    let documents = ids.iter().map(|id| {
        let vector = Some(InputVector::Terms(vector.clone()));
        Ok::<_, Infallible>(Document { id: id.clone(), vector, ..Document::default() })
    });
    build(documents, None, &options, &|_| {})?;
    let options = TokenOptions {
        forms: Form::ALL.to_vec(),
        pool: 1,
        centroids: 256,
        replace: false,
        source: Value::Null,
    };
    let dims = rows.dims();
    let mut read = |id: &str| {
        let at = rows.find(id).unwrap_or(0);
        rows.rows(at).map_err(|e| BuildError::Input(e.into()))
    };
    add_tokens(&args.work, &options, TokenInput::Rows(dims, &mut read), &|_| {})?;
    Ok(())
}

fn read_query(path: &std::path::Path) -> anyhow::Result<TokenEmbeddings> {
    let with = |end: &str| PathBuf::from(format!("{}{end}", path.display()));
    let mut rows = TokenRows::open(&with(".npy"), &with(".lengths.npy"), &with(".ids"))?;
    Ok(rows.rows(0)?)
}

/// Every document once, shuffled, in sets.
fn candidates(store: &TokenStore, size: usize) -> Vec<Vec<Hit>> {
    let mut docs: Vec<u32> = (0..u32::try_from(store.documents()).unwrap_or(u32::MAX)).collect();
    let mut numbers = Numbers::new(1);
    for at in (1..docs.len()).rev() {
        let other = numbers.below(u32::try_from(at + 1).unwrap_or(u32::MAX));
        docs.swap(at, other as usize);
    }
    let hit = |doc: &u32| Hit { segment: 0, doc: DocId(*doc), score: 1.0 };
    docs.chunks_exact(size).map(|set| set.iter().map(hit).collect()).collect()
}

fn cached(point: &Point, store: &TokenStore, query: &QueryRows) -> f64 {
    let (kernels, mut scratch) = (point.kernels, Scratch::new(query.stride()));
    let stride = query.stride();
    let times = if kernels == Kernels::Scalar { 10 } else { 1000 };
    let mut sum = 0f32;
    let mut all = |score: &mut dyn FnMut(DocId) -> f32| {
        seconds(times, || (0..CACHED).for_each(|doc| sum += score(DocId(doc))))
    };
    let each = match point.form {
        Form::Int8 => store.int8().map(|rows| {
            all(&mut |doc| kernels.int8(query, &rows.slice(store.rows(doc)), &mut scratch))
        }),
        Form::Fp16 => store.fp16().map(|rows| {
            all(&mut |doc| {
                let at = store.rows(doc);
                kernels.fp16(query, &rows[at.start * stride..at.end * stride], &mut scratch)
            })
        }),
        Form::Residual => store.residual().map(|rows| {
            let table = query.centroid_table(&rows);
            all(&mut |doc| {
                kernels.residual(query, &rows.slice(store.rows(doc)), &table, &mut scratch)
            })
        }),
        Form::Sign => store.signs().map(|rows| {
            all(&mut |doc| kernels.signs(query, &rows.slice(store.rows(doc)), &mut scratch))
        }),
    };
    black_box(sum);
    each.unwrap_or(f64::INFINITY) / f64::from(CACHED)
}

/// fp16 scores of the first documents, to be compared with the peer's.
fn first_scores(store: &TokenStore, query: &QueryRows) -> anyhow::Result<Vec<f32>> {
    let (rows, stride) = (store.fp16().context("no fp16 rows")?, query.stride());
    let mut scratch = Scratch::new(stride);
    let score = |doc| {
        let at = store.rows(DocId(doc));
        Kernels::detect().fp16(query, &rows[at.start * stride..at.end * stride], &mut scratch)
    };
    Ok((0..100).map(score).collect())
}

/// Bytes a second that one core reads, and copies (read and written once each).
fn rates() -> (f64, f64) {
    const WORDS: usize = 1 << 25;
    let source = vec![1u64; WORDS];
    let mut target = vec![0u64; WORDS];
    let started = Instant::now();
    black_box(black_box(&source).iter().fold(0u64, |sum, v| sum.wrapping_add(*v)));
    let read = count(8 * WORDS) / started.elapsed().as_secs_f64();
    target.copy_from_slice(&source);
    let started = Instant::now();
    black_box(&mut target).copy_from_slice(black_box(&source));
    let copy = count(8 * WORDS) / started.elapsed().as_secs_f64();
    (read, copy)
}
