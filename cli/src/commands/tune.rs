//! `quarry tune`: an index measures its search methods and keeps the table.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use quarry_datasets::read_vocabulary;
use quarry_engine::{Collection, Index, OpenOptions, Snapshot, Verify, needs_network};
use quarry_index::calibration::Calibration;
use quarry_indexer::store_calibration;
use quarry_searcher::{Asked, calibrate};
use quarry_vectors::{EncodeQuery, Query, SparseVector};

use crate::applies::Given;
use crate::exit::Usage;
use crate::model;
use crate::output::{count, line, note, table};
use crate::progress::Progress;
use crate::queries::{OF_QUERIES, QueryArgs};

/// Measure the index's search methods on this machine, for --overlap to plan by
///
/// The end of `quarry index` does the same with queries made of the index's own documents: encoded by the
/// index's own query side, where it has one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index
    dir: PathBuf,
    /// Queries like those that will be asked [default: made of the documents]
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    #[command(flatten)]
    query_args: QueryArgs,
    /// Names of term numbers, one token a line, for queries in .bin and .csr; needed where the index's
    /// terms have names in the order of its documents
    #[arg(long, value_name = "FILE", requires = "queries")]
    vocab: Option<PathBuf>,
    /// Of the queries, at most so many, spread over the file
    #[arg(long, value_name = "N", default_value_t = 1000)]
    most: usize,
    /// Model for questions: a folder, or a name as org/name; where questions go through a network,
    /// made ones are otherwise made of vectors [default: the index's own copies]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Print the table as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Refuses options that would do nothing.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        let of_file = self.queries.is_some();
        let why = "queries are made of the index's documents; it is about --queries";
        given.only_if(of_file, &["most", "model"], why)?;
        given.only_if(of_file, &OF_QUERIES, why)
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    // What a damaged part says is not measured.
    let (tables, _) = tune(args, (Verify::Full, false))?;
    if args.json {
        return crate::output::json(&tables);
    }
    for table in tables.iter().flatten() {
        show(table)?;
    }
    if tables.iter().all(Option::is_none) {
        line("nothing to tune: segments this small, or without lists, are searched exactly")?;
    }
    Ok(())
}

/// What `quarry index` does at its end.
pub(crate) fn after_build(
    dir: &Path,
    model: Option<&str>,
    quiet: bool,
) -> anyhow::Result<Option<u64>> {
    let (dir, model) = (dir.to_path_buf(), model.map(str::to_owned));
    let query_args = QueryArgs::default();
    let args = Args { dir, queries: None, query_args, vocab: None, most: 0, model, json: false };
    // Its parts were written a moment ago, of what was checked then.
    Ok(tune(&args, (Verify::Envelope, quiet))?.1)
}

/// The tables, and the generation that holds them when there are any.
fn tune(
    args: &Args,
    (verify, quiet): (Verify, bool),
) -> anyhow::Result<(Vec<Option<Calibration>>, Option<u64>)> {
    let index = Arc::new(Index::open(&args.dir, verify)?);
    if !index.has_sparse() {
        return Ok((Vec::new(), None));
    }
    let mut options = OpenOptions::default();
    options.models = model::models();
    options.queries = model::of_queries(args.model.as_deref());
    let snapshot = Collection::of_index(index, &options).map_err(model::told)?.snapshot();
    let given = args.queries.as_deref().map(|file| read(&snapshot, args, file)).transpose()?;
    let progress = Progress::new(quiet);
    progress.stage("tuning", 0);
    let name = args.queries.as_ref().map(|p| {
        p.file_name().map_or_else(|| p.display().to_string(), |n| n.to_string_lossy().into_owned())
    });
    let side = if given.is_none() { query_side(&snapshot)? } else { None };
    let asked = match name.as_deref().zip(given.as_deref()) {
        Some((name, queries)) => Asked::Given(name, queries),
        None => Asked::Made(side.as_ref().map(|(side, network)| (side.as_ref(), *network))),
    };
    let seed = snapshot.index().manifest().seed;
    let result = calibrate(snapshot.searcher(), asked, seed, &|done, total| {
        progress.set(done as u64, Some(total as u64), "kinds of queries", "");
    });
    progress.finish();
    let tables = result?;
    let stored = tables.iter().any(Option::is_some);
    let measured = snapshot.index().manifest().clone();
    // A generation that is open is kept: let go of it, so that its files can be collected.
    drop((side, snapshot));
    let store = || store_calibration(&args.dir, &measured, &tables);
    let generation = stored.then(store).transpose()?;
    Ok((tables, generation))
}

/// What makes vectors of the index's questions, and whether that is a network; `None` where vectors came
/// without a model, or its network was not given.
fn query_side(snapshot: &Snapshot) -> anyhow::Result<Option<(Arc<dyn EncodeQuery>, bool)>> {
    if snapshot.needs().is_some() {
        note(
            "note: questions go through a network, which --model would name: the queries that are measured \
             with are made of the documents' vectors instead",
        );
    }
    let network = needs_network(snapshot.index())?;
    Ok(snapshot.encoder().map(|encoder| (Arc::clone(encoder), network)))
}

fn read(snapshot: &Snapshot, args: &Args, file: &Path) -> anyhow::Result<Vec<SparseVector>> {
    let all: Vec<Query> = args.query_args.read(file, None)?;
    let step = all.len().div_ceil(args.most.max(1)).max(1);
    let some: Vec<Query> = all.into_iter().step_by(step).collect();
    let names = args.vocab.as_deref().map(read_vocabulary).transpose()?;
    let vectors = crate::queries::vectors(snapshot, &some, names.as_deref())?;
    let vectors: Vec<SparseVector> = vectors.into_iter().filter(|v| !v.is_empty()).collect();
    if vectors.is_empty() {
        bail!("{}: no query that could be measured", file.display());
    }
    Ok(vectors)
}

/// A table of what each overlap costs.
pub(crate) fn show(calibration: &Calibration) -> anyhow::Result<()> {
    if calibration.units.is_empty() {
        note(
            "note: measured by an earlier version, with times that other work on the machine may have \
             shifted; `quarry tune` measures again",
        );
    }
    let targets = [0.9, 0.95, 0.97, 0.98, 0.99, 0.995];
    line(format!(
        "\nmicroseconds a query on one thread, by overlap@k ({} queries: {}; {})",
        count(u64::from(calibration.queries)),
        calibration.source,
        calibration.kernels
    ))?;
    let mut head = vec!["k".to_owned(), "terms".to_owned(), "method".to_owned()];
    head.extend(targets.iter().map(|t| format!("{t:.3}")));
    let mut rows = vec![head];
    for curve in &calibration.curves {
        let mut row =
            vec![curve.k.to_string(), format!("{:.1}", curve.query_terms), curve.method.clone()];
        row.extend(targets.iter().map(|target| {
            let meets = curve.points.iter().find(|p| p.overlap >= *target);
            meets.map_or_else(|| "-".to_owned(), |p| format!("{:.0}", p.micros))
        }));
        rows.push(row);
    }
    crate::output::text(&table(&rows)).context("standard output")
}
