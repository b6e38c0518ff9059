//! `quarry merge DIR`, and `quarry merge --out OUT SHARD...`: segments of an index, or what several machines
//! made of a build or an encoding.

use std::path::{Path, PathBuf};

use quarry_engine::EngineError;
use quarry_engine::write::{WriteError, Writer, merge_encoded, merge_shards};
use quarry_indexer::{JoinOptions, MergeReport};
use serde_json::json;

use crate::bytes::parse_bytes;
use crate::exit::Usage;
use crate::models::models;
use crate::output::{counted, line};
use crate::outputs::expect_apart;
use crate::progress::Progress;
use crate::report::print_report;
use crate::told::told;
use crate::watched::show_stage;

/// What is said where measuring fails afterwards.
const NOT_MEASURED: &str = "merged, but the index could not measure itself";

/// Merge all segments of an index into one, or the shards of a build into an index
///
/// `quarry merge DIR`: merges all segments into one and drops deleted documents. The result is identical to a
/// fresh build of the remaining documents; the search methods are calibrated again. Every byte is checked
/// first. If only some segments have token embeddings, run `quarry tokens add` before.
///
/// `quarry merge --out OUT SHARD...`: combines the shards that `quarry index --shard I/N` made on N machines
/// into one index, byte for byte the index that one machine would have built; or the files of `quarry encode
/// --shard I/N` into one file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index; with --out, folders or files of all shards, in any order
    #[arg(required = true)]
    dir: Vec<PathBuf>,
    /// Merge shards into this index folder or file
    #[arg(long, value_name = "OUT")]
    pub(crate) out: Option<PathBuf>,
    /// Replace OUT if it exists
    #[arg(long, requires = "out")]
    pub(crate) overwrite: bool,
    /// Most memory for buffers and sorting, such as 512MiB or 4GiB [default: 1GiB; with --out, that of the
    /// shards]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) memory: Option<u64>,
    /// Skip calibration of the search methods at the end
    #[arg(long)]
    pub(crate) no_tune: bool,
    /// Print a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(out) = &args.out {
        return match args.dir.iter().all(|shard| shard.is_file()) {
            true => files(args, out),
            false => shards(args, out),
        };
    }
    let [dir] = args.dir.as_slice() else {
        let text = "which folder? `quarry merge DIR` merges one index, --out OUT SHARD... shards of a build";
        return Err(Usage(text.to_owned()).into());
    };
    let Some(mut report) = segments(dir, args.memory)? else {
        if args.json {
            return crate::output::json(&json!({"merged": 0}));
        }
        line(format!("{}: one segment, nothing deleted: nothing to merge", dir.display()))?;
        return Ok(());
    };
    if !args.no_tune {
        let measured = super::tune::afterwards(dir, NOT_MEASURED);
        report.generation = measured.unwrap_or(report.generation);
    }
    if args.json {
        return crate::output::json(&report);
    }
    line(format!(
        "{}: generation {}, {} merged, {} dropped",
        dir.display(),
        report.generation,
        counted(report.merged as u64, "segment"),
        counted(report.dropped, "deleted row")
    ))?;
    Ok(())
}

/// Merges the segments of an index.
fn segments(dir: &Path, memory: Option<u64>) -> anyhow::Result<Option<MergeReport>> {
    let writer = match Writer::open(dir, models()) {
        Err(EngineError::Write(WriteError::IsShard { path })) => {
            let text = format!(
                "{}: this is a shard of a build; `quarry merge --out INDEX SHARD...` merges all of them",
                path.display()
            );
            return Err(Usage(text).into());
        }
        opened => opened.map_err(told)?,
    };
    let progress = Progress::new(false);
    let result = writer.merge(memory, &|event| show_stage(event, &progress));
    progress.finish();
    result.map_err(told)
}

/// Shards of a build become an index.
fn shards(args: &Args, out: &Path) -> anyhow::Result<()> {
    let options =
        JoinOptions { out: out.to_path_buf(), overwrite: args.overwrite, memory: args.memory };
    let progress = Progress::new(false);
    let merged = merge_shards(&args.dir, &options, &|event| show_stage(event, &progress));
    progress.finish();
    let mut report = merged.map_err(told)?;
    if !report.already_complete && !args.no_tune {
        let measured = super::tune::afterwards(out, NOT_MEASURED);
        report.generation = measured.unwrap_or(report.generation);
    }
    if args.json {
        return crate::output::json(&report);
    }
    print_report(out, &report)
}

/// Shards of an encoding become one file.
fn files(args: &Args, out: &Path) -> anyhow::Result<()> {
    if args.no_tune || args.memory.is_some() {
        let text = "--no-tune and --memory are for shards of an index; these are files of vectors";
        return Err(Usage(text.to_owned()).into());
    }
    let inputs: Vec<Option<&Path>> = args.dir.iter().map(|file| Some(file.as_path())).collect();
    expect_apart(out, &inputs)?;
    let vectors = merge_encoded(&args.dir, out, args.overwrite).map_err(told)?;
    if args.json {
        return crate::output::json(&json!({"vectors": vectors}));
    }
    line(format!("{}: {}", out.display(), counted(vectors, "vector")))?;
    Ok(())
}
