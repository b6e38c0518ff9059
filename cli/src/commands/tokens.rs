//! `quarry tokens add`: an index gets token embeddings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Subcommand, ValueEnum};
use quarry_datasets::TokenRows;
use quarry_index::features::TokensKept;
use quarry_index::tokens::Form;
use quarry_index::{Index, Verify};
use quarry_indexer::{BuildError, TokenInput, TokenOptions, add_tokens};
use serde_json::json;

use crate::applies::Given;
use crate::exit::Usage;
use crate::model;
use crate::output::{bytes, count, line};
use crate::progress::Progress;
use crate::watched::show_stage;

/// Work on an index's token embeddings, which reranking needs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add token embeddings to an index, as a new generation: from a model, over the index's own texts,
    /// or from files that another program wrote
    ///
    /// Where some segments have them, the others get theirs, of the same model, stored alike.
    ///
    /// A run over texts that was interrupted goes on where it ended when the same command is given
    /// again.
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
    /// Dimensions of a row, the model's first ones [default: the model's own, 128 of the bundled one]
    #[arg(long, value_name = "N", conflicts_with = "npy")]
    dims: Option<u32>,
    #[command(flatten)]
    store: StoreArgs,
    /// Replace token embeddings that are there already
    #[arg(long)]
    replace: bool,
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
}

/// How token embeddings are stored.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct StoreArgs {
    /// Forms in which rows are stored, separated by commas; int8,fp16 allows exact reranking [default:
    /// those that the index has, else int8]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) store: Vec<FormArg>,
    /// Pool similar rows of a document: one is left for so many [default: as the index has them, else 1]
    #[arg(long, value_name = "N")]
    pub(crate) pool: Option<usize>,
    /// Centroids of the form 4bit [default: as many as the index has, else 256]
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
    /// What is given, else as the index `has` them.
    pub(crate) fn options(
        &self,
        replace: bool,
        source: serde_json::Value,
        has: Option<&TokensKept>,
    ) -> TokenOptions {
        let forms = match (self.store.is_empty(), has) {
            (false, _) => self.store.iter().map(|form| (*form).into()).collect(),
            (true, Some(has)) => has.forms.clone(),
            (true, None) => vec![Form::Int8],
        };
        TokenOptions {
            forms,
            pool: self.pool.or(has.map(|has| has.pool)).unwrap_or(1),
            centroids: self.centroids.or(has.map(|has| has.centroids.max(1))).unwrap_or(256),
            replace,
            source,
        }
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
    let context = || format!("adding token embeddings to {}", args.dir.display());
    let generation = match (&args.npy, &args.lengths, &args.ids) {
        (Some(npy), Some(lengths), Some(ids)) => import(args, npy, lengths, ids),
        _ => {
            encode(&args.dir, (args.model.as_deref(), args.dims), &args.store, args.replace, false)
        }
    }
    .with_context(context)?;
    report(args, generation)
}

/// Encodes an index's texts into token embeddings.
pub(crate) fn encode(
    dir: &Path,
    (given, dims): (Option<&str>, Option<u32>),
    store: &StoreArgs,
    replace: bool,
    quiet: bool,
) -> anyhow::Result<u64> {
    let has = has_tokens(dir, replace)?;
    let (encoder, source) = match (&has, dims) {
        // Dimensions and lengths as the other segments have them.
        (Some(has), None) => model::document_encoder(has, given)?,
        _ => model::token_encoder(
            given,
            &quarry_encoders::TokenOptions { dims, ..Default::default() },
        )?,
    };
    let options = store.options(replace, source, has.as_ref());
    let progress = Progress::new(quiet);
    let added = add_tokens(dir, &options, TokenInput::Encoder(encoder.as_ref()), &|event| {
        show_stage(event, &progress);
    });
    progress.finish();
    Ok(added?)
}

/// The token embeddings of an index, unless they are replaced.
fn has_tokens(dir: &Path, replace: bool) -> anyhow::Result<Option<TokensKept>> {
    if replace {
        return Ok(None);
    }
    Ok(Index::open(dir, Verify::Envelope)?.features().tokens.clone())
}

fn import(args: &AddArgs, npy: &Path, lengths: &Path, ids: &Path) -> anyhow::Result<u64> {
    let mut rows = TokenRows::open(npy, lengths, ids)?;
    same_documents(&args.dir, &rows, (ids, args.replace))?;
    let name = npy.file_name().map(|n| n.to_string_lossy().into_owned());
    let has = has_tokens(&args.dir, args.replace)?;
    let options = args.store.options(args.replace, json!({ "file": name }), has.as_ref());
    let dims = rows.dims();
    let mut read = |id: &str| {
        let wrong = |e: Box<dyn std::error::Error + Send + Sync>| BuildError::Input(e);
        let at =
            rows.find(id).ok_or_else(|| wrong(format!("no rows for document `{id}`").into()))?;
        rows.rows(at).map_err(|e| wrong(e.into()))
    };
    let progress = Progress::new(false);
    let added = add_tokens(&args.dir, &options, TokenInput::Rows(dims, &mut read), &|event| {
        show_stage(event, &progress);
    });
    progress.finish();
    Ok(added?)
}

/// The files must be about documents of the index alone, and about all that get embeddings.
fn same_documents(
    dir: &Path,
    rows: &TokenRows,
    (path, replace): (&Path, bool),
) -> anyhow::Result<()> {
    let index = Index::open(dir, Verify::Envelope)?;
    let fills = !replace && index.segments().iter().any(|s| s.tokens().is_some());
    let given: BTreeSet<&str> = rows.ids().iter().map(String::as_str).collect();
    let mut theirs = given.clone();
    let mut lacking = Vec::new();
    let mut lacks = 0u64;
    for segment in index.segments() {
        let documents = segment.documents();
        for row in 0..documents.len() {
            let doc = quarry_vectors::DocId(u32::try_from(row).unwrap_or(u32::MAX));
            if segment.deleted().is_some_and(|deleted| deleted.contains(doc.0)) {
                continue;
            }
            let id = documents.id(doc);
            if documents.find(id).count() > 1 {
                bail!("document `{id}` was split into passages; rows by document do not fit them");
            }
            theirs.remove(id);
            let has = fills && segment.tokens().is_some();
            if !has && !given.contains(id) {
                lacks += 1;
                if lacking.len() < 3 {
                    lacking.push(format!("`{id}`"));
                }
            }
        }
    }
    let input = |what: String| BuildError::Input(what.into());
    if lacks > 0 {
        return Err(input(format!(
            "{}: {} documents of the index are not in it, such as {}: the files are about other documents",
            path.display(),
            count(lacks),
            lacking.join(", ")
        ))
        .into());
    }
    if !theirs.is_empty() {
        let some: Vec<String> = theirs.iter().take(3).map(|id| format!("`{id}`")).collect();
        return Err(input(format!(
            "{}: {} ids are not in the index, such as {}: the files are about other documents",
            path.display(),
            count(theirs.len() as u64),
            some.join(", ")
        ))
        .into());
    }
    Ok(())
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
        "tokens      {} rows of {} dimensions, {each:.1} a document, at most {}{pooled}; a row takes {}; {} in all",
        count(meta.tokens),
        meta.dims,
        count(meta.longest),
        forms.join(" + "),
        bytes(store.bytes())
    ))?)
}
