//! `quarry add DIR INPUT`

use std::num::NonZeroUsize;
use std::path::PathBuf;

use quarry_engine::EngineError;
use quarry_engine::write::{Add, Added, NewDense, NewTokens, WriteError, Writer};

use crate::applies::Given;
use crate::exit::Usage;
use crate::input::InputArgs;
use crate::models::{self, models};
use crate::output::{count, counted, line, note};
use crate::progress::Progress;
use crate::report::{tell_input, tell_truncated};
use crate::told::{told, told_of_options};
use crate::watched::show;

/// Add documents to an index, replacing those with the same id
///
/// Reads the formats that `quarry index` reads. Texts are encoded as those of the index were: same model, same
/// longest input, same passages, with provenance if the index has it. They get the lists and token embeddings
/// that the index has. Vectors without ids (.bin, .csr) are numbered from the index's highest number on. If
/// the index then has more than eight segments, the smallest are merged.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index
    dir: PathBuf,
    #[command(flatten)]
    input: InputArgs,
    /// Model of the token embeddings, if the index has them: a folder, or a name such as org/name
    /// [default: --model, else the bundled model]
    #[arg(long, value_name = "MODEL", conflicts_with = "without_tokens")]
    token_model: Option<String>,
    /// Store no token embeddings for the new documents although the index has them. --rerank then does not
    /// move these documents, until `quarry tokens add` adds the missing embeddings
    #[arg(long)]
    without_tokens: bool,
    /// Model of the dense vectors, if the index has them: a folder, or a name such as org/name [default: the
    /// index's, else the bundled model]
    #[arg(long, value_name = "MODEL", conflicts_with = "without_dense")]
    dense_model: Option<String>,
    /// Store no dense vectors for the new documents although the index has them. --channel dense then does not
    /// find these documents, until `quarry dense add` adds the missing vectors
    #[arg(long)]
    without_dense: bool,
    /// Do not merge segments afterwards
    #[arg(long)]
    no_merge: bool,
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Refuses options that would do nothing.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        self.input.check(given)
    }
}

pub(crate) fn run(args: &Args, threads: Option<NonZeroUsize>) -> anyhow::Result<()> {
    args.input.tell_overlap();
    let input = args.input.collection()?;
    let tokens = match models::source(args.token_model.as_deref()) {
        Some(model) => NewTokens::By(model),
        None if args.without_tokens => NewTokens::Without,
        None => NewTokens::AsIndexed,
    };
    let dense = match models::source(args.dense_model.as_deref()) {
        Some(model) => NewDense::By(model),
        None if args.without_dense => NewDense::Without,
        None => NewDense::AsIndexed,
    };
    let how = Add {
        encoding: args.input.encoding(threads),
        texts_as: args.input.texts_as(),
        seal: args.input.seal()?,
        tokens,
        dense,
        merge: !args.no_merge,
        versions: None,
    };
    let writer = Writer::open(&args.dir, models()).map_err(told)?;
    let progress = Progress::new(false);
    let result = writer.add(&input, &how, &|event, reading| show(event, reading, &progress));
    progress.finish();
    let Added { report, input: seen } = match result {
        Ok(added) => added,
        Err(EngineError::Write(WriteError::NoTokensThere { index })) => {
            let option = if args.without_tokens { "--without-tokens" } else { "--token-model" };
            let text = format!("{option}: {} has no token embeddings", index.display());
            return Err(Usage(text).into());
        }
        Err(
            error @ EngineError::Write(WriteError::NewTokens { .. } | WriteError::NewDense { .. }),
        ) => return Err(told(error)),
        Err(error) => {
            let given = args.input.max_tokens.is_some() || args.input.passages.is_some();
            return Err(told_of_options(error, given)
                .context(format!("adding {}", args.input.input.display())));
        }
    };
    tell_input(&seen);
    if args.json {
        return crate::output::json(&report);
    }
    if let Some(first) = report.numbered_from {
        note(format!(
            "note: the documents have no ids; they are numbered from {first} on (--doc-ids FILE names \
             them, and replaces those that are there)"
        ));
    }
    tell_truncated(report.truncated);
    line(format!(
        "{}: generation {}, {} added, {} of them in place of others",
        args.dir.display(),
        report.generation,
        counted(report.added, "document"),
        count(report.replaced)
    ))?;
    Ok(())
}
