//! `quarry eval`

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;
use quarry_datasets::measures::{
    EvaluateOptions, Evaluation, Measure, TieOrder, evaluate as measured, paired_t_test,
};
use quarry_datasets::{Ignored, Qrels, Run, open_qrels};
use quarry_engine::RowOptions;
use quarry_engine::evaluate::{self, IndexJudgements, JudgedBy, Overlap, depth};
use quarry_vectors::Query;
use serde_json::{Map, Value, json};

use crate::applies::Given;
use crate::collections::place;
use crate::commands::judged::{tell_of_index, tell_of_run, tell_unanswered};
use crate::commands::{judged, sets, stages};
use crate::exit::Usage;
use crate::output::{line, note, table};
use crate::outputs::expect_apart;
use crate::queries::{OF_QUERIES, QueryArgs};
use crate::retrieve::{self, Channel, Opened, SearchArgs};
use crate::runs::{RunFormatArg, RunTarget};
use crate::told::told;

/// Results that a second stage is asked for unless told otherwise.
pub(crate) const RERANK_K: NonZeroUsize = match NonZeroUsize::new(10) {
    Some(ten) => ten,
    None => NonZeroUsize::MIN,
};

/// Options that speak of one collection.
const SINGLE: [&str; 14] = [
    "collection",
    "queries",
    "qrels",
    "run",
    "compare",
    "against_exact",
    "only",
    "per_query",
    "channel",
    "query_format",
    "query_scale",
    "vector_field",
    "ignore_pairs",
    "run_format",
];

/// Evaluate a run, or an index on a collection with judgements
///
/// Either `quarry eval --run FILE --qrels FILE`, or `quarry eval DIR --collection FOLDER` (or
/// --queries FILE --qrels FILE), or `quarry eval DIR --sets FOLDER` for all collections of a folder
/// in one table. Means are over all judged queries: one without a ranking counts as zero. Judged documents
/// that the index lacks are counted and named.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index
    dir: Option<PathBuf>,
    /// Folder with queries and judgements (BEIR's or MS MARCO's), or the name of a pulled collection
    #[arg(long, value_name = "FOLDER", requires = "dir")]
    collection: Option<PathBuf>,
    /// Folder of BEIR folders, also nested ones (cqadupstack/android), which make one row of means: check
    /// all, index those that have no index in DIR, search each by BM25 and by vectors, print one table,
    /// and write the runs to DIR/runs. What is there already is reused; a folder that cannot be used is
    /// reported and left out
    #[arg(long, value_name = "FOLDER", requires = "dir", conflicts_with_all = SINGLE)]
    sets: Option<PathBuf>,
    /// Queries to search with, in place of the collection's: text or vectors
    #[arg(long, value_name = "FILE", requires = "dir")]
    queries: Option<PathBuf>,
    #[command(flatten)]
    query_args: QueryArgs,
    /// Which judgements of the collection
    #[arg(long, value_name = "NAME", default_value = "test")]
    pub(crate) split: String,
    /// Judgements, in BEIR's or TREC's form
    #[arg(long, value_name = "FILE")]
    qrels: Option<PathBuf>,
    /// Without DIR the run to evaluate; with DIR where the run is written
    #[arg(long, value_name = "FILE")]
    pub(crate) run: Option<PathBuf>,
    /// Form of the run that is written
    #[arg(long, value_enum, requires = "dir", default_value_t = RunFormatArg::Trec)]
    run_format: RunFormatArg,
    /// Replace the run if it is there; with --sets runs of other settings and indexes of other collections
    #[arg(long, requires = "dir")]
    pub(crate) overwrite: bool,
    /// A second run over the same queries: differences and a paired t-test
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Measures, as ir_measures names them: nDCG@k, RR@k, R@k, P@k, AP@k, Success@k, Judged@k
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "nDCG@10,R@100")]
    measures: Vec<String>,
    /// Leave out the document that has the query's own id [default: for arguana]
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) ignore_identical_ids: Option<bool>,
    /// Leave out the documents of a file of pairs, query TAB document, for queries that are documents
    /// under other ids
    #[arg(long, value_name = "FILE")]
    ignore_pairs: Option<PathBuf>,
    /// Order of documents of equal score when measures are computed: trec_eval's, or that of
    /// ir_measures' MS MARCO provider
    #[arg(long, value_enum, default_value_t = TiesArg::Trec)]
    pub(crate) ties: TiesArg,
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
    /// With --rerank and --sets: results that the second stage is asked for, as `search --rerank -k N`
    /// does; what it leaves out follows in the first stage's order
    #[arg(long, value_name = "N", default_value_t = RERANK_K)]
    pub(crate) rerank_k: NonZeroUsize,
    /// With --rerank: leave out the exhaustive search by MaxSim
    #[arg(long)]
    pub(crate) no_exhaustive: bool,
    #[command(flatten)]
    pub(crate) search: SearchArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TiesArg {
    /// By id descending.
    Trec,
    /// By id ascending.
    Msmarco,
}

impl From<TiesArg> for TieOrder {
    fn from(arg: TiesArg) -> Self {
        match arg {
            TiesArg::Trec => Self::Trec,
            TiesArg::Msmarco => Self::MsMarco,
        }
    }
}

impl Args {
    /// Refuses options that would do nothing.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        let (sets, rerank) = (self.sets.is_some(), self.search.second.rerank);
        if self.dir.is_none() {
            let why = "a run is evaluated as it is; searches need the index, as DIR";
            SearchArgs::refuse(given, why)?;
            given.only_if(false, &["only", "rerank_k", "no_exhaustive"], why)?;
            given.only_if(false, &OF_QUERIES, why)?;
        }
        if self.queries.is_none() && !sets {
            given.only_if(
                false,
                &OF_QUERIES,
                "a collection's own queries are text; it is about --queries",
            )?;
        }
        let of_split = self.collection.is_some()
            || sets
            || self.queries.as_deref().is_some_and(|path| !path.is_file());
        given.only_if(of_split, &["split"], "it chooses the judgements of a --collection")?;
        let judged = self.qrels.is_some() || self.collection.is_some() || sets;
        let why = "without judgements nothing is measured; give --collection or --qrels";
        let measuring = ["measures", "compare", "per_query", "ties"];
        given.only_if(judged, &measuring, why)?;
        given.only_if(rerank && !sets, &["no_exhaustive"], "it leaves a part of --rerank out")?;
        given.only_if(rerank || sets, &["rerank_k"], "it is about --rerank")?;
        given.only_if(!sets, &["rerank"], "--sets reranks in a column of its own")?;
        let why =
            "--rerank prints stages side by side; write --run FILE, and evaluate that without DIR";
        given.only_if(!rerank, &["per_query", "compare"], why)?;
        given.only_if(!rerank, &["against_exact"], "--rerank reports no overlap; leave it out")?;
        if self.dir.is_none() {
            return Ok(());
        }
        let writes = self.run.is_some();
        given.only_if(writes, &["run_format"], "it is the form of the run that --run writes")?;
        given.only_if(writes || sets, &["overwrite"], "it replaces the run that --run names")?;
        let scores_tokens = rerank || sets || self.search.channel == Channel::Maxsim;
        self.search.check(given, (scores_tokens, sets))
    }
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
    let ignored = ignored(args, collection)?;
    let options = EvaluateOptions { ignored: Some(&ignored), ties: args.ties.into() };
    let qrels = match (&args.qrels, collection) {
        (Some(path), _) => Some(Qrels::read(path)?),
        (None, Some(folder)) => Some(open_qrels(folder, &args.split)?),
        (None, None) => None,
    };
    if let Some(notice) = qrels.as_ref().and_then(Qrels::notice) {
        note(format!("note: {notice}"));
    }
    // Read first: an output must not be mistaken for it.
    let other = args.compare.as_deref().map(Run::read).transpose()?;
    let mut report = Map::new();
    let (run, qrels) = match &args.dir {
        None => {
            let (Some(path), Some(qrels)) = (&args.run, qrels) else {
                bail!("give --run FILE and --qrels FILE, or an index DIR and --collection FOLDER");
            };
            let run = Run::read(path)?;
            tell_of_run(&run, &qrels);
            (run, Some(qrels))
        }
        Some(dir) => {
            let target = begin(args)?;
            let queries = queries(args, collection)?;
            tell_of_pairs(&ignored, &queries);
            let qrels = qrels.map(|qrels| only(args, qrels, &queries)).transpose()?;
            let opened = retrieve::open(dir, &args.search)?;
            if let Some(target) = &target {
                target.check(opened.searcher().index(), &queries)?;
            }
            if let Some(qrels) = &qrels {
                let judged = IndexJudgements::of(opened.searcher(), qrels);
                tell_of_index(&judged, "");
                judged::report(&judged, &mut report);
            }
            if let (true, Some(qrels)) = (args.search.second.rerank, &qrels) {
                let judged = stages::Judged { queries: &queries, qrels, options };
                return stages::run(args, &opened, judged, &measures, (target, report));
            }
            if let Some(k) = args.against_exact {
                let overlap = overlap(&opened, &queries, args, k)?;
                report.insert(format!("overlap@{k}"), json!(overlap));
            }
            let run = if qrels.is_some() || target.is_some() {
                search(args, &opened, &queries, (depth(&measures), &ignored))?
            } else {
                Run::new("none")
            };
            if let Some(target) = target {
                target.write(&run)?;
            }
            (run, qrels)
        }
    };
    let mut evaluation = None;
    if let Some(qrels) = &qrels {
        evaluation = Some(measured(&run, qrels, &measures, options));
    } else if report.is_empty() && args.run.is_none() {
        bail!("no judgements: give --collection FOLDER or --qrels FILE");
    }
    let compared = match (other, &qrels) {
        (Some(other), Some(qrels)) => Some(measured(&other, qrels, &measures, options)),
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

/// The run of the queries; with --rerank that of both stages.
fn search(
    args: &Args,
    opened: &Opened,
    queries: &[Query],
    (depth, ignored): (NonZeroUsize, &Ignored),
) -> anyhow::Result<Run> {
    if !args.search.second.rerank {
        return opened.run(queries, &args.search, depth, ignored);
    }
    stages::both(opened, queries, &args.search, (args.rerank_k, depth, ignored))?
        .reranked(opened, queries)
}

/// Where the run goes that a search makes. A file that is there is never taken for one to evaluate.
fn begin(args: &Args) -> anyhow::Result<Option<RunTarget>> {
    let Some(path) = &args.run else { return Ok(None) };
    if let Some(other) = &args.compare
        && path.canonicalize().ok().is_some_and(|path| other.canonicalize().ok() == Some(path))
    {
        let text =
            format!("--run and --compare are both {}: one is written, one is read", path.display());
        return Err(Usage(text).into());
    }
    let inputs = [&args.collection, &args.queries, &args.qrels, &args.ignore_pairs];
    expect_apart(path, &inputs.map(Option::as_deref))?;
    let target = RunTarget::begin(Some(path), args.run_format, args.overwrite);
    target.map(Some).context(
        "with an index, --run is where its run is written; without one, a run is evaluated",
    )
}

/// What is left out of rankings.
fn ignored(args: &Args, collection: Option<&Path>) -> anyhow::Result<Ignored> {
    let own = args.ignore_identical_ids.unwrap_or_else(|| is_arguana(collection));
    let mut ignored = Ignored::new(own);
    if let Some(path) = &args.ignore_pairs {
        ignored.read_pairs(path)?;
    }
    Ok(ignored)
}

/// Says which pairs of a file concern no query.
fn tell_of_pairs(ignored: &Ignored, queries: &[Query]) {
    let known: std::collections::HashSet<&str> = queries.iter().map(|q| q.id.as_str()).collect();
    let strange: Vec<&str> = ignored.queries().filter(|query| !known.contains(query)).collect();
    if let Some(first) = strange.iter().min() {
        let many = strange.len();
        note(format!(
            "note: --ignore-pairs: {many} of its queries are not searched with, such as {first:?}"
        ));
    }
}

/// With --only, the judgements of the queries that are used.
fn only(args: &Args, qrels: Qrels, queries: &[Query]) -> anyhow::Result<Qrels> {
    if args.only.is_none() {
        return Ok(qrels);
    }
    let used: std::collections::HashSet<&str> = queries.iter().map(|q| q.id.as_str()).collect();
    let qrels = qrels.only(|query| used.contains(query));
    if qrels.is_empty() {
        bail!("--only: none of these queries is judged");
    }
    Ok(qrels)
}

fn queries(args: &Args, collection: Option<&Path>) -> anyhow::Result<Vec<Query>> {
    let Some(path) = args.queries.as_deref().or(collection) else {
        bail!("which queries? give --collection FOLDER or --queries FILE");
    };
    let mut queries = args.query_args.read(path, Some(&args.split))?;
    if let Some((from, to)) = args.only {
        if from > queries.len() {
            bail!("--only {from}-{to}: there are {} queries", queries.len());
        }
        queries.truncate(to);
        queries.drain(..from - 1);
    }
    Ok(queries)
}

/// Share of the exact top k that the chosen method finds; says what it was judged by.
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
    let filter = args.search.filter.as_deref().map(|f| opened.searcher().filter(f)).transpose()?;
    let search = args.search.first_stage(k);
    let options = RowOptions { k, ..search.row_options(filter.as_ref()) };
    let found = evaluate::overlap(opened.searcher(), &vectors, &options);
    let Overlap { share, judged_by } = found.map_err(told)?;
    match judged_by {
        JudgedBy::Given { path } => {
            note(format!("note: judged by the weights of {}, in 64 bits", path.display()));
        }
        JudgedBy::Stored { max_relative_error: error, why: Some(why) } => note(format!(
            "note: judged by the stored weights, whose relative error is at most {error:.1e}: {why}"
        )),
        JudgedBy::Stored { why: None, .. } => {}
    }
    Ok(share)
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
        crate::output::text(&table(&rows))?;
        tell_unanswered(evaluation);
    }
    for (name, value) in report.iter().filter(|(name, _)| name.starts_with("overlap")) {
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
