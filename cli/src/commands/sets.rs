//! `quarry eval DIR --sets ROOT`: every collection of a folder by every system, in one table.
//!
//! 1. find the BEIR folders in ROOT  2. index those that have no index in DIR yet  3. search by
//!    each system and write the run  4. one table a measure: a row a collection, a column a system,
//!    and the means

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Parser;
use quarry_datasets::measures::{EvaluateOptions, Evaluation, Measure, evaluate};
use quarry_datasets::{QueryOptions, RunFormat, open_qrels, open_queries};
use serde_json::{Map, Value, json};

use crate::commands::{eval, index, tokens};
use crate::model::DeviceArg;
use crate::output::{line, note, table};
use crate::retrieve::{self, Channel, SearchArgs};

/// A way of answering questions, as the tables name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct System {
    /// Its name in tables, file names and JSON.
    pub(crate) name: &'static str,
    channel: Channel,
    rerank: bool,
}

/// What collections with texts are evaluated by.
const SYSTEMS: [System; 3] = [
    System { name: "bm25", channel: Channel::Bm25, rerank: false },
    System { name: "sparse", channel: Channel::Sparse, rerank: false },
    System { name: "reranked", channel: Channel::Sparse, rerank: true },
];

/// The systems of a model: without token embeddings none reranks.
pub(crate) fn systems(model: Option<&str>) -> anyhow::Result<Vec<System>> {
    let tokens = crate::model::open(model)?.token_model().is_some();
    Ok(SYSTEMS.into_iter().filter(|system| tokens || !system.rerank).collect())
}

/// A collection and its index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) collection: &'a Path,
    pub(crate) index: &'a Path,
    pub(crate) split: &'a str,
    /// Whether a document with the query's own id is left out.
    pub(crate) drop_self: bool,
}

/// Searches all judged queries of a collection by `system`, and evaluates the run, which is
/// written to `run` if that is given.
pub(crate) fn evaluate_system(
    task: Task<'_>,
    system: System,
    search: &SearchArgs,
    measures: &[Measure],
    run: Option<&Path>,
) -> anyhow::Result<Evaluation> {
    let options = QueryOptions { split: Some(task.split.to_owned()), ..QueryOptions::default() };
    let queries = open_queries(task.collection, &options)?;
    let qrels = open_qrels(task.collection, task.split)?;
    let mut search = SearchArgs { channel: system.channel, ..search.clone() };
    if system.channel != Channel::Sparse {
        search.encode_device = DeviceArg::Cpu;
    }
    search.second.rerank = system.rerank;
    let opened = retrieve::open(task.index, &search)?;
    let found = opened.run(&queries, &search, eval::depth(measures)?, task.drop_self)?;
    if let Some(path) = run {
        found.write(path, RunFormat::Trec)?;
    }
    Ok(evaluate(&found, &qrels, measures, EvaluateOptions { drop_self: task.drop_self }))
}

#[derive(Debug, Parser)]
struct IndexLine {
    #[command(flatten)]
    args: index::Args,
}

/// Evaluates the collections in `root`, whose indexes are, or come to be, in `dir`.
pub(crate) fn run(
    root: &Path,
    dir: &Path,
    args: &eval::Args,
    measures: &[Measure],
    threads: Option<NonZeroUsize>,
) -> anyhow::Result<()> {
    let collections = collections(root)?;
    let model = args.search.model.as_deref();
    let token_model = args.search.second.token_model.as_deref().or(model);
    let systems = systems(token_model)?;
    let runs = dir.join("runs");
    std::fs::create_dir_all(&runs).with_context(|| runs.display().to_string())?;
    let mut results = Vec::new();
    for (name, collection) in &collections {
        let at = dir.join(name);
        if at.join("CURRENT").exists() {
            note(format!("{name}: the index is there"));
        } else {
            note(format!("{name}: indexing"));
            build(collection, &at, model, threads)?;
        }
        if systems.iter().any(|system| system.rerank) && !has_tokens(&at)? {
            note(format!("{name}: adding token embeddings"));
            tokens::encode(&at, (token_model, None), &tokens::StoreArgs::default(), false, false)?;
        }
        let drop_self =
            args.ignore_identical_ids.unwrap_or_else(|| eval::is_arguana(Some(collection)));
        let task = Task { collection, index: &at, split: &args.split, drop_self };
        let mut of_systems = Vec::new();
        for system in systems.iter().copied() {
            let run = runs.join(format!("{name}.{}.trec", system.name));
            let found = evaluate_system(task, system, &args.search, measures, Some(&run))
                .with_context(|| format!("{name}, {}", system.name))?;
            of_systems.push(found);
        }
        results.push((name.as_str(), of_systems));
    }
    let names: Vec<&str> = systems.iter().map(|system| system.name).collect();
    if args.json { print_json(&results, &names) } else { print_tables(&results, measures, &names) }
}

fn has_tokens(dir: &Path) -> anyhow::Result<bool> {
    Ok(quarry_index::Index::open(dir, quarry_index::Verify::Envelope)?.has_tokens())
}

/// The BEIR folders directly in `root`, by name.
fn collections(root: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let failed = || root.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        let corpus = ["corpus.jsonl", "corpus.jsonl.gz", "corpus.jsonl.zst"];
        if corpus.iter().any(|file| path.join(file).is_file())
            && let Some(name) = path.file_name().and_then(|n| n.to_str())
        {
            found.push((name.to_owned(), path.clone()));
        }
    }
    if found.is_empty() {
        bail!("{}: holds no folder with a corpus.jsonl (BEIR's layout)", root.display());
    }
    found.sort();
    Ok(found)
}

fn build(
    collection: &Path,
    out: &Path,
    model: Option<&str>,
    threads: Option<NonZeroUsize>,
) -> anyhow::Result<()> {
    let mut words: Vec<std::ffi::OsString> =
        vec!["index".into(), collection.into(), "--out".into(), out.into(), "--resume".into()];
    if let Some(model) = model {
        words.extend(["--model".into(), model.into()]);
    }
    let args = IndexLine::try_parse_from(words)?.args;
    index::build_and_tune(&args, threads)?;
    Ok(())
}

/// Means over the queries, a collection a row, a system a column.
fn print_tables(
    results: &[(&str, Vec<Evaluation>)],
    measures: &[Measure],
    systems: &[&str],
) -> anyhow::Result<()> {
    for (at, measure) in measures.iter().enumerate() {
        if at > 0 {
            line("")?;
        }
        let mut rows = vec![vec![measure.to_string()]];
        rows[0].extend(systems.iter().map(|&name| name.to_owned()));
        let mut sums = vec![0.0; systems.len()];
        for (name, of_systems) in results {
            let mut row = vec![(*name).to_owned()];
            for (sum, evaluation) in sums.iter_mut().zip(of_systems) {
                let mean = evaluation.means().nth(at).map_or(0.0, |(_, mean)| mean);
                *sum += mean;
                row.push(format!("{mean:.4}"));
            }
            rows.push(row);
        }
        let mut last = vec!["mean".to_owned()];
        #[expect(clippy::cast_precision_loss, reason = "a handful of collections")]
        last.extend(sums.iter().map(|sum| format!("{:.4}", sum / results.len() as f64)));
        rows.push(last);
        crate::output::text(&table(&rows))?;
    }
    let unanswered: usize = results.iter().flat_map(|r| &r.1).map(Evaluation::unanswered).sum();
    if unanswered > 0 {
        note(format!("note: {unanswered} times a judged query had no ranking and counts as zero"));
    }
    Ok(())
}

fn print_json(results: &[(&str, Vec<Evaluation>)], systems: &[&str]) -> anyhow::Result<()> {
    let mut out = Map::new();
    for (name, of_systems) in results {
        let mut row = Map::new();
        for (system, evaluation) in systems.iter().zip(of_systems) {
            let mut means: Map<String, Value> =
                evaluation.means().map(|(m, mean)| (m.to_string(), json!(mean))).collect();
            means.insert("queries".into(), json!(evaluation.queries().len()));
            means.insert("unanswered".into(), json!(evaluation.unanswered()));
            row.insert((*system).to_owned(), Value::Object(means));
        }
        out.insert((*name).to_owned(), Value::Object(row));
    }
    crate::output::json(&out)
}
