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
/// One line a text: {"id": ..., "vector": {token: weight}}, which `quarry index` and other engines
/// read. An unfinished file is FILE.part, beside its record FILE.part.json: --resume continues it, without it is
/// begun again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Collection (or queries, with --queries): a file or a folder
    input: PathBuf,
    /// Where the vectors go
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// INPUT holds queries: use the model's query side
    #[arg(long)]
    queries: bool,
    /// Continue FILE.part, which an interrupted run left
    #[arg(long)]
    resume: bool,
    /// Do share I of N of the work, as one of N machines: every N-th run of 1,024 documents. `quarry
    /// merge --out FILE FILE1 ... FILEN` puts them together
    #[arg(long, value_name = "I/N", conflicts_with = "queries")]
    shard: Option<Share>,
    /// Documents of one id that are not the same; of those that are, one is encoded
    #[arg(long, value_enum, default_value_t = DuplicatesArg::Refuse)]
    duplicates: DuplicatesArg,
    /// Replace FILE if it is there
    #[arg(long)]
    overwrite: bool,
    /// Model: a folder, a name as org/name, or doc=MODEL,query=MODEL [default: the bundled one]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    #[command(flatten)]
    run_on: model::RunOnArgs,
    /// Longest passage in tokens; the rest is cut [default: the model's]
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// Components kept of a vector, the heaviest; 0 keeps all [default: the model's]
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
