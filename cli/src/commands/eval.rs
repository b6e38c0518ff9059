//! `quarry eval`

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use quarry_datasets::measures::{EvaluateOptions, Evaluation, Measure, evaluate, paired_t_test};
use quarry_datasets::{
    CollectionOptions, Qrels, QueryOptions, Run, RunFormat, open_qrels, open_queries,
};
use quarry_searcher::Method;
use quarry_vectors::{Query, SparseVector};
use serde_json::{Map, Value, json};

use crate::collections::place;
use crate::commands::search::QueryFormatArg;
use crate::commands::{sets, stages};
use crate::given::{self, Given};
use crate::output::{line, note, table};
use crate::retrieve::{self, Channel, Opened, SearchArgs};

/// Least hits retrieved for a query.
const LEAST_DEPTH: usize = 100;
/// Hits retrieved when a measure has no cut-off.
const FULL_DEPTH: usize = 1000;

/// Options that speak of one collection.
const SINGLE: [&str; 9] = [
    "collection",
    "queries",
    "qrels",
    "run",
    "compare",
    "against_exact",
    "only",
    "per_query",
    "channel",
];

/// Evaluate a run, or an index on a collection with judgements
///
/// Either `quarry eval --run FILE --qrels FILE`, or `quarry eval DIR --collection FOLDER` (or
/// --queries FILE --qrels FILE), or `quarry eval DIR --sets FOLDER` for all collections of a folder
/// in one table. A judged query without a ranking counts as zero.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index
    dir: Option<PathBuf>,
    /// Folder with queries and judgements (BEIR's or MS MARCO's), or the name of a pulled collection
    #[arg(long, value_name = "FOLDER", requires = "dir")]
    collection: Option<PathBuf>,
    /// Folder of BEIR folders: index those that have no index in DIR, search each by BM25 and by
    /// vectors, print one table, and write the runs to DIR/runs
    #[arg(long, value_name = "FOLDER", requires = "dir", conflicts_with_all = SINGLE)]
    sets: Option<PathBuf>,
    /// Queries to search with, in place of the collection's: text or vectors
    #[arg(long, value_name = "FILE", requires = "dir")]
    queries: Option<PathBuf>,
    /// Format of the queries; a .tsv is taken for text unless this says anserini
    #[arg(long, value_enum, default_value_t = QueryFormatArg::Auto)]
    query_format: QueryFormatArg,
    /// Divide given query weights by this
    #[arg(long, value_name = "X")]
    query_scale: Option<f32>,
    /// Which judgements of the collection
    #[arg(long, value_name = "NAME", default_value = "test")]
    pub(crate) split: String,
    /// Judgements, in BEIR's or TREC's form
    #[arg(long, value_name = "FILE")]
    qrels: Option<PathBuf>,
    /// The run to evaluate; with DIR, where the run is written
    #[arg(long, value_name = "FILE")]
    pub(crate) run: Option<PathBuf>,
    /// A second run over the same queries: differences and a paired t-test
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Measures, as ir_measures names them: nDCG@k, RR@k, R@k, P@k, AP@k, Success@k, Judged@k
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "nDCG@10,R@100")]
    measures: Vec<String>,
    /// Leave out the document that has the query's own id [default: for arguana]
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) ignore_identical_ids: Option<bool>,
    /// Also search exactly, and report overlap@k: the share of the exact top k that was found. The exact
    /// ranking is that of the given weights in 64 bits where the file of vectors that the index was made
    /// of is still there, else that of the stored weights
    #[arg(long, value_name = "K", requires = "dir")]
    against_exact: Option<NonZeroUsize>,
    /// Use only queries FROM to TO of the file, from 1
    #[arg(long, value_name = "FROM-TO", value_parser = parse_range)]
    only: Option<(usize, usize)>,
    /// Print each query's values too
    #[arg(long)]
    per_query: bool,
    /// Print JSON: the means first
    #[arg(long)]
    pub(crate) json: bool,
    /// With --rerank: results that the second stage is asked for; what it leaves out follows in the
    /// first stage's order
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) rerank_k: NonZeroUsize,
    /// With --rerank: leave out the exhaustive search by MaxSim
    #[arg(long)]
    pub(crate) no_exhaustive: bool,
    #[command(flatten)]
    pub(crate) search: SearchArgs,
}

pub(crate) fn run(args: &Args, threads: Option<NonZeroUsize>) -> anyhow::Result<()> {
    let measures = args
        .measures
        .iter()
        .map(|m| m.trim().parse::<Measure>().map_err(anyhow::Error::from))
        .collect::<anyhow::Result<Vec<_>>>()?;
    if let (Some(root), Some(dir)) = (&args.sets, &args.dir) {
        return sets::run(root, dir, args, &measures, threads);
    }
    let collection = args.collection.as_deref().map(place).transpose()?;
    let collection = collection.as_deref();
    let drop_self = args.ignore_identical_ids.unwrap_or_else(|| is_arguana(collection));
    let qrels = match (&args.qrels, collection) {
        (Some(path), _) => Some(Qrels::read(path)?),
        (None, Some(folder)) => Some(open_qrels(folder, &args.split)?),
        (None, None) => None,
    };
    let mut report = Map::new();
    let run = match &args.dir {
        None => {
            let (Some(path), Some(_)) = (&args.run, &qrels) else {
                bail!("give --run FILE and --qrels FILE, or an index DIR and --collection FOLDER");
            };
            Run::read(path)?
        }
        Some(dir) => {
            let queries = queries(args, collection)?;
            let opened = retrieve::open(dir, &args.search)?;
            if let (true, Some(qrels)) = (args.search.second.rerank, &qrels) {
                let judged = stages::Judged { queries: &queries, qrels, drop_self };
                return stages::run(args, &opened, judged, &measures);
            }
            if let Some(k) = args.against_exact {
                let overlap = overlap(&opened, &queries, args, k)?;
                report.insert(format!("overlap@{k}"), json!(overlap));
            }
            let run = if qrels.is_some() || args.run.is_some() {
                opened.run(&queries, &args.search, depth(&measures)?, drop_self)?
            } else {
                Run::new("none")
            };
            if let Some(path) = &args.run {
                run.write(path, RunFormat::Trec)?;
            }
            run
        }
    };
    let mut evaluation = None;
    if let Some(qrels) = &qrels {
        evaluation = Some(evaluate(&run, qrels, &measures, EvaluateOptions { drop_self }));
    } else if report.is_empty() {
        bail!("no judgements: give --collection FOLDER or --qrels FILE");
    }
    let compared = match (&args.compare, &qrels) {
        (Some(path), Some(qrels)) => {
            Some(evaluate(&Run::read(path)?, qrels, &measures, EvaluateOptions { drop_self }))
        }
        _ => None,
    };
    if args.json {
        print_json(args, evaluation.as_ref(), compared.as_ref(), report)
    } else {
        print_text(args, evaluation.as_ref(), compared.as_ref(), &report)
    }
}

pub(crate) fn is_arguana(collection: Option<&Path>) -> bool {
    let name = collection
        .and_then(|c| c.canonicalize().ok())
        .and_then(|c| Some(c.file_name()?.to_owned()));
    name.is_some_and(|n| n.eq_ignore_ascii_case("arguana"))
}

fn queries(args: &Args, collection: Option<&Path>) -> anyhow::Result<Vec<Query>> {
    let Some(path) = args.queries.as_deref().or(collection) else {
        bail!("which queries? give --collection FOLDER or --queries FILE");
    };
    let options = QueryOptions {
        format: args.query_format.into(),
        scale: args.query_scale,
        split: Some(args.split.clone()),
    };
    let mut queries = open_queries(path, &options)?;
    if let Some((from, to)) = args.only {
        if from > queries.len() {
            bail!("--only {from}-{to}: there are {} queries", queries.len());
        }
        queries.truncate(to);
        queries.drain(..from - 1);
    }
    Ok(queries)
}

/// Share of the exact top k that the chosen method finds, on average over queries that have any.
/// A hit whose score equals the k-th exact one counts as found, whichever of the ties it is.
fn overlap(
    opened: &Opened,
    queries: &[Query],
    args: &Args,
    k: NonZeroUsize,
) -> anyhow::Result<f64> {
    if args.search.channel != Channel::Sparse {
        bail!("--against-exact compares searches of the sparse channel");
    }
    let vectors = opened.vectors(queries)?;
    let params = args.search.sparse_params(k);
    let filter = args.search.filter.as_deref().map(|f| opened.searcher.filter(f)).transpose()?;
    let batch = |params| opened.searcher.sparse_batch_filtered(&vectors, params, filter.as_ref());
    let found = batch(&params)?;
    if filter.is_none()
        && let Some(given) = given(opened, &vectors, k)
    {
        return Ok(given.overlap(&found));
    }
    let exact = quarry_searcher::SparseParams { method: Method::Exact, ..params };
    let exact = batch(&exact)?;
    Ok(quarry_searcher::mean_overlap(&found, &exact))
}

/// The ranking by the given weights; says what is judged by where there is none.
fn given(opened: &Opened, vectors: &[SparseVector], k: NonZeroUsize) -> Option<Given> {
    let index = opened.searcher.index();
    let read = |(path, options): (PathBuf, CollectionOptions)| {
        let given = Given::read(&opened.searcher, (&path, &options), (vectors, k.get()));
        given.map(|given| (path, given)).map_err(|error| format!("{error:#}"))
    };
    match given::source(index).and_then(read) {
        Ok((path, given)) => {
            note(format!("note: judged by the weights of {}, in 64 bits", path.display()));
            Some(given)
        }
        Err(why) => {
            let errors = index.segments().iter().filter_map(|s| s.forward());
            let error = errors.map(|f| f.meta().max_relative_error).fold(0.0, f64::max);
            note(format!(
                "note: judged by the stored weights, whose relative error is at most {error:.1e}: {why}"
            ));
            None
        }
    }
}

pub(crate) fn depth(measures: &[Measure]) -> anyhow::Result<NonZeroUsize> {
    let deepest = measures
        .iter()
        .map(|m| m.cutoff().map_or(FULL_DEPTH, |c| usize::try_from(c.get()).unwrap_or(FULL_DEPTH)))
        .fold(LEAST_DEPTH, usize::max);
    NonZeroUsize::new(deepest).context("a cut-off of zero")
}

fn print_json(
    args: &Args,
    evaluation: Option<&Evaluation>,
    compared: Option<&Evaluation>,
    report: Map<String, Value>,
) -> anyhow::Result<()> {
    let mut out = Map::new();
    if let Some(evaluation) = evaluation {
        for (measure, mean) in evaluation.means() {
            out.insert(measure.to_string(), json!(mean));
        }
        out.insert("queries".into(), json!(evaluation.queries().len()));
        out.insert("unanswered".into(), json!(evaluation.unanswered()));
    }
    out.extend(report);
    if let (Some(evaluation), Some(compared)) = (evaluation, compared) {
        let mut tests = Map::new();
        for (i, (measure, mean)) in compared.means().enumerate() {
            let test = t_test(evaluation, compared, i)?;
            let test =
                json!({"mean": mean, "difference": test.difference, "t": test.t, "p": test.p});
            tests.insert(measure.to_string(), test);
        }
        out.insert("compared".into(), Value::Object(tests));
    }
    if let Some(evaluation) = evaluation.filter(|_| args.per_query) {
        let mut per_query = Map::new();
        for (q, query) in evaluation.queries().iter().enumerate() {
            let values: Map<String, Value> = evaluation
                .measures()
                .iter()
                .enumerate()
                .filter_map(|(i, m)| Some((m.to_string(), json!(evaluation.values(i)?.get(q)?))))
                .collect();
            per_query.insert(query.clone(), Value::Object(values));
        }
        out.insert("per_query".into(), Value::Object(per_query));
    }
    crate::output::json(&out)
}

fn t_test(
    left: &Evaluation,
    right: &Evaluation,
    measure: usize,
) -> anyhow::Result<quarry_datasets::measures::TTest> {
    let left = left.values(measure).context("a measure without values")?;
    let right = right.values(measure).context("a measure without values")?;
    Ok(paired_t_test(left, right)?)
}

fn print_text(
    args: &Args,
    evaluation: Option<&Evaluation>,
    compared: Option<&Evaluation>,
    report: &Map<String, Value>,
) -> anyhow::Result<()> {
    if let Some(evaluation) = evaluation {
        if args.per_query {
            for (q, query) in evaluation.queries().iter().enumerate() {
                for (i, measure) in evaluation.measures().iter().enumerate() {
                    let value = evaluation.values(i).and_then(|v| v.get(q)).copied().unwrap_or(0.0);
                    line(format!("{query}\t{measure}\t{value:.4}"))?;
                }
            }
        }
        let mut rows = Vec::new();
        if compared.is_some() {
            rows.push(
                ["measure", "run", "compared", "difference", "p"].map(str::to_owned).to_vec(),
            );
        }
        for (i, (measure, mean)) in evaluation.means().enumerate() {
            let mut row = vec![measure.to_string(), format!("{mean:.4}")];
            if let Some(compared) = compared {
                let test = t_test(evaluation, compared, i)?;
                row.push(format!("{:.4}", mean - test.difference));
                row.push(format!("{:+.4}", test.difference));
                row.push(format!("{:.4}", test.p));
            }
            rows.push(row);
        }
        rows.push(vec!["queries".into(), evaluation.queries().len().to_string()]);
        std::io::Write::write_all(&mut std::io::stdout().lock(), table(&rows).as_bytes())?;
        if evaluation.unanswered() > 0 {
            crate::output::note(format!(
                "note: {} judged queries have no ranking and count as zero",
                evaluation.unanswered()
            ));
        }
    }
    for (name, value) in report {
        line(format!("{name}  {:.4}", value.as_f64().unwrap_or(0.0)))?;
    }
    Ok(())
}

fn parse_range(text: &str) -> Result<(usize, usize), String> {
    let parsed = text.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    parsed
        .filter(|(from, to)| *from >= 1 && from <= to)
        .ok_or_else(|| format!("`{text}` is no range such as 1-1000"))
}
