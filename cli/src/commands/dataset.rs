//! `quarry dataset list`, `quarry dataset pull NAME`

use std::sync::Mutex;

use clap::Subcommand;
use quarry_datasets::collections::{CollectionState, Collections, KnownCollection, PullEvent};
use serde::Serialize;
use serde_json::json;

use crate::collections::CollectionsArgs;
use crate::output::{bytes, count, line, note, table};
use crate::progress::Progress;

/// Fetch public collections, and use them by name
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the known collections, and which of them are in the cache
    List(ListArgs),
    /// Fetch a collection into the cache
    ///
    /// Then the name can be used in place of a folder: `quarry index NAME --out DIR`, `quarry eval DIR
    /// --collection NAME`. Every file is compared with its published checksum. After an interruption the same
    /// command continues.
    Pull(PullArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    collections: CollectionsArgs,
    /// Print JSON, with addresses and checksums
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct PullArgs {
    /// Name of the collection, such as beir/scifact
    name: String,
    #[command(flatten)]
    collections: CollectionsArgs,
    /// Address of a mirror: a folder with the same files
    /// [env: QUARRY_DATASETS_BASE]
    #[arg(long, value_name = "URL")]
    base: Option<String>,
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::List(args) => list(args),
        Command::Pull(args) => pull(args),
    }
}

/// A collection, and how far it is.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    collection: &'a KnownCollection,
    state: CollectionState,
    folder: std::path::PathBuf,
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let collections = args.collections.open(None)?;
    let listed: Vec<Listed<'_>> = collections
        .known
        .iter()
        .map(|collection| Listed {
            collection,
            state: collections.state(collection),
            folder: collections.cache.join(&collection.name),
        })
        .collect();
    if args.json {
        return crate::output::json(&listed);
    }
    let head = ["collection", "fetched", "documents", "state", "splits", "licence"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for Listed { collection, state, .. } in &listed {
        let state = match state {
            CollectionState::Pulled => "pulled".to_owned(),
            CollectionState::Begun(arrived) => format!("{} arrived", bytes(*arrived)),
            CollectionState::Absent => "-".to_owned(),
        };
        rows.push(vec![
            collection.name.clone(),
            bytes(collection.bytes()),
            count(collection.documents),
            state,
            collection.splits.join(","),
            collection.licence.clone(),
        ]);
    }
    crate::output::text(&table(&rows))?;
    note(format!(
        "cache: {}; whether a use is allowed is for you to see (--json has the homepages)",
        collections.cache.display()
    ));
    Ok(())
}

fn pull(args: &PullArgs) -> anyhow::Result<()> {
    let collections = args.collections.open(args.base.as_deref())?;
    let collection = collections.find(&args.name)?;
    note(format!(
        "{}: {}; licence: {} ({})",
        collection.name, collection.about, collection.licence, collection.homepage
    ));
    let pulled = with_progress(&collections, &args.name)?;
    if args.json {
        let report =
            json!({"name": args.name, "folder": pulled.folder, "was_there": pulled.was_there});
        return crate::output::json(&report);
    }
    let there = if pulled.was_there { " (was there)" } else { "" };
    line(format!("{}: {}{there}", args.name, pulled.folder.display()))?;
    Ok(())
}

fn with_progress(
    collections: &Collections,
    name: &str,
) -> anyhow::Result<quarry_datasets::collections::Pulled> {
    let progress = Progress::new(false);
    let state = Mutex::new((0u64, None));
    let pulled = collections.pull(name, &|event| {
        let Ok(mut state) = state.lock() else { return };
        match event {
            PullEvent::File { address, arrived, bytes } => {
                progress.stage(address, arrived);
                *state = (arrived, bytes);
            }
            PullEvent::Unpacking { file } => {
                progress.stage(&format!("unpacking {file}"), 0);
                *state = (0, None);
            }
            PullEvent::Bytes(more) | PullEvent::Unpacked(more) => {
                state.0 += more;
                progress.set(state.0, state.1, "bytes", "");
            }
        }
    });
    progress.finish();
    Ok(pulled?)
}
