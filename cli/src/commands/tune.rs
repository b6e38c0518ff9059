//! `quarry tune`: an index measures its search methods and keeps the table.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use quarry_datasets::read_vocabulary;
use quarry_engine::write::{Calibrate, Calibrated, GivenQueries, Writer};
use quarry_engine::{Collection, EngineError, Index, OpenOptions, Snapshot, Verify};
use quarry_index::calibration::Calibration;
use quarry_vectors::{Query, SparseVector};

use super::tune_fusion::FusionTuning;
use crate::applies::Given;
use crate::exit::{BadInput, Usage};
use crate::models;
use crate::output::{counted, line, note, table};
use crate::progress::Progress;
use crate::queries::{OF_QUERIES, QueryArgs};
use crate::told::told;
use crate::watched::show_stage;

/// Measure the search methods of an index on this machine, so that --overlap can choose
///
/// `quarry index` does this at the end of a build, with synthetic queries made of the documents. With --fusion it chooses
/// weights of channels by judgements instead, and writes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index
    dir: PathBuf,
    /// File of queries like those that will be searched [default: synthetic queries]
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    #[command(flatten)]
    query_args: QueryArgs,
    /// File of the tokens that term numbers stand for, one a line, for queries in .bin and .csr. Needed if the
    /// index numbers its terms in the order of its documents
    #[arg(long, value_name = "FILE", requires = "queries")]
    vocab: Option<PathBuf>,
    /// Use at most N queries, sampled evenly from the file
    #[arg(long, value_name = "N", default_value = "1000")]
    most: NonZeroUsize,
    /// Model for the queries: a folder, or a name as org/name; needed where queries go through a network
    /// [default: the index's own copies]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Print the table as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    fusion: FusionTuning,
}

impl Args {
    /// Refuses options that would do nothing.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        self.fusion.check(given)?;
        let of_file = self.queries.is_some();
        let why = "queries are made of the index's documents; it is about --queries";
        given.only_if(of_file, &["most", "model"], why)?;
        given.only_if(of_file, &OF_QUERIES, why)
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(method) = args.fusion.method() {
        return args.fusion.run(&args.dir, method);
    }
    let how = Calibrate {
        queries: given(args)?,
        model: models::source(args.model.as_deref()),
        // What a damaged part says is not measured.
        verify: Verify::Full,
    };
    let Calibrated { tables, .. } = calibrate(&args.dir, &how).map_err(told)?;
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

/// Measures an index that was written a moment ago; the new generation, if there is one. A failure is told as
/// what `failed` says: the index is whole without.
pub(crate) fn afterwards(dir: &Path, failed: &str) -> Option<u64> {
    match calibrate(dir, &Calibrate::default()) {
        Ok(done) => done.generation,
        Err(error) => {
            let error = told(error);
            note(format!("note: {failed} ({error:#}); `quarry tune` tries again"));
            None
        }
    }
}

/// Measures an index, with a progress bar.
fn calibrate(dir: &Path, how: &Calibrate) -> Result<Calibrated, EngineError> {
    let progress = Progress::new(false);
    progress.stage("tuning", 0);
    let models = models::models();
    let done = Writer::open(dir, models)
        .and_then(|writer| writer.calibrate(how, &|event| show_stage(event, &progress)));
    progress.finish();
    done.inspect(tell_network)
}

/// Says that a network was not given, where queries go through one.
pub(crate) fn tell_network(done: &Calibrated) {
    if done.lacks_network {
        note(
            "note: queries go through a network, and its model was not given: the index was measured with queries \
             made of the documents' vectors instead",
        );
    }
}

/// The queries of the file, as vectors.
fn given(args: &Args) -> anyhow::Result<Option<GivenQueries>> {
    let Some(file) = &args.queries else { return Ok(None) };
    let index = Arc::new(Index::open(&args.dir, Verify::Envelope)?);
    if !index.has_sparse() {
        return Ok(None);
    }
    let mut options = OpenOptions::default();
    options.models = models::models();
    options.queries = models::of_queries(args.model.as_deref());
    let collection = Collection::of_index(index, &options).map_err(told)?;
    let name = file.file_name();
    let source =
        name.map_or_else(|| file.display().to_string(), |name| name.to_string_lossy().into_owned());
    Ok(Some(GivenQueries { source, vectors: read(&collection.snapshot(), args, file)? }))
}

fn read(snapshot: &Snapshot, args: &Args, file: &Path) -> anyhow::Result<Vec<SparseVector>> {
    let all: Vec<Query> = args.query_args.read(file, None)?;
    let step = all.len().div_ceil(args.most.get()).max(1);
    let some: Vec<Query> = all.into_iter().step_by(step).collect();
    let names = args.vocab.as_deref().map(read_vocabulary).transpose()?;
    let vectors = crate::queries::vectors(snapshot, &some, names.as_deref())?;
    let vectors: Vec<SparseVector> = vectors.into_iter().filter(|v| !v.is_empty()).collect();
    if vectors.is_empty() {
        let text = format!("{}: no query that could be measured", file.display());
        return Err(BadInput(text).into());
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
        "\nmicroseconds a query on one thread, by overlap@k ({}: {}; {})",
        counted(u64::from(calibration.queries), "query"),
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
