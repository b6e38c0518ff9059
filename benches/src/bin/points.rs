//! Overlap and time of search settings, one thread, one query at a time: one JSON line a point.
//!
//! 1. read the queries  2. the oracle, on all cores  3. of each point overlap@k, which also warms it
//! 4. `--passes` timed passes, in which the points take turns  5. print the median of the passes'
//!    means, the mean of every query's fastest pass (what others on the machine disturb least), p50
//!    and p99 of the last pass, and the counts

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Parser;
use quarry_datasets::{QueryOptions, open_queries};
use quarry_index::{Index, Verify};
use quarry_searcher::{
    ChannelQuery, Filter, Kernels, Method, Options, Outcome, Searcher, SparseOptions, Stats,
    mean_overlap,
};
use quarry_vectors::{DocId, InputVector, SparseVector};
use roaring::RoaringBitmap;
use serde_json::json;

/// Measure overlap and time of search settings.
#[derive(Debug, Parser)]
struct Args {
    /// Folder of the index
    index: PathBuf,
    /// Queries' vectors
    #[arg(long)]
    queries: PathBuf,
    /// Queries used, by position from 1
    #[arg(long, default_value = "1-1000")]
    only: String,
    /// Results wanted
    #[arg(long, default_value = "10")]
    k: NonZeroUsize,
    /// METHOD[:KNOB=VALUE,...], for example impact:postings=20000,candidates=100 or auto:overlap=.95
    #[arg(long = "point", required = true)]
    points: Vec<String>,
    /// Timed passes
    #[arg(long, default_value_t = 5)]
    passes: usize,
    /// Inner loops: scalar, avx2 or avx512 [default: the best]
    #[arg(long)]
    kernels: Option<String>,
    /// What overlap is measured against: scan, or exact (quicker)
    #[arg(long, default_value = "scan")]
    oracle: String,
    /// Copy vectors and lists into memory first
    #[arg(long)]
    preload: bool,
    /// Let only some documents be found: random:SHARE, or term:SHARE for those with the term that has
    /// about that share of the documents
    #[arg(long)]
    allow: Option<String>,
    /// Also time all queries at once over all cores
    #[arg(long)]
    batch: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut index = Index::open(&args.index, Verify::Envelope)?;
    if args.preload {
        index.preload()?;
    }
    let mut searcher = Searcher::new(Arc::new(index));
    match args.kernels.as_deref() {
        None => {}
        Some("scalar") => searcher = searcher.with_kernels(Kernels::Scalar),
        Some("avx2") => searcher = searcher.with_kernels(Kernels::Avx2),
        Some("avx512") => searcher = searcher.with_kernels(Kernels::Avx512),
        Some(other) => bail!("--kernels {other}: expected scalar, avx2 or avx512"),
    }
    let queries = read(&args, searcher.index())?;
    let points: Vec<Options<'_>> =
        args.points.iter().map(|p| point(p, args.k)).collect::<anyhow::Result<_>>()?;
    let oracle = Method::named(&args.oracle).filter(|m| matches!(m, Method::Scan | Method::Exact));
    let oracle = oracle.with_context(|| format!("--oracle {}", args.oracle))?;
    let oracle = Options {
        sparse: SparseOptions { method: oracle, ..SparseOptions::default() },
        ..Options::new(args.k)
    };
    let filter = args.allow.as_deref().map(|allow| filter(&searcher, allow)).transpose()?;
    let filter = filter.as_ref();
    let all: Vec<ChannelQuery<'_>> = queries.iter().map(ChannelQuery::Sparse).collect();
    let exact = searcher.search_batch(&all, &Options { filter, ..oracle })?;
    let mut overlaps = Vec::new();
    for params in &points {
        let found: Vec<Outcome> = queries
            .iter()
            .map(|q| searcher.search(&ChannelQuery::Sparse(q), &Options { filter, ..*params }))
            .collect::<Result<_, _>>()?;
        overlaps.push((mean_overlap(&found, &exact), totals(&found), found[0].method));
    }
    let mut means = vec![Vec::new(); points.len()];
    let mut each = vec![Vec::new(); points.len()];
    let mut fastest = vec![vec![f64::INFINITY; queries.len()]; points.len()];
    for _ in 0..args.passes.max(1) {
        for (at, params) in points.iter().enumerate() {
            each[at].clear();
            let started = Instant::now();
            for (query, fastest) in queries.iter().zip(&mut fastest[at]) {
                let one = Instant::now();
                searcher.search(&ChannelQuery::Sparse(query), &Options { filter, ..*params })?;
                let took = one.elapsed().as_secs_f64() * 1e6;
                *fastest = fastest.min(took);
                each[at].push(took);
            }
            means[at].push(started.elapsed().as_secs_f64() * 1e6 / per(queries.len()));
        }
    }
    for (at, name) in args.points.iter().enumerate() {
        means[at].sort_by(f64::total_cmp);
        each[at].sort_by(f64::total_cmp);
        let (overlap, stats, method) = &overlaps[at];
        let n = per(queries.len());
        let mean = |count: u64| (per(usize::try_from(count).unwrap_or(usize::MAX)) / n).round();
        let mut line = json!({
            "point": name, "method": method, "k": args.k, "overlap": overlap,
            "us": means[at][means[at].len() / 2], "best_us": means[at][0],
            "fastest_us": fastest[at].iter().sum::<f64>() / n,
            "p50_us": each[at][each[at].len() / 2], "p99_us": each[at][each[at].len() * 99 / 100],
            "kernels": format!("{:?}", searcher.kernels()).to_lowercase(),
            "postings": mean(stats.postings), "documents_scored": mean(stats.documents_scored),
            "blocks_estimated": mean(stats.blocks_estimated), "blocks_visited": mean(stats.blocks_visited),
        });
        if let Some(filter) = filter {
            let full = |outcome: &Outcome| outcome.hits.len() >= args.k.get().min(filter.rows());
            line["allowed"] = json!(filter.rows());
            line["short_answers"] = json!(exact.iter().filter(|o| !full(o)).count());
        }
        if args.batch {
            let mut rates: Vec<f64> = Vec::new();
            for _ in 0..args.passes.max(1) {
                let started = Instant::now();
                searcher.search_batch(&all, &Options { filter, ..points[at] })?;
                rates.push(n / started.elapsed().as_secs_f64());
            }
            rates.sort_by(f64::total_cmp);
            line["batch_queries_per_s"] = json!(rates[rates.len() / 2].round());
        }
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok(())
}

fn filter(searcher: &Searcher, allow: &str) -> anyhow::Result<Filter> {
    let (kind, share) = allow.split_once(':').context("--allow KIND:SHARE")?;
    let share: f64 = share.parse()?;
    let mut bitmaps = Vec::new();
    for segment in searcher.index().segments() {
        let forward = segment.forward().context("an index without vectors")?;
        let rows = u32::try_from(forward.len())?;
        bitmaps.push(match kind {
            "random" => {
                let lot = |row: &u32| {
                    let mixed = (u64::from(*row) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    f64::from(u32::try_from((mixed ^ mixed >> 29) >> 32).unwrap_or(0))
                        / 2f64.powi(32)
                };
                (0..rows).filter(|row| lot(row) < share).collect()
            }
            "term" => {
                let mut of_terms = vec![0u32; forward.meta().dimension as usize];
                for row in 0..rows {
                    forward.record(DocId(row)).iter().for_each(|(t, _)| of_terms[t as usize] += 1);
                }
                let off = |count: &u32| (f64::from(*count) - share * f64::from(rows)).abs();
                let nearest =
                    of_terms.iter().enumerate().min_by(|a, b| off(a.1).total_cmp(&off(b.1)));
                let term = nearest.map_or(0, |(term, _)| term);
                let has =
                    |row: &u32| forward.record(DocId(*row)).iter().any(|(t, _)| t as usize == term);
                (0..rows).filter(has).collect::<RoaringBitmap>()
            }
            other => bail!("--allow {other}: expected random or term"),
        });
    }
    Ok(searcher.filter_of(&bitmaps)?)
}

fn read(args: &Args, index: &Index) -> anyhow::Result<Vec<SparseVector>> {
    let (from, to) = args.only.split_once('-').context("--only FROM-TO")?;
    let (from, to): (usize, usize) = (from.parse()?, to.parse()?);
    let options = QueryOptions { split: None, ..QueryOptions::default() };
    let all = open_queries(&args.queries, &options)?;
    let vectors = all.into_iter().skip(from.saturating_sub(1)).take(to.saturating_sub(from) + 1);
    let vectors: Vec<SparseVector> = vectors
        .map(|q| match q.vector {
            Some(InputVector::Terms(vector)) => Ok(vector),
            Some(InputVector::Tokens(tokens)) => {
                let lexicon = index.lexicon().context("an index without vectors")?;
                let known =
                    |(token, weight): (String, f32)| Some((lexicon.term(&token)?.0, weight));
                Ok(SparseVector::from_pairs(tokens.into_iter().filter_map(known))?)
            }
            _ => bail!("{}: query {} has no vector", args.queries.display(), q.id),
        })
        .collect::<anyhow::Result<_>>()?;
    if vectors.is_empty() { bail!("no queries") } else { Ok(vectors) }
}

fn point(text: &str, k: NonZeroUsize) -> anyhow::Result<Options<'static>> {
    let (method, knobs) = text.split_once(':').unwrap_or((text, ""));
    let method = Method::named(method).with_context(|| format!("no method {method}"))?;
    let mut params =
        Options { sparse: SparseOptions { method, ..SparseOptions::default() }, ..Options::new(k) };
    for knob in knobs.split(',').filter(|k| !k.is_empty()) {
        let (name, value) = knob.split_once('=').with_context(|| format!("{knob}: no ="))?;
        match name {
            "postings" => params.sparse.postings = Some(value.parse()?),
            "candidates" => params.sparse.candidates = Some(value.parse()?),
            "cut" => params.sparse.query_cut = Some(value.parse()?),
            "heap" => params.sparse.heap_factor = Some(value.parse()?),
            "overlap" => params.sparse.overlap = value.parse()?,
            _ => bail!("{text}: no knob {name}"),
        }
    }
    Ok(params)
}

fn totals(outcomes: &[Outcome]) -> Stats {
    outcomes.iter().fold(Stats::default(), |sum, o| Stats {
        documents_scored: sum.documents_scored + o.stats.documents_scored,
        blocks_estimated: sum.blocks_estimated + o.stats.blocks_estimated,
        blocks_visited: sum.blocks_visited + o.stats.blocks_visited,
        postings: sum.postings + o.stats.postings,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a number of queries")]
fn per(n: usize) -> f64 {
    n as f64
}
