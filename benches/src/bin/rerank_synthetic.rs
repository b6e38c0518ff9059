//! What a second stage costs beside the first, on one core: an index of vectors gets synthetic token
//! embeddings, and both stages answer the same queries one after another.
//!
//! 1. a copy of the index (files are linked where the disk allows it) gets `--tokens` rows a document in
//!    int8, random and of length one; kept in `--work`
//! 2. each pass times, query by query: the first stage for k results, the first stage for the depth,
//!    and the second stage over those candidates with nothing pruned, with candidate pruning, with early
//!    exit, with both; queries alternate between the variants, so all meet the same caches
//! 3. medians of the passes' means, and means of every query's fastest time (what others on the machine
//!    disturb least); overlap@k of the first stage with the exact one, counts; JSON

use std::fs;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use quarry_datasets::{QueryOptions, open_queries};
use quarry_index::tokens::Form;
use quarry_index::{Index, Verify};
use quarry_indexer::{BuildError, TokenInput, TokenOptions, add_tokens};
use quarry_reranker::CpuReranker;
use quarry_searcher::{
    ChannelQuery, DEFAULT_ALPHA, DEFAULT_BETA, Hit, Method, Options, Rerank, RerankParams,
    RerankQuery, RerankStats, Searcher, SparseOptions, mean_overlap,
};
use quarry_vectors::{InputVector, SparseVector, TokenEmbeddings};
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use serde_json::{Value, json};

const DIMS: usize = 128;
const QUERY_ROWS: usize = 32;

/// Measure both stages with synthetic token embeddings.
#[derive(Debug, Parser)]
struct Args {
    /// Folder of an index with vectors by term number
    index: PathBuf,
    /// Queries' vectors
    #[arg(long)]
    queries: PathBuf,
    /// Queries used, by position from 1
    #[arg(long, default_value = "1-1000")]
    only: String,
    /// Folder for the copy with token embeddings; kept
    #[arg(long)]
    work: PathBuf,
    /// Rows of a document
    #[arg(long, default_value_t = 80)]
    tokens: usize,
    /// Results wanted
    #[arg(long, default_value = "10")]
    k: NonZeroUsize,
    /// Candidates handed to the second stage
    #[arg(long, default_value = "50")]
    depth: NonZeroUsize,
    /// Overlap@k that the first stage aims at
    #[arg(long, default_value_t = 0.97)]
    overlap: f32,
    /// Postings that the first stage reads, in place of the aim [with --candidates]
    #[arg(long, requires = "candidates")]
    postings: Option<NonZeroUsize>,
    /// Candidates that the first stage scores
    #[arg(long, requires = "postings")]
    candidates: Option<NonZeroUsize>,
    /// Timed passes
    #[arg(long, default_value_t = 12)]
    passes: usize,
    /// Read the mapped files, not a copy of them on huge pages
    #[arg(long)]
    mapped: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    if !args.work.join("CURRENT").exists() {
        link(&args.index, &args.work)?;
    }
    let mut index = Index::open(&args.work, Verify::Envelope)?;
    if !index.has_tokens() {
        drop(index);
        let started = Instant::now();
        embed(&args)?;
        writeln!(std::io::stderr(), "rows made in {:.0} s", started.elapsed().as_secs_f64())?;
        index = Index::open(&args.work, Verify::Envelope)?;
    }
    if !args.mapped {
        index.preload()?;
    }
    let index = Arc::new(index);
    let searcher = Searcher::new(Arc::clone(&index));
    let reranker = CpuReranker::new(Arc::clone(&index))?.with_form(Form::Int8)?;
    let queries = read(&args)?;
    let mut random = SmallRng::seed_from_u64(2);
    let rows: Vec<TokenEmbeddings> =
        queries.iter().map(|_| rows(&mut random, QUERY_ROWS)).collect::<Result<_, _>>()?;
    let first = |k: NonZeroUsize| {
        let params = Options {
            sparse: SparseOptions { overlap: args.overlap, ..SparseOptions::default() },
            ..Options::new(k)
        };
        match (args.postings, args.candidates) {
            (Some(postings), Some(candidates)) => Options {
                sparse: SparseOptions {
                    method: Method::Impact,
                    postings: Some(postings),
                    candidates: Some(candidates.max(k)),
                    ..params.sparse
                },
                ..params
            },
            _ => params,
        }
    };
    let (short, deep) = (first(args.k), first(args.depth));
    let second =
        RerankParams { weight: quarry_searcher::DEFAULT_WEIGHT, ..RerankParams::new(args.k) };
    let variants = [
        ("all scored", second),
        ("candidate pruning", RerankParams { alpha: Some(DEFAULT_ALPHA), ..second }),
        ("early exit", RerankParams { beta: Some(DEFAULT_BETA), ..second }),
        ("both", RerankParams { alpha: Some(DEFAULT_ALPHA), beta: Some(DEFAULT_BETA), ..second }),
    ];
    let exact = Options {
        sparse: SparseOptions { method: Method::Exact, ..SparseOptions::default() },
        ..Options::new(args.k)
    };
    let exact = searcher
        .search_batch(&queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(), &exact)?;
    let found = searcher
        .search_batch(&queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(), &short)?;
    let overlap = mean_overlap(&found, &exact);
    let mut means = vec![Vec::new(); variants.len() + 2];
    let mut fastest = vec![vec![f64::INFINITY; queries.len()]; means.len()];
    let mut counts = vec![RerankStats::default(); variants.len()];
    for pass in 0..=args.passes {
        let mut spent = vec![0.0; means.len()];
        let mut add = |which: usize, at: usize, seconds: f64| {
            spent[which] += seconds;
            let least: &mut f64 = &mut fastest[which][at];
            // The first pass warms.
            *least = if pass > 0 { least.min(seconds) } else { *least };
        };
        for (at, (query, tokens)) in queries.iter().zip(&rows).enumerate() {
            let started = Instant::now();
            searcher.search(&ChannelQuery::Sparse(query), &short)?;
            add(0, at, started.elapsed().as_secs_f64());
            // One variant a query and pass: its candidates' rows are in no cache.
            let turn = (at + pass) % variants.len();
            let started = Instant::now();
            let outcome = searcher.search(&ChannelQuery::Sparse(query), &deep)?;
            let between = Instant::now();
            let candidates: &[Hit] = &outcome.hits;
            let query = RerankQuery { tokens, candidates };
            let made = reranker.rerank(&[query], &variants[turn].1)?;
            add(2 + turn, at, between.elapsed().as_secs_f64());
            add(1, at, (between - started).as_secs_f64());
            ensure!(!made[0].hits.is_empty() || candidates.is_empty(), "a query found nothing");
            if pass > 0 {
                counts[turn].add(&made[0].stats);
            }
        }
        if pass > 0 {
            for (which, (mean, spent)) in means.iter_mut().zip(spent).enumerate() {
                let asked = queries.len() / if which < 2 { 1 } else { variants.len() };
                mean.push(spent * 1e6 / count(asked.max(1)));
            }
        }
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let times: Vec<f64> = means.iter_mut().map(median).collect();
    let least = |seconds: &Vec<f64>| seconds.iter().sum::<f64>() * 1e6 / count(queries.len());
    let fastest: Vec<f64> = fastest.iter().map(least).collect();
    let asked = count(args.passes * queries.len() / variants.len());
    let seconds: Vec<Value> = variants
        .iter()
        .zip(&counts)
        .zip(times[2..].iter().zip(&fastest[2..]))
        .map(|(((name, _), counts), (us, fast))| {
            #[expect(clippy::cast_precision_loss, reason = "a mean")]
            let scored = counts.scored as f64 / asked;
            json!({ "variant": name, "us": us, "fastest_us": fast, "scored": scored,
                "fastest_us_a_document": fast / scored, "of_first_stage": fast / fastest[0],
                "of_first_stage_at_depth": fast / fastest[1] })
        })
        .collect();
    let report = json!({
        "documents": searcher.index().segments().iter().map(|s| s.documents().len()).sum::<usize>(),
        "tokens": args.tokens, "dims": DIMS, "query_rows": QUERY_ROWS, "k": args.k, "depth": args.depth,
        "queries": queries.len(), "passes": args.passes, "preloaded": !args.mapped,
        "method": found.first().map(|f| f.method), "overlap": overlap, "device": reranker.device(),
        "alpha": DEFAULT_ALPHA, "beta": DEFAULT_BETA,
        "first_stage_us": times[0], "first_stage_fastest_us": fastest[0],
        "first_stage_at_depth_us": times[1], "first_stage_at_depth_fastest_us": fastest[1],
        "second_stage": seconds,
    });
    writeln!(std::io::stdout(), "{report:#}")?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(n: usize) -> f64 {
    n as f64
}

/// The files of a folder in another: linked where they are never rewritten and the disk allows it.
fn link(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        let part = path.extension().is_some_and(|e| e == "qry");
        if !(part && fs::hard_link(&path, to.join(name)).is_ok()) {
            fs::copy(&path, to.join(name)).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

fn embed(args: &Args) -> anyhow::Result<()> {
    let options = TokenOptions {
        forms: vec![Form::Int8],
        pool: 1,
        centroids: 1,
        replace: false,
        source: json!("synthetic rows"),
    };
    let mut random = SmallRng::seed_from_u64(1);
    let mut made =
        |_: &str| rows(&mut random, args.tokens).map_err(|e| BuildError::Input(e.into()));
    add_tokens(&args.work, &options, TokenInput::Rows(DIMS, &mut made), &|_| {})?;
    Ok(())
}

/// Random rows of length one; a value is the sum of four bytes, near enough to a normal one.
fn rows(
    random: &mut SmallRng,
    count: usize,
) -> Result<TokenEmbeddings, quarry_vectors::TokenEmbeddingsError> {
    let mut values = vec![0f32; count * DIMS];
    let mut raw = [0u8; 4 * DIMS];
    for row in values.chunks_exact_mut(DIMS) {
        random.fill_bytes(&mut raw);
        for (value, four) in row.iter_mut().zip(raw.as_chunks::<4>().0) {
            *value = four.iter().map(|b| f32::from(*b)).sum::<f32>() - 510.0;
        }
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt().max(1.0);
        row.iter_mut().for_each(|v| *v /= length);
    }
    TokenEmbeddings::new(DIMS, values)
}

fn read(args: &Args) -> anyhow::Result<Vec<SparseVector>> {
    let (from, to) = args.only.split_once('-').context("--only FROM-TO")?;
    let (from, to): (usize, usize) = (from.parse()?, to.parse()?);
    let options = QueryOptions { split: None, ..QueryOptions::default() };
    let all = open_queries(&args.queries, &options)?;
    let chosen = all.into_iter().skip(from.saturating_sub(1)).take(to.saturating_sub(from) + 1);
    let vector = |q: quarry_vectors::Query| match q.vector {
        Some(InputVector::Terms(vector)) => Ok(vector),
        _ => bail!("query {} has no vector by term number", q.id),
    };
    chosen.map(vector).collect()
}
