//! `quarry upgrade DIR OUT`: an index of an earlier version becomes one of this version.

use std::path::{Path, PathBuf};

use anyhow::Context;
use quarry_engine::write::{GraphOptions, Writer};
use quarry_index::folder::read_current;
use quarry_indexer::upgrade;

use crate::bytes::parse_bytes;
use crate::exit::Refused;
use crate::models::models;
use crate::output::{counted, line, note};
use crate::progress::Progress;
use crate::watched::show_stage;

/// Convert an index of an earlier version of quarry, into another folder
///
/// Vectors, texts, token embeddings and provenance are copied without encoding; lists are built again. Deleted
/// documents are left out. DIR is only read. An index of this version is refused, and nothing is written.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index
    dir: PathBuf,
    /// Folder of the new index; created if it does not exist
    out: PathBuf,
    /// Replace the index that is in OUT
    #[arg(long)]
    overwrite: bool,
    /// Most memory for buffers and sorting, such as 512MiB or 4GiB
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = parse_bytes)]
    memory: u64,
    /// Skip calibration of the search methods at the end
    #[arg(long)]
    no_tune: bool,
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
}

/// Builds the graph over the dense vectors again, where the index had one: it is by rows, and these are others now.
fn graph(out: &Path) -> anyhow::Result<()> {
    if read_current(out)?.0.features.neighbours.is_none() {
        return Ok(());
    }
    let progress = Progress::new(false);
    let made = Writer::open(out, models()).and_then(|writer| {
        writer.add_graph(GraphOptions::default(), &|event| show_stage(event, &progress))
    });
    progress.finish();
    if let Err(error) = made {
        let out = out.display();
        note(format!(
            "note: the index is complete, but for its graph: {error}; `quarry dense graph {out}` builds it"
        ));
    }
    Ok(())
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let progress = Progress::new(false);
    let out = (args.out.as_path(), args.overwrite);
    let result = upgrade(&args.dir, out, args.memory, &|event| show_stage(event, &progress));
    progress.finish();
    let report = result.with_context(|| format!("upgrading {}", args.dir.display()))?;
    if !report.outdated.is_empty() {
        graph(&args.out)?;
    }
    if !report.outdated.is_empty() && !args.no_tune {
        // The index is whole without: searches then take default settings.
        let failed = "the index is complete, but could not measure itself";
        super::tune::afterwards(&args.out, failed);
    }
    if report.outdated.is_empty() {
        return Err(Refused(format!(
            "{}: every part is of the version that this quarry writes: there is nothing to upgrade, and {} \
             was not written",
            args.dir.display(),
            args.out.display()
        ))
        .into());
    }
    if args.json {
        return crate::output::json(&report);
    }
    line(format!(
        "{}: {} in {}, {} left out; of earlier versions were: {}",
        args.out.display(),
        counted(report.documents, "document"),
        counted(report.segments as u64, "segment"),
        counted(report.dropped, "deleted row"),
        report.outdated.join(", ")
    ))?;
    Ok(())
}
