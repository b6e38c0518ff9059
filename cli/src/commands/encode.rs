//! `quarry encode INPUT --out FILE`

use std::num::NonZeroUsize;
use std::path::PathBuf;

use quarry_engine::write::{Encode, EncodeEvent, encode};
use quarry_indexer::Share;

use crate::applies::Given;
use crate::collections::place;
use crate::exit::Usage;
use crate::input::DuplicatesArg;
use crate::model;
use crate::models::{self, models};
use crate::output::{agreeing, counted, line, note};
use crate::outputs::expect_apart;
use crate::progress::Progress;
use crate::report::tell_truncated;
use crate::told::told_of_options;

/// Encode texts into sparse vectors, as JSONL
///
/// Writes one line per text, {"id": ..., "vector": {token: weight}}, which `quarry index` and other engines
/// read. Until it is complete the file is called FILE.part, with a record FILE.part.json beside it. After an
/// interruption --resume continues it; without --resume it is started again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Collection, or with --queries a file of queries: a file or a folder
    input: PathBuf,
    /// File to write the vectors to
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Encode INPUT as queries, with the model's query side
    #[arg(long)]
    queries: bool,
    /// Continue FILE.part of an interrupted run
    #[arg(long)]
    resume: bool,
    /// Encode shard I of N, on one of N machines: every N-th batch of 1,024 documents. Combine all N with
    /// `quarry merge --out FILE FILE1 ... FILEN`
    #[arg(long, value_name = "I/N", conflicts_with = "queries")]
    shard: Option<Share>,
    /// What to do with different documents of the same id. Of identical ones, one is encoded
    #[arg(long, value_enum, default_value_t = DuplicatesArg::Refuse)]
    duplicates: DuplicatesArg,
    /// Replace FILE if it exists
    #[arg(long)]
    overwrite: bool,
    /// Model: a folder, a name such as org/name, or doc=MODEL,query=MODEL [default: the bundled model]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    #[command(flatten)]
    run_on: model::RunOnArgs,
    /// Truncate texts after N tokens [default: the model's longest input]
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// Keep the N heaviest components of each vector; 0 keeps all [default: the model's]
    #[arg(long, value_name = "N")]
    top_k: Option<u32>,
}

impl Args {
    /// Refuses options that would do nothing.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        let why = "queries are encoded whole; it is about passages, without --queries";
        given.only_if(!self.queries, &["max_tokens", "top_k"], why)?;
        let why =
            "queries of one id that differ are refused; it is about documents, without --queries";
        given.only_if(!self.queries, &["duplicates"], why)
    }
}

pub(crate) fn run(args: &Args, threads: Option<NonZeroUsize>) -> anyhow::Result<()> {
    let run_on = args.run_on.options(threads, args.max_tokens, args.top_k);
    let how = Encode {
        out: args.out.clone(),
        overwrite: args.overwrite,
        resume: args.resume,
        queries: args.queries,
        duplicates: args.duplicates.into(),
        share: args.shard,
        model: models::source(args.model.as_deref()),
        device: run_on.device,
        memory: run_on.output_memory,
        sessions: run_on.sessions,
        max_tokens: run_on.max_tokens,
        top_k: run_on.top_k,
    };
    let input = place(&args.input)?;
    expect_apart(&args.out, &[Some(&input)])?;
    let progress = Progress::new(false);
    let result = encode(&input, &how, &models(), &|event| show(event, &progress));
    progress.finish();
    let encoded = result.map_err(|error| told_of_options(error, args.max_tokens.is_some()))?;
    for notice in &encoded.notices {
        note(format!("note: {notice}"));
    }
    tell_truncated(encoded.truncated);
    line(format!("{}: {}", args.out.display(), counted(encoded.vectors, "vector")))?;
    Ok(())
}

fn show(event: EncodeEvent<'_>, progress: &Progress) {
    match event {
        EncodeEvent::BegunAgain { path } => note(format!(
            "note: {} of an interrupted run is begun again; --resume would go on with it",
            path.display()
        )),
        EncodeEvent::Begun { done } => {
            if done > 0 {
                note(format!(
                    "note: {} {} taken from the interrupted run",
                    counted(done, "vector"),
                    agreeing(done, "was", "were")
                ));
            }
            progress.stage("encoding", done);
        }
        EncodeEvent::Documents { done, total } => progress.set(done, total, "documents", ""),
    }
}
