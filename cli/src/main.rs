//! The binary `quarry`: one subcommand a file, results on stdout, progress and messages on stderr.

mod applies;
mod bytes;
mod channels;
mod collections;
mod commands;
mod dense;
mod exit;
mod feedback;
mod files;
mod help;
mod hub;
mod input;
mod model;
mod models;
mod output;
mod outputs;
mod plot;
mod progress;
mod queries;
mod report;
mod rerank;
mod retrieve;
mod runs;
mod settings;
mod telemetry;
mod terminal;
mod told;
mod watched;

use std::process::ExitCode;

use applies::Given;
use settings::Completed;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// A search engine for learned sparse retrieval.
///
/// Results go to standard output, progress and messages to standard error.
#[derive(Debug, Parser)]
#[command(name = "quarry", version, max_term_width = 100, after_long_help = help::AFTER)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Number of threads for encoding, building and files of queries, at most 1024 [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = parse_threads)]
    threads: Option<std::num::NonZeroUsize>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Index(commands::index::Args),
    Search(commands::search::Args),
    Eval(commands::eval_args::Args),
    Fuse(commands::fuse::Args),
    Encode(commands::encode::Args),
    Export(commands::export::Args),
    Inspect(commands::inspect::Args),
    Add(commands::add::Args),
    Delete(commands::delete::Args),
    Merge(commands::merge::Args),
    Lists(commands::lists::Args),
    Tokens(commands::tokens::Args),
    Dense(commands::dense::Args),
    Upgrade(commands::upgrade::Args),
    Tune(commands::tune::Args),
    Dataset(commands::dataset::Args),
    Serve(commands::serve::Args),
    Key(commands::key::Args),
    Model(commands::model::Args),
    Demo(commands::demo::Args),
    Completions(commands::completions::Args),
    Manual(commands::manual::Args),
}

/// More are of no use on any machine, and would fail far from here.
const MOST_THREADS: usize = 1024;

fn parse_threads(text: &str) -> Result<std::num::NonZeroUsize, String> {
    let threads = text.parse::<std::num::NonZeroUsize>().ok();
    threads
        .filter(|threads| threads.get() <= MOST_THREADS)
        .ok_or_else(|| format!("a number from 1 to {MOST_THREADS} was expected"))
}

/// A panic that becomes an error is told by that error alone.
fn quiet_guarded_panics() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !quarry_vectors::is_guarded() {
            told(panic);
        }
    }));
}

/// Tells what is wrong with the arguments, or gives the help that was asked for. An argument with control
/// characters is repeated without them, and then without colours.
fn misused(error: &clap::Error, given: &Completed) -> ExitCode {
    if error.use_stderr()
        && let Some(origins) = given.origins()
    {
        output::note(origins);
    }
    let plain = |arg: std::ffi::OsString| {
        let arg = arg.to_string_lossy();
        arg == terminal::escaped(&arg)
    };
    if !error.use_stderr() || given.words.iter().cloned().all(plain) {
        error.exit();
    }
    // Nothing is left to do when stderr is closed too.
    let _ =
        std::io::Write::write_all(&mut terminal::stderr(), error.render().to_string().as_bytes());
    ExitCode::from(2)
}

fn main() -> ExitCode {
    telemetry::off();
    let command = help::grouped(Cli::command());
    let given = match settings::completed(&command, std::env::args_os().collect()) {
        Ok(given) => given,
        Err(error) => return exit::code(Err(error.into())),
    };
    let matches = match command.try_get_matches_from(&given.words) {
        Ok(matches) => matches,
        Err(error) => return misused(&error, &given),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return misused(&error, &given),
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("QUARRY_LOG").unwrap_or_else(|_| {
        // A server says once what it runs on; a command of one search need not.
        let server = matches!(cli.command, Command::Serve(_));
        let crates = if server { ",quarry_server=info,quarry_reranker=info" } else { "" };
        tracing_subscriber::EnvFilter::new(format!("warn{crates}"))
    });
    // No colours: logs are kept in files, and what stands in them comes from outside.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        // Whoever read the log may be gone; that is no reason to fail a request.
        .log_internal_errors(false)
        .with_writer(|| terminal::LogLine);
    match &cli.command {
        Command::Serve(args) if args.logs_json() => {
            log.json().flatten_event(true).with_span_list(false).init();
        }
        _ => log.init(),
    }
    quiet_guarded_panics();
    if let Some(threads) = cli.threads
        && let Err(error) =
            rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global()
    {
        return exit::code(Err(anyhow::anyhow!("--threads {threads}: {error}")));
    }
    let result = match check(&cli.command, Given::of(&matches)) {
        Ok(()) => run(cli),
        Err(error) => Err(error.into()),
    };
    exit::code(result)
}

/// Refuses options that would do nothing.
fn check(command: &Command, given: Given<'_>) -> Result<(), exit::Usage> {
    match command {
        Command::Index(args) => args.check(given),
        Command::Search(args) => args.check(given),
        Command::Eval(args) => args.check(given),
        Command::Fuse(args) => args.check(given),
        Command::Encode(args) => args.check(given),
        Command::Export(args) => args.check(given),
        Command::Add(args) => args.check(given),
        Command::Lists(args) => args.check(given),
        Command::Tokens(args) => args.check(given),
        Command::Tune(args) => args.check(given),
        // Their options go together, or clap says which do not.
        Command::Inspect(_)
        | Command::Delete(_)
        | Command::Dense(_)
        | Command::Merge(_)
        | Command::Dataset(_)
        | Command::Serve(_)
        | Command::Key(_)
        | Command::Model(_)
        | Command::Demo(_)
        | Command::Upgrade(_)
        | Command::Completions(_)
        | Command::Manual(_) => Ok(()),
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Index(args) => commands::index::run(&args, cli.threads),
        Command::Search(args) => commands::search::run(&args),
        Command::Eval(args) => commands::eval::run(&args, cli.threads),
        Command::Fuse(args) => commands::fuse::run(&args),
        Command::Encode(args) => commands::encode::run(&args, cli.threads),
        Command::Export(args) => commands::export::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Add(args) => commands::add::run(&args, cli.threads),
        Command::Delete(args) => commands::delete::run(&args),
        Command::Merge(args) => commands::merge::run(&args),
        Command::Lists(args) => commands::lists::run(&args),
        Command::Tokens(args) => commands::tokens::run(&args),
        Command::Dense(args) => commands::dense::run(&args),
        Command::Upgrade(args) => commands::upgrade::run(&args),
        Command::Tune(args) => commands::tune::run(&args),
        Command::Dataset(args) => commands::dataset::run(&args),
        Command::Serve(args) => commands::serve::run(&args),
        Command::Key(args) => commands::key::run(&args),
        Command::Model(args) => commands::model::run(&args),
        Command::Demo(args) => commands::demo::run(&args, cli.threads),
        Command::Manual(args) => commands::manual::run(&args, help::grouped(Cli::command())),
        Command::Completions(args) => {
            commands::completions::run(&args, &mut help::grouped(Cli::command()))
        }
    }
}
