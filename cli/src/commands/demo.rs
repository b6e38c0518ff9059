//! `quarry demo`: the whole path on the bundled sample.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Context;
use quarry_datasets::measures::{Measure, TieOrder};
use quarry_datasets::sample::{CORPUS, QRELS, QUERIES};
use quarry_datasets::{DatasetError, Ignored, OutputFile};
use quarry_engine::ModelSource;
use quarry_engine::write::{Build, Encoding, Input, StoreTokens, TokensFrom};

use crate::commands::eval_args::RERANK_K;
use crate::commands::search::{self, OneQuery};
use crate::commands::sets::{Task, evaluate_system, systems};
use crate::commands::{index, tokens};
use crate::output::{line, note, table};
use crate::report::print_report;
use crate::retrieve::SearchArgs;

/// A query that shares only some of its words with the passages that answer it.
const QUERY: &str =
    "Which animals carry pollen from blossom to blossom so that plants can bear fruit?";

/// Hits that are shown of it.
const SHOWN: NonZeroUsize = match NonZeroUsize::new(3) {
    Some(three) => three,
    None => NonZeroUsize::MIN,
};

/// Index, search and evaluate the bundled sample collection
///
/// Writes the collection (in BEIR's layout) and its index into a folder. Shows the hits of one query with the
/// tokens that matched, and compares BM25, learned sparse retrieval and reranking on the sample's queries.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the sample and its index
    #[arg(long, value_name = "DIR", default_value = "quarry-demo")]
    out: PathBuf,
    /// Replace files and an index in the folder that are not of an earlier demo
    #[arg(long)]
    overwrite: bool,
}

pub(crate) fn run(args: &Args, threads: Option<NonZeroUsize>) -> anyhow::Result<()> {
    let sample = args.out.join("sample");
    let index_dir = args.out.join("index");
    let files = [("corpus.jsonl", CORPUS), ("queries.jsonl", QUERIES), ("qrels/test.tsv", QRELS)];
    let files = files.map(|(name, text)| (sample.join(name), text));
    // An index beside the whole sample is that of an earlier demo.
    let ours = files.iter().all(|(path, text)| is(path, text));
    if index_dir.exists() && !ours && !args.overwrite {
        return Err(DatasetError::Exists { path: index_dir }.into());
    }
    for (path, text) in files.iter().filter(|(path, text)| !is(path, text)) {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        OutputFile::write_whole(path, args.overwrite, text.as_bytes())?;
    }

    let (sample_text, index_text) = (sample.display().to_string(), index_dir.display().to_string());
    step(&format!("quarry index {sample_text} --out {index_text} --overwrite"))?;
    let how = Build {
        out: index_dir.clone(),
        overwrite: true,
        encoding: Encoding { sessions: threads, ..Encoding::default() },
        calibrate: true,
        ..Build::default()
    };
    let report = index::build_telling(&Input::new(&sample), &how)?;
    print_report(&index_dir, &report)?;

    step(&format!("quarry tokens add {index_text}"))?;
    let from = TokensFrom::Model { model: ModelSource::Bundled, dims: None };
    tokens::add(&index_dir, &from, &StoreTokens::default())?;

    step(&format!("quarry search {index_text} \"{QUERY}\" -k 3 --explain"))?;
    search::one(OneQuery {
        dir: &index_dir,
        text: QUERY,
        k: SHOWN,
        explain: true,
        search: &SearchArgs::default(),
    })?;

    step(&format!(
        "quarry eval {index_text} --collection {sample_text} [--channel bm25 | --rerank]"
    ))?;
    compare(&sample, &index_dir)?;
    note(format!(
        "The sample is in {sample_text}, its index in {index_text}: try your own queries."
    ));
    Ok(())
}

/// A table of all systems.
fn compare(sample: &Path, index: &Path) -> anyhow::Result<()> {
    let measures = ["nDCG@10", "RR@10", "R@100"]
        .iter()
        .map(|m| m.parse::<Measure>())
        .collect::<Result<Vec<_>, _>>()?;
    let mut rows = vec![["", "nDCG@10", "RR@10", "R@100"].map(str::to_owned).to_vec()];
    let ignored = Ignored::default();
    let task = Task {
        collection: sample,
        index,
        split: "test",
        ignored: &ignored,
        ties: TieOrder::Trec,
        rerank_k: RERANK_K,
    };
    for system in systems(None)? {
        let evaluation = evaluate_system(task, system, &SearchArgs::default(), &measures, None)?;
        let mut row = vec![system.name.to_owned()];
        row.extend(evaluation.means().map(|(_, mean)| format!("{mean:.4}")));
        rows.push(row);
    }
    crate::output::text(&table(&rows))?;
    Ok(())
}

fn step(command: &str) -> std::io::Result<()> {
    line(format!("\n$ {command}"))
}

/// Whether a file holds this text.
fn is(path: &Path, text: &str) -> bool {
    fs::read(path).is_ok_and(|found| found == text.as_bytes())
}
