//! `quarry lists`: an index gets further kinds of lists.

use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use quarry_engine::write::Writer;
use quarry_indexer::AddOptions;
use serde_json::json;

use super::index_check::{OF_CLUSTERS, OF_SEISMIC};
use crate::applies::Given;
use crate::bytes::parse_bytes;
use crate::exit::Usage;
use crate::input::{ClustersArgs, SeismicArgs};
use crate::models::models;
use crate::output::line;
use crate::progress::Progress;
use crate::told::told;
use crate::watched::show_stage;

/// Add kinds of lists to an index
///
/// The lists are built from the vectors or the texts of the index and committed as a new generation; open readers keep the
/// old one. Clusters need another order of documents, so a new segment is written, with all lists that the
/// old segment had.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index
    dir: PathBuf,
    /// Kinds of lists to build where they are missing, comma-separated
    #[arg(long, value_enum, value_delimiter = ',', required = true)]
    add: Vec<AddArg>,
    /// Most memory for buffers and sorting, such as 512MiB or 4GiB
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = parse_bytes)]
    memory: u64,
    /// Skip calibration of the search methods at the end
    #[arg(long)]
    no_tune: bool,
    #[command(flatten)]
    seismic: SeismicArgs,
    #[command(flatten)]
    clusters: ClustersArgs,
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AddArg {
    /// Impact-ordered lists, for exact and approximate search.
    Impact,
    /// Impact-ordered lists of words, for BM25.
    Words,
    /// Seismic's blocked lists with summaries, for approximate search.
    Seismic,
    /// Clusters of similar documents with summaries, for approximate search. Documents are stored by cluster.
    Clusters,
}

impl Args {
    /// Whether lists are added whose searches are measured: those over vectors.
    fn tunes(&self) -> bool {
        self.add.iter().any(|list| *list != AddArg::Words)
    }

    /// Refuses options that would do nothing.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        let adds = |list| self.add.contains(&list);
        given.only_if(self.tunes(), &["no_tune"], "lists of words are not tuned")?;
        given.only_if(adds(AddArg::Seismic), &OF_SEISMIC, "it needs --add seismic")?;
        given.only_if(adds(AddArg::Clusters), &OF_CLUSTERS, "it needs --add clusters")
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let wants = |list| args.add.contains(&list);
    let add = AddOptions {
        impact: wants(AddArg::Impact),
        words: wants(AddArg::Words),
        seismic: wants(AddArg::Seismic).then(|| args.seismic.params()),
        clusters: wants(AddArg::Clusters).then(|| args.clusters.params()),
        memory: args.memory,
    };
    let progress = Progress::new(false);
    let result = Writer::open(&args.dir, models())
        .and_then(|writer| writer.add_lists(&add, &|event| show_stage(event, &progress)));
    progress.finish();
    let mut generation =
        result.map_err(told).with_context(|| format!("adding to {}", args.dir.display()))?;
    if generation.is_some() && args.tunes() && !args.no_tune {
        let failed = "the lists are there, but the index could not measure itself";
        generation = super::tune::afterwards(&args.dir, failed).or(generation);
    }
    if args.json {
        return crate::output::json(&json!({ "generation": generation }));
    }
    match generation {
        Some(generation) => line(format!("{}: generation {generation}", args.dir.display()))?,
        None => line(format!("{}: every segment has these lists already", args.dir.display()))?,
    }
    Ok(())
}
