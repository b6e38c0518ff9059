//! `quarry dense`: an index gets dense vectors, and a graph over them.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use quarry_engine::write::{DenseFrom, GraphOptions, StoreDense, Writer};
use quarry_engine::{DEFAULT_NEIGHBOURS, DenseStorage};
use quarry_index::dense::DenseStore;
use quarry_index::neighbours::{NeighbourParams, Neighbours};
use quarry_index::{Index, Verify};
use serde_json::json;

use crate::models::{self, models};
use crate::output::{bytes, counted, line};
use crate::progress::Progress;
use crate::told::{told, told_of_options};
use crate::watched::show_stage;

/// Add the dense vectors that --channel dense searches
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add dense vectors to an index, as a new generation
    ///
    /// They are made by a model from the texts of the index, one vector for each document or passage, or read from files
    /// of another program, one for each document: those of passages cannot be imported. If some segments have them, the
    /// others get theirs, from the same model and in the same form. After an interruption the same command continues.
    Add(AddArgs),
    /// Build the graph that --dense-method graph searches, as a new generation
    ///
    /// Every document gets the documents whose dense vectors are near it. Segments of fewer than 4,096 vectors need no
    /// graph and are scanned. From then on every change of the index keeps the graph complete.
    Graph(GraphArgs),
}

#[derive(Debug, clap::Args)]
struct GraphArgs {
    /// Folder of the index
    dir: PathBuf,
    /// Neighbours of a document, 4 to 256 [default: as the index has it, else 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=256))]
    degree: Option<u32>,
    /// Documents kept while a document's neighbours are searched, 8 to 4096; more is slower to build and more accurate
    /// [default: as the index has it, else 96]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=4096))]
    build_beam: Option<u32>,
    /// Rebuild an existing graph
    #[arg(long)]
    replace: bool,
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// Folder of the index
    dir: PathBuf,
    /// Vectors of all documents, documents x dimensions (.npy, fp16 or fp32). A row of zeros is a document without
    /// a vector, which --channel dense does not find
    #[arg(long, value_name = "FILE", requires = "ids")]
    rows: Option<PathBuf>,
    /// The documents' ids, one a line, in the order of the rows
    #[arg(long, value_name = "FILE", requires = "rows")]
    ids: Option<PathBuf>,
    /// Model of dense vectors: a folder as sentence-transformers saves it, or a name such as org/name [default: the
    /// index's, else the bundled one]
    #[arg(long, value_name = "MODEL", conflicts_with = "rows")]
    model: Option<String>,
    /// Cut texts at N tokens [default: as the model does]
    #[arg(long, value_name = "N", conflicts_with = "rows")]
    max_tokens: Option<u32>,
    /// Keep the first N dimensions of a vector, brought to length one again where the model does that: for models
    /// trained so (Matryoshka) [default: that of the index, else all]
    #[arg(long, value_name = "N", conflicts_with = "rows")]
    dims: Option<u32>,
    /// Form in which vectors are stored [default: that of the index, else int8]
    #[arg(long, value_enum)]
    storage: Option<StorageArg>,
    /// Replace existing dense vectors
    #[arg(long)]
    replace: bool,
    /// Build the graph that --dense-method graph searches as well
    #[arg(long)]
    graph: bool,
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StorageArg {
    /// One byte a dimension, and a scale a vector.
    Int8,
    /// Half precision.
    Fp16,
    /// Single precision.
    Fp32,
}

impl From<StorageArg> for DenseStorage {
    fn from(arg: StorageArg) -> Self {
        match arg {
            StorageArg::Int8 => Self::Int8,
            StorageArg::Fp16 => Self::Fp16,
            StorageArg::Fp32 => Self::Fp32,
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Add(args) => add(args),
        Command::Graph(args) => graph(args),
    }
}

fn graph(args: &GraphArgs) -> anyhow::Result<()> {
    let index = Index::open(&args.dir, Verify::Envelope)?;
    let has = index.features().neighbours.unwrap_or(DEFAULT_NEIGHBOURS);
    drop(index);
    let mut options = GraphOptions::default();
    options.params = Some(NeighbourParams {
        degree: args.degree.unwrap_or(has.degree),
        beam: args.build_beam.unwrap_or(has.beam),
    });
    options.replace = args.replace;
    let progress = Progress::new(false);
    let made = Writer::open(&args.dir, models())
        .and_then(|writer| writer.add_graph(options, &|event| show_stage(event, &progress)));
    progress.finish();
    let generation = made
        .map_err(told)
        .with_context(|| format!("building the graph of {}", args.dir.display()))?;
    let index = Index::open(&args.dir, Verify::Envelope)?;
    let graphs: Vec<_> = index.segments().iter().filter_map(|s| s.neighbours()).collect();
    if args.json {
        let graphs: Vec<_> =
            graphs.iter().map(|g| json!({ "meta": g.meta(), "bytes": g.bytes() })).collect();
        return crate::output::json(&json!({ "generation": generation, "graphs": graphs }));
    }
    match generation {
        Some(generation) => line(format!("{}: generation {generation}", args.dir.display()))?,
        None => line(format!("{}: the graph is complete already", args.dir.display()))?,
    }
    if graphs.is_empty() {
        line("graph       no segment is large enough to need one; all are scanned")?;
    }
    graphs.into_iter().try_for_each(show_graph)
}

/// What a graph over dense vectors holds, in a line.
pub(crate) fn show_graph(graph: &Neighbours) -> anyhow::Result<()> {
    let NeighbourParams { degree, beam } = graph.meta().params;
    Ok(line(format!(
        "graph       {degree} neighbours a document, searched with a beam of {beam}; {} in all",
        bytes(graph.bytes())
    ))?)
}

fn add(args: &AddArgs) -> anyhow::Result<()> {
    let from = match (&args.rows, &args.ids) {
        (Some(rows), Some(ids)) => DenseFrom::Files { rows: rows.clone(), ids: ids.clone() },
        _ => {
            let model = models::source(args.model.as_deref()).unwrap_or_default();
            DenseFrom::Model { model, max_tokens: args.max_tokens, dims: args.dims }
        }
    };
    let store = StoreDense { storage: args.storage.map(Into::into), replace: args.replace };
    let progress = Progress::new(false);
    let show = |event| show_stage(event, &progress);
    let added = Writer::open(&args.dir, models()).and_then(|writer| {
        let generation = writer.add_dense(&from, store, &show)?;
        Ok((generation, args.graph.then(|| writer.add_graph(GraphOptions::default(), &show))))
    });
    progress.finish();
    let (generation, graph) = added
        .map_err(|error| told_of_options(error, args.max_tokens.is_some() || args.dims.is_some()))
        .with_context(|| format!("adding dense vectors to {}", args.dir.display()))?;
    let graph = graph.transpose().map_err(told).with_context(|| {
        let dir = args.dir.display();
        format!("{dir}: the dense vectors are there (generation {generation}), but not the graph; `quarry dense graph {dir}` builds it")
    })?;
    report(args, graph.flatten().unwrap_or(generation))
}

fn report(args: &AddArgs, generation: u64) -> anyhow::Result<()> {
    let index = Index::open(&args.dir, Verify::Envelope)?;
    let stores: Vec<_> = index.segments().iter().filter_map(|s| s.dense()).collect();
    if args.json {
        let dense: Vec<_> =
            stores.iter().map(|s| json!({ "meta": s.meta(), "bytes": s.bytes() })).collect();
        return crate::output::json(&json!({ "generation": generation, "dense": dense }));
    }
    line(format!("{}: generation {generation}", args.dir.display()))?;
    stores.into_iter().try_for_each(show)?;
    index.segments().iter().filter_map(|s| s.neighbours()).try_for_each(show_graph)
}

/// What a store of dense vectors holds, in a line.
pub(crate) fn show(store: &DenseStore) -> anyhow::Result<()> {
    let meta = store.meta();
    Ok(line(format!(
        "dense       {} of {} dimensions; a row takes {} {} B; {} in all",
        counted(meta.vectors, "vector"),
        meta.dims,
        meta.storage.name(),
        meta.storage.bytes_a_row(meta.stride),
        bytes(store.bytes())
    ))?)
}
