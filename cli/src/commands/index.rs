//! `quarry index INPUT --out DIR`

use std::num::NonZeroUsize;
use std::path::PathBuf;

use quarry_engine::EngineError;
use quarry_engine::write::{Build, BuiltShard, Calibration, Input, WriteError, build, build_shard};
use quarry_indexer::{BuildReport, Share};

use crate::commands::tune::tell_network;
use crate::input::InputArgs;
use crate::models::{self, models};
use crate::output::{count, counted, line, note};
use crate::progress::Progress;
use crate::report::{print_report, tell_build, tell_input, tell_repairs, tell_truncated};
use crate::told::{told, told_of_options};
use crate::watched::show;

/// Build an index from a collection
///
/// INPUT is a BEIR folder, MS MARCO's collection.tsv, JSONL with text or with sparse vectors (of
/// Seismic or Anserini), Seismic's .bin, BigANN's .csr, or CIFF; plain, .gz or .zst. The format is detected
/// from the content. Text is encoded with a model, and also indexed for BM25; vectors are indexed as given.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index; created if it does not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Also store token embeddings of the texts, for reranking, as `quarry tokens add` does
    #[arg(long)]
    pub(crate) tokens: bool,
    /// Model of the token embeddings: a folder, or a name such as org/name [default: --model, else the
    /// bundled model]
    #[arg(long, value_name = "MODEL", requires = "tokens")]
    pub(crate) token_model: Option<String>,
    /// Also store dense vectors of the texts, for --channel dense, as `quarry dense add` does
    #[arg(long, conflicts_with = "shard")]
    pub(crate) dense: bool,
    /// Model of the dense vectors: a folder, or a name such as org/name [default: the bundled model]
    #[arg(long, value_name = "MODEL", requires = "dense")]
    pub(crate) dense_model: Option<String>,
    /// Keep the first N dimensions of a dense vector, as `quarry dense add --dims` does [default: all]
    #[arg(long, value_name = "N", requires = "dense")]
    pub(crate) dense_dims: Option<u32>,
    /// Skip calibration at the end. Searches then use default settings, and --overlap is only a hint
    #[arg(long)]
    pub(crate) no_tune: bool,
    /// Replace an existing index, or discard an unfinished build
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Continue an interrupted build; finished batches are not encoded again
    #[arg(long)]
    pub(crate) resume: bool,
    /// Build shard I of N, on one of N machines. DIR will hold shard I only; combine all N with `quarry merge
    /// --out INDEX DIR1 ... DIRN`. Each machine reads all of INPUT and encodes every N-th batch of 1,024
    /// documents (65,536 for given vectors)
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Share>,
    /// Print a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    /// What is built, and how.
    fn build(&self, threads: Option<NonZeroUsize>) -> anyhow::Result<Build> {
        let token_model = self.token_model.as_deref().or(self.input.model.as_deref());
        Ok(Build {
            out: self.out.clone(),
            overwrite: self.overwrite,
            resume: self.resume,
            texts_as: self.input.texts_as(),
            brings_vectors: false,
            encoding: self.input.encoding(threads),
            seal: self.input.seal()?,
            tokens: self.tokens.then(|| models::source(token_model).unwrap_or_default()),
            dense: self
                .dense
                .then(|| models::source(self.dense_model.as_deref()).unwrap_or_default()),
            dense_dims: self.dense_dims,
            calibrate: !self.no_tune,
        })
    }
}

pub(crate) fn run(args: &Args, threads: Option<NonZeroUsize>) -> anyhow::Result<()> {
    args.input.tell_overlap();
    let (input, how) = (args.input.collection()?, args.build(threads)?);
    if let Some(share) = args.shard {
        return run_shard(args, (&input, &how), share);
    }
    let report = build_telling(&input, &how)?;
    if args.json {
        return crate::output::json(&report);
    }
    print_report(&args.out, &report)
}

/// Builds an index; what is worth knowing goes to standard error.
pub(crate) fn build_telling(input: &Input, how: &Build) -> anyhow::Result<BuildReport> {
    let progress = Progress::new(false);
    let result = build(input, how, &models(), &|event, reading| show(event, reading, &progress));
    progress.finish();
    let built = result.map_err(|error| failed(error, input, how))?;
    tell_build(&built.report, &built.input);
    match built.calibration {
        Calibration::Skipped => {}
        Calibration::Done(done) => tell_network(&done),
        // The index is whole without: searches then take default settings.
        Calibration::Failed(error) => note(format!(
            "note: the index is complete, but could not measure itself ({:#}); `quarry tune` tries again",
            told(error)
        )),
    }
    Ok(built.report)
}

/// The error of a build, with what it is about.
fn failed(error: EngineError, input: &Input, how: &Build) -> anyhow::Error {
    let encoding = &how.encoding;
    let given =
        encoding.max_tokens.is_some() || encoding.passages.is_some() || how.dense_dims.is_some();
    match error {
        EngineError::NoTokenModel { model, made_by: None } => anyhow::anyhow!(
            "model `{model}` gives no token embeddings; name one that does with --token-model"
        ),
        EngineError::Write(
            WriteError::TokensAfterBuild { .. } | WriteError::DenseAfterBuild { .. },
        ) => told(error),
        error => {
            told_of_options(error, given).context(format!("indexing {}", input.path.display()))
        }
    }
}

/// `--shard I/N`: one machine's share.
fn run_shard(args: &Args, (input, how): (&Input, &Build), share: Share) -> anyhow::Result<()> {
    let progress = Progress::new(false);
    let result = build_shard(input, how, share, &models(), &|event, reading| {
        show(event, reading, &progress);
    });
    progress.finish();
    let BuiltShard { report, input } = result.map_err(|error| failed(error, input, how))?;
    tell_input(&input);
    if args.json {
        return crate::output::json(&report);
    }
    tell_truncated(report.truncated);
    tell_repairs(&input);
    let complete = if report.already_complete { "complete already: " } else { "" };
    line(format!(
        "{}: {complete}shard {}, {} of {}; `quarry merge --out INDEX SHARD...` makes the index of all \
         shards",
        args.out.display(),
        report.shard,
        count(report.documents),
        counted(report.input_documents, "document")
    ))?;
    Ok(())
}
