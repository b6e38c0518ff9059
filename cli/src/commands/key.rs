//! `quarry key add`, `quarry key list`, `quarry key remove ID`

use std::num::NonZeroU32;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use quarry_server::keys::{KeyFile, KeyRecord, KeyRequest, NewKey, Scope, parse_time, time_text};

use crate::exit::{BadInput, Usage};
use crate::output::{line, note, text, words};

/// Make and remove keys of clients of `quarry serve --keys FILE`
///
/// The file keeps hashes of keys, and what each key may do. A server that uses it follows changes within a second.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key, and print it: the only time that it can be read
    Add(AddArgs),
    /// List the keys, without what clients send
    List(ListArgs),
    /// Remove a key: it is refused from then on
    Remove(RemoveArgs),
}

#[derive(Debug, clap::Args)]
struct FileArgs {
    /// File of keys
    #[arg(long, value_name = "FILE", env = "QUARRY_SERVE_KEYS")]
    keys: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeArg {
    /// Search, get documents, describe collections
    Search,
    /// Add, replace and delete documents
    Write,
    /// Read the metrics, which name all collections
    Metrics,
    /// Everything, also making and removing collections and keys
    Admin,
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    #[command(flatten)]
    file: FileArgs,
    /// What the key may do; several are separated by commas
    #[arg(long, value_name = "SCOPE", value_enum, value_delimiter = ',', required = true)]
    scope: Vec<ScopeArg>,
    /// Collections that it is for, such as docs or docs-*; several are separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "*")]
    collection: Vec<String>,
    /// Filter of all searches with the key, such as tenant:a; other documents are as if they were not there. Only with
    /// the scope search
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// When the key ends, such as 2027-01-31 or 2027-01-31T12:00:00Z [default: never]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Most requests a second [default: any number]
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,
    /// Name of the key, for people
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    file: FileArgs,
}

#[derive(Debug, clap::Args)]
struct RemoveArgs {
    #[command(flatten)]
    file: FileArgs,
    /// The key's id, as the list has it
    id: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Add(args) => add(args),
        Command::List(args) => list(args),
        Command::Remove(args) => remove(args),
    }
}

fn add(args: &AddArgs) -> anyhow::Result<()> {
    let end = args.expires.as_deref().map(parse_time).transpose();
    let expires_at = end.map_err(|message| Usage(format!("--expires: {message}")))?;
    let made = NewKey::make(KeyRequest {
        name: args.name.clone(),
        scopes: args.scope.iter().map(|scope| scope_of(*scope)).collect(),
        collections: args.collection.clone(),
        filter: args.filter.clone(),
        expires_at,
        rate: args.rate,
    })
    .map_err(|fault| Usage(fault.to_string()))?;
    KeyFile::new(&args.file.keys).add(&made).context("keys")?;
    note(format!("the key {}; it is not shown again:", made.record.id));
    line(made.key)?;
    Ok(())
}

fn scope_of(scope: ScopeArg) -> Scope {
    match scope {
        ScopeArg::Search => Scope::Search,
        ScopeArg::Write => Scope::Write,
        ScopeArg::Metrics => Scope::Metrics,
        ScopeArg::Admin => Scope::Admin,
    }
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let keys = KeyFile::new(&args.file.keys).read().context("keys")?;
    let heads = ["id", "name", "scopes", "collections", "filter", "expires", "rate"];
    let rows: Vec<Vec<String>> =
        std::iter::once(heads.map(str::to_owned).to_vec()).chain(keys.iter().map(row)).collect();
    Ok(text(&words(&rows))?)
}

fn row(key: &KeyRecord) -> Vec<String> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.name()).collect();
    let none = || "-".to_owned();
    vec![
        key.id.clone(),
        if key.name.is_empty() { none() } else { key.name.clone() },
        scopes.join(","),
        key.collections.join(","),
        key.filter.clone().unwrap_or_else(none),
        key.expires_at.map_or_else(none, time_text),
        key.rate.map_or_else(none, |rate| rate.to_string()),
    ]
}

fn remove(args: &RemoveArgs) -> anyhow::Result<()> {
    let file = &args.file.keys;
    match KeyFile::new(file).remove(&args.id).context("keys")? {
        true => Ok(line(format!("removed {}", args.id))?),
        false => {
            let message = format!("no key has this id; `quarry key list` has all: {}", args.id);
            Err(BadInput(message).into())
        }
    }
}
