//! `quarry demo`: the whole path on the bundled sample.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use quarry_datasets::measures::Measure;

use crate::commands::sets::{Task, evaluate_system, systems};
use crate::commands::{index, search, tokens};
use crate::output::{line, note, table};
use crate::retrieve::SearchArgs;

const CORPUS: &str = include_str!("../../../datasets/sample/corpus.jsonl");
const QUERIES: &str = include_str!("../../../datasets/sample/queries.jsonl");
const QRELS: &str = include_str!("../../../datasets/sample/qrels/test.tsv");

/// A question that shares only some of its words with the passages that answer it.
const QUESTION: &str =
    "Which animals carry pollen from blossom to blossom so that plants can bear fruit?";

/// Index, search and evaluate the bundled sample collection
///
/// Writes the collection (in BEIR's layout) and its index into a folder, encodes the passages with
/// the bundled model, answers a question showing which tokens matched, and compares BM25 with
/// learned sparse retrieval on the sample's questions.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the sample and its index are written
    #[arg(long, value_name = "DIR", default_value = "quarry-demo")]
    out: PathBuf,
}

/// Commands are parsed from words, so that the demo runs what it prints.
#[derive(Debug, Parser)]
struct IndexLine {
    #[command(flatten)]
    args: index::Args,
}

#[derive(Debug, Parser)]
struct SearchLine {
    #[command(flatten)]
    args: search::Args,
}

pub(crate) fn run(args: &Args, threads: Option<NonZeroUsize>) -> anyhow::Result<()> {
    let sample = args.out.join("sample");
    let index_dir = args.out.join("index");
    write(&sample.join("corpus.jsonl"), CORPUS)?;
    write(&sample.join("queries.jsonl"), QUERIES)?;
    write(&sample.join("qrels/test.tsv"), QRELS)?;

    let (sample_text, index_text) = (sample.display().to_string(), index_dir.display().to_string());
    step(&format!("quarry index {sample_text} --out {index_text} --overwrite"))?;
    let words = ["index", sample_text.as_str(), "--out", index_text.as_str(), "--overwrite"];
    index::run(&IndexLine::try_parse_from(words)?.args, threads)?;

    step(&format!("quarry tokens add {index_text}"))?;
    tokens::encode(&index_dir, (None, None), &tokens::StoreArgs::default(), false, false)?;

    step(&format!("quarry search {index_text} \"{QUESTION}\" -k 3 --explain"))?;
    let words = ["search", index_text.as_str(), QUESTION, "-k", "3", "--explain"];
    search::run(&SearchLine::try_parse_from(words)?.args)?;

    step(&format!(
        "quarry eval {index_text} --collection {sample_text} [--channel bm25 | --rerank]"
    ))?;
    compare(&sample, &index_dir)?;
    note(format!(
        "The sample is in {sample_text}, its index in {index_text}: try your own questions."
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
    let task = Task { collection: sample, index, split: "test", drop_self: false };
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

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || path.display().to_string();
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).with_context(failed)?;
    fs::write(path, text).with_context(failed)
}
