//! `quarry tokens add`: an index gets token embeddings.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use quarry_engine::EngineError;
use quarry_engine::write::{StoreTokens, TokensFrom, Writer};
use quarry_index::tokens::Form;
use quarry_index::{Index, Verify};
use serde_json::json;

use crate::applies::Given;
use crate::exit::Usage;
use crate::models::{self, models};
use crate::output::{bytes, count, counted, line};
use crate::progress::Progress;
use crate::told::{told, told_of_options};
use crate::watched::show_stage;

/// Add the token embeddings that reranking needs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add token embeddings to an index, as a new generation
    ///
    /// They are made by a model from the texts of the index, or read from files of another program. If some
    /// segments have them, the others get theirs, from the same model and in the same form. After an
    /// interruption the same command continues.
    Add(AddArgs),
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// Folder of the index
    dir: PathBuf,
    /// Rows of all documents, tokens x dimensions in fp16 or fp32
    #[arg(long, value_name = "FILE", requires = "lengths", requires = "ids")]
    npy: Option<PathBuf>,
    /// How many rows each document has (.npy, whole numbers)
    #[arg(long, value_name = "FILE", requires = "npy")]
    lengths: Option<PathBuf>,
    /// The documents' ids, one a line, in the order of the rows
    #[arg(long, value_name = "FILE", requires = "npy")]
    ids: Option<PathBuf>,
    /// Model whose token encoder is used [default: the bundled one]
    #[arg(long, value_name = "MODEL", conflicts_with = "npy")]
    model: Option<String>,
    /// Keep the first N dimensions of a row [default: those of the model, 128 for the bundled model]
    #[arg(long, value_name = "N", conflicts_with = "npy")]
    dims: Option<u32>,
    #[command(flatten)]
    store: StoreArgs,
    /// Replace existing token embeddings
    #[arg(long)]
    replace: bool,
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
}

/// How token embeddings are stored.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct StoreArgs {
    /// Forms in which rows are stored, comma-separated; int8,fp16 allows --exact-rerank [default: those of the
    /// index, else int8]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) store: Vec<FormArg>,
    /// Merge similar token embeddings of a document: keep one row for every N [default: as the index has
    /// them, else 1]
    #[arg(long, value_name = "N")]
    pub(crate) pool: Option<usize>,
    /// Number of centroids of the form 4bit [default: that of the index, else 256]
    #[arg(long, value_name = "N")]
    pub(crate) centroids: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormArg {
    /// One byte a dimension.
    Int8,
    /// Half precision.
    Fp16,
    /// A centroid and half a byte a dimension.
    #[value(name = "4bit")]
    Residual,
    /// One bit a dimension.
    #[value(name = "1bit")]
    Sign,
}

impl From<FormArg> for Form {
    fn from(arg: FormArg) -> Self {
        match arg {
            FormArg::Int8 => Self::Int8,
            FormArg::Fp16 => Self::Fp16,
            FormArg::Residual => Self::Residual,
            FormArg::Sign => Self::Sign,
        }
    }
}

impl StoreArgs {
    fn store(&self, replace: bool) -> StoreTokens {
        let forms = self.store.iter().map(|form| (*form).into()).collect();
        StoreTokens { forms, pool: self.pool, centroids: self.centroids, replace }
    }
}

impl Args {
    /// Refuses options that would do nothing.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        let Command::Add(args) = &self.command;
        let residual = args.store.store.contains(&FormArg::Residual);
        given.only_if(residual, &["centroids"], "it needs --store 4bit")
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Command::Add(args) = &args.command;
    let from = match (&args.npy, &args.lengths, &args.ids) {
        (Some(rows), Some(lengths), Some(ids)) => {
            TokensFrom::Files { rows: rows.clone(), lengths: lengths.clone(), ids: ids.clone() }
        }
        _ => {
            let model = models::source(args.model.as_deref()).unwrap_or_default();
            TokensFrom::Model { model, dims: args.dims }
        }
    };
    let generation = try_add(&args.dir, &from, &args.store.store(args.replace))
        .map_err(|error| told_of_options(error, args.dims.is_some()))
        .with_context(|| format!("adding token embeddings to {}", args.dir.display()))?;
    report(args, generation)
}

/// Adds token embeddings to an index, with a progress bar; the new generation.
pub(crate) fn add(dir: &Path, from: &TokensFrom, store: &StoreTokens) -> anyhow::Result<u64> {
    try_add(dir, from, store).map_err(told)
}

fn try_add(dir: &Path, from: &TokensFrom, store: &StoreTokens) -> Result<u64, EngineError> {
    let progress = Progress::new(false);
    let added = Writer::open(dir, models())
        .and_then(|writer| writer.add_tokens(from, store, &|event| show_stage(event, &progress)));
    progress.finish();
    added
}

fn report(args: &AddArgs, generation: u64) -> anyhow::Result<()> {
    let index = Index::open(&args.dir, Verify::Envelope)?;
    let stores: Vec<_> = index.segments().iter().filter_map(|s| s.tokens()).collect();
    if args.json {
        let tokens: Vec<_> =
            stores.iter().map(|s| json!({ "meta": s.meta(), "bytes": s.bytes() })).collect();
        return crate::output::json(&json!({ "generation": generation, "tokens": tokens }));
    }
    line(format!("{}: generation {generation}", args.dir.display()))?;
    stores.into_iter().try_for_each(show)
}

/// What a store of token embeddings holds, in a line.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn show(store: &quarry_index::tokens::TokenStore) -> anyhow::Result<()> {
    let meta = store.meta();
    let forms: Vec<String> = meta
        .forms
        .iter()
        .map(|form| format!("{} {} B", form.name(), form.bytes_a_row(meta.stride)))
        .collect();
    let each = meta.tokens as f64 / store.documents().max(1) as f64;
    let pooled = if meta.pool > 1 { format!(", pooled by {}", meta.pool) } else { String::new() };
    Ok(line(format!(
        "tokens      {} of {} dimensions, {each:.1} a document, at most {}{pooled}; a row takes {}; {} in all",
        counted(meta.tokens, "row"),
        meta.dims,
        count(meta.longest),
        forms.join(" + "),
        bytes(store.bytes())
    ))?)
}
