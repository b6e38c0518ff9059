//! The binary `quarry`: one subcommand a file, results on stdout, progress and messages on stderr.

mod bytes;
mod collections;
mod commands;
mod exit;
mod given;
mod model;
mod output;
mod plot;
mod progress;
mod queries;
mod rerank;
mod retrieve;
mod watched;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// A search engine for learned sparse retrieval.
///
/// Results go to standard output, progress and messages to standard error.
///
/// Exit codes: 0 done; 1 failed; 2 wrong usage; 3 no readable index; 4 bad input data;
/// 5 refused, because an index or an unfinished build is there (see --overwrite, --resume).
#[derive(Debug, Parser)]
#[command(name = "quarry", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Worker threads for encoding, building and batches of queries [default: all cores]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Index(commands::index::Args),
    Search(commands::search::Args),
    Eval(commands::eval::Args),
    Encode(commands::encode::Args),
    Export(commands::export::Args),
    Inspect(commands::inspect::Args),
    Add(commands::add::Args),
    Delete(commands::add::DeleteArgs),
    Merge(commands::add::MergeArgs),
    Lists(commands::lists::Args),
    Tokens(commands::tokens::Args),
    Upgrade(commands::upgrade::Args),
    Tune(commands::tune::Args),
    Dataset(commands::dataset::Args),
    Serve(commands::serve::Args),
    Model(commands::model::Args),
    Demo(commands::demo::Args),
    Completions(commands::completions::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("QUARRY_LOG").unwrap_or_else(|_| {
        // A server says once what it runs on; a command of one search need not.
        let server = matches!(cli.command, Command::Serve(_));
        let crates = if server { ",quarry_server=info,quarry_reranker=info" } else { "" };
        tracing_subscriber::EnvFilter::new(format!("warn{crates}"))
    });
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    if let Some(threads) = cli.threads
        && let Err(error) =
            rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global()
    {
        tracing::warn!(%error, "--threads has no effect");
    }
    let result = match cli.command {
        Command::Index(args) => commands::index::run(&args, cli.threads),
        Command::Search(args) => commands::search::run(&args),
        Command::Eval(args) => commands::eval::run(&args, cli.threads),
        Command::Encode(args) => commands::encode::run(&args, cli.threads),
        Command::Export(args) => commands::export::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Add(args) => commands::add::run(&args, cli.threads),
        Command::Delete(args) => commands::add::run_delete(&args),
        Command::Merge(args) => commands::add::run_merge(&args),
        Command::Lists(args) => commands::lists::run(&args),
        Command::Tokens(args) => commands::tokens::run(&args),
        Command::Upgrade(args) => commands::upgrade::run(&args),
        Command::Tune(args) => commands::tune::run(&args),
        Command::Dataset(args) => commands::dataset::run(&args),
        Command::Serve(args) => commands::serve::run(&args),
        Command::Model(args) => commands::model::run(&args),
        Command::Demo(args) => commands::demo::run(&args, cli.threads),
        Command::Completions(args) => commands::completions::run(&args, &mut Cli::command()),
    };
    exit::code(result)
}
