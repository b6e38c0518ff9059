//! `quarry eval DIR --sets ROOT`: every collection of a folder by every system, in one table.
//!
//! 1. find the BEIR folders in ROOT, also those one folder deeper, which count as one collection
//! 2. check all of them: judgements, queries, every line of a corpus that is to be indexed, indexes and runs
//!    that are there; what cannot be used is reported and left out  3. index those that have no index in
//!    DIR yet  4. search by each system and write the run, unless it is there of the same index, queries
//!    and settings  5. one table a measure (`sets_table.rs`)

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use quarry_datasets::measures::{EvaluateOptions, Evaluation, Measure, TieOrder, evaluate};
use quarry_datasets::{
    CollectionOptions, DatasetError, Ignored, OutputFile, QueryOptions, Run, RunFormat,
    open_collection, open_qrels, open_queries,
};
use quarry_engine::evaluate::{IndexJudgements, depth};
use quarry_engine::write::{Build, Encoding, Input, StoreTokens, TokensFrom};
use quarry_index::{Index, Verify};
use quarry_vectors::Query;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::channels::{Channel, ChannelArgs};
use crate::commands::eval_args::Args;
use crate::commands::judged::{is_arguana, tell_of_index};
use crate::commands::sets_table::{Row, print_json, print_tables};
use crate::commands::{index, stages, tokens};
use crate::model::DeviceArg;
use crate::models;
use crate::output::{counted, note};
use crate::retrieve::{self, SearchArgs};

/// A way of answering queries, as the tables name it.
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
    let tokens = crate::models::open(model)?.token_model().is_some();
    Ok(SYSTEMS.into_iter().filter(|system| tokens || !system.rerank).collect())
}

/// A collection and its index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) collection: &'a Path,
    pub(crate) index: &'a Path,
    pub(crate) split: &'a str,
    /// What is left out of rankings.
    pub(crate) ignored: &'a Ignored,
    pub(crate) ties: TieOrder,
    /// Results that the second stage is asked for.
    pub(crate) rerank_k: NonZeroUsize,
}

/// Searches all judged queries of a collection by `system`, and evaluates the run. One that is kept in a
/// file is read if it is of the same index, queries and settings, else made and written.
pub(crate) fn evaluate_system(
    task: Task<'_>,
    system: System,
    search: &SearchArgs,
    measures: &[Measure],
    kept: Option<&KeptRun>,
) -> anyhow::Result<Evaluation> {
    let options = QueryOptions { split: Some(task.split.to_owned()), ..QueryOptions::default() };
    let queries = open_queries(task.collection, &options)?;
    let qrels = open_qrels(task.collection, task.split)?;
    let search = of_system(system, search);
    let depth = depth(measures);
    let settings = kept
        .map(|_| {
            let index = Index::open(task.index, Verify::Envelope)?;
            Ok::<_, anyhow::Error>(settings(task, &search, (depth, &queries), &index))
        })
        .transpose()?;
    let run = match kept.zip(settings.as_ref()) {
        Some((kept, settings)) if kept.is_of(settings) => Run::read(&kept.path)?,
        _ => {
            let opened = retrieve::open(task.index, &search)?;
            let run = if system.rerank {
                let how = (task.rerank_k, depth, task.ignored);
                stages::both(&opened, &queries, &search, how)?.reranked(&opened, &queries)?
            } else {
                opened.run(&queries, &search, depth, task.ignored)?
            };
            if let Some((kept, settings)) = kept.zip(settings) {
                kept.write(&run, &settings)?;
            }
            run
        }
    };
    let options = EvaluateOptions { ignored: Some(task.ignored), ties: task.ties };
    Ok(evaluate(&run, &qrels, measures, options))
}

/// The search that a system makes.
fn of_system(system: System, search: &SearchArgs) -> SearchArgs {
    let mut search = SearchArgs { channels: ChannelArgs::one(system.channel), ..search.clone() };
    if system.channel != Channel::Sparse {
        search.encode_device = DeviceArg::Cpu;
    }
    search.second.rerank = system.rerank;
    search
}

/// All that a run follows from.
fn settings(
    task: Task<'_>,
    search: &SearchArgs,
    (depth, queries): (NonZeroUsize, &[Query]),
    index: &Index,
) -> Value {
    let asked: String =
        queries.iter().map(|query| format!("{:?} {:?}\n", query.id, query.text)).collect();
    json!({
        "index": index.manifest().uuid.to_string(),
        "generation": index.manifest().generation,
        "queries": format!("{:016x}", xxh3_64(asked.as_bytes())),
        "ignored": format!("{:?}", task.ignored),
        "depth": depth,
        "rerank_k": search.second.rerank.then_some(task.rerank_k),
        "search": format!("{search:?}"),
        "written_by": env!("CARGO_PKG_VERSION"),
    })
}

/// A run in a file, with a record of what it follows from beside it.
#[derive(Debug, Clone)]
pub(crate) struct KeptRun {
    path: PathBuf,
    overwrite: bool,
}

impl KeptRun {
    fn record(&self) -> PathBuf {
        self.path.with_extension("json")
    }

    /// Whether the file is there, whole, and follows from `settings`.
    fn is_of(&self, settings: &Value) -> bool {
        let read = || {
            let record: Value = serde_json::from_slice(&std::fs::read(self.record()).ok()?).ok()?;
            let run = std::fs::read(&self.path).ok()?;
            let checksum = format!("{:016x}", xxh3_64(&run));
            Some(record["settings"] == *settings && record["checksum"] == checksum)
        };
        read().unwrap_or(false)
    }

    /// The record goes first: with the checksum in it, a run of before is never taken for this one.
    fn write(&self, run: &Run, settings: &Value) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        run.write(&mut lines, RunFormat::Trec)?;
        let checksum = format!("{:016x}", xxh3_64(&lines));
        let record = json!({"settings": settings, "checksum": checksum});
        OutputFile::check(&self.path, self.overwrite)?;
        OutputFile::write_whole(&self.record(), true, &serde_json::to_vec_pretty(&record)?)?;
        OutputFile::write_whole(&self.path, self.overwrite, &lines)?;
        Ok(())
    }
}

/// A collection that was found.
#[derive(Debug)]
struct Set {
    /// `scifact`, or `cqadupstack/android`.
    name: String,
    /// The folder that it is a part of.
    group: Option<String>,
    folder: PathBuf,
    index: PathBuf,
    /// Whether it has to be indexed.
    build: bool,
}

/// Evaluates the collections in `root`, whose indexes are, or come to be, in `dir`.
pub(crate) fn run(
    root: &Path,
    dir: &Path,
    args: &Args,
    measures: &[Measure],
    threads: Option<NonZeroUsize>,
) -> anyhow::Result<()> {
    if dir.join(quarry_index::folder::CURRENT).is_file() {
        let text = format!(
            "{}: is an index; --sets makes one for each collection, in a folder of its own: name another",
            dir.display()
        );
        return Err(crate::exit::Refused(text).into());
    }
    let (mut sets, unfit) = find(root, dir)?;
    let token_model = args.search.second.token_model.as_deref().or(args.search.model.as_deref());
    let systems = systems(token_model)?;
    let mut skipped: Vec<(String, String)> = Vec::new();
    sets.retain_mut(|set| match check(set, args) {
        Ok(()) => true,
        Err(error) => {
            skipped.push((set.name.clone(), format!("{error:#}")));
            false
        }
    });
    skipped.extend(unfit);
    for (name, reason) in &skipped {
        note(format!("note: {name} is left out: {reason}"));
    }
    let kept = |set: &Set, system: System| KeptRun {
        path: dir.join("runs").join(format!("{}.{}.trec", set.name, system.name)),
        overwrite: args.overwrite,
    };
    let mut refused = Vec::new();
    sets.retain(|set| {
        let reusable =
            |system: &System| reusable(set, &kept(set, *system), (args, *system), measures);
        let Err(error) = systems.iter().try_for_each(reusable) else { return true };
        refused.push((set.name.clone(), error));
        false
    });
    // The last one is the error, where none is left.
    let last = if sets.is_empty() { refused.pop() } else { None };
    for (name, error) in refused {
        note(format!("note: {name} is left out: {error:#}"));
        skipped.push((name, format!("{error:#}")));
    }
    if let Some((name, error)) = last {
        return Err(error.context(name));
    }
    let mut rows = Vec::new();
    for set in &sets {
        match evaluated(set, (args, threads), measures, (&systems, token_model), &kept) {
            Ok(evaluations) => rows.push(Row::of(&set.name, set.group.as_deref(), &evaluations)),
            Err(error) => {
                note(format!("note: {} is left out: {error:#}", set.name));
                skipped.push((set.name.clone(), format!("{error:#}")));
            }
        }
    }
    if rows.is_empty() {
        bail!("{}: none of its collections could be evaluated", root.display());
    }
    let names: Vec<&str> = systems.iter().map(|system| system.name).collect();
    if args.json {
        print_json(&rows, measures, &names, &skipped)
    } else {
        print_tables(&rows, measures, &names)
    }
}

fn task<'a>(set: &'a Set, args: &'a Args, ignored: &'a Ignored) -> Task<'a> {
    Task {
        collection: &set.folder,
        index: &set.index,
        split: &args.split,
        ignored,
        ties: args.ties.into(),
        rerank_k: args.rerank_k,
    }
}

fn ignored(set: &Set, args: &Args) -> Ignored {
    let own = args.ignore_identical_ids;
    Ignored::new(own.unwrap_or_else(|| is_arguana(Some(&set.folder))))
}

/// Refuses a run that is there and is not this one, before anything is encoded.
fn reusable(
    set: &Set,
    kept: &KeptRun,
    (args, system): (&Args, System),
    measures: &[Measure],
) -> anyhow::Result<()> {
    let refused = match OutputFile::check(&kept.path, args.overwrite) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    if set.build || !matches!(refused, DatasetError::Exists { .. }) {
        return Err(refused.into());
    }
    let index = Index::open(&set.index, Verify::Envelope)?;
    let options = QueryOptions { split: Some(args.split.clone()), ..QueryOptions::default() };
    let queries = open_queries(&set.folder, &options)?;
    let ignored = ignored(set, args);
    let search = of_system(system, &args.search);
    let asked = (depth(measures), queries.as_slice());
    if kept.is_of(&settings(task(set, args, &ignored), &search, asked, &index)) {
        return Ok(());
    }
    Err(refused).context("a run of another index, of other queries or of other settings")
}

/// What can be known before anything is encoded.
fn check(set: &mut Set, args: &Args) -> anyhow::Result<()> {
    let qrels = open_qrels(&set.folder, &args.split)?;
    let options = QueryOptions { split: Some(args.split.clone()), ..QueryOptions::default() };
    if open_queries(&set.folder, &options)?.is_empty() {
        bail!(
            "none of the {} that split {} judges is in its queries",
            counted(qrels.queries().len() as u64, "query"),
            args.split
        );
    }
    let there = set.index.join("CURRENT").exists();
    let reader = open_collection(&set.folder, &CollectionOptions::default())?;
    if there {
        let index = Index::open(&set.index, Verify::Envelope)?;
        let job = index.manifest().build.get("job").cloned().unwrap_or_default();
        let built_of = job.pointer("/source/bytes").and_then(Value::as_u64);
        set.build = built_of != Some(reader.bytes_total());
        if set.build && !args.overwrite {
            bail!(
                "{} is an index of another collection or of an earlier state of it; --overwrite builds it anew",
                set.index.display()
            );
        }
        if !set.build {
            // A model that is named has to be the index's.
            let given = args.search.model.as_deref();
            crate::models::query_encoder(&index, given, args.search.encode_device)?;
        }
    } else {
        set.build = true;
    }
    if set.build {
        let mut documents = 0u64;
        for document in reader {
            document?;
            documents += 1;
        }
        if documents == 0 {
            bail!("its corpus holds no document");
        }
    }
    Ok(())
}

/// Indexes a collection if it must be, and evaluates every system on it.
fn evaluated(
    set: &Set,
    (args, threads): (&Args, Option<NonZeroUsize>),
    measures: &[Measure],
    (systems, token_model): (&[System], Option<&str>),
    kept: &dyn Fn(&Set, System) -> KeptRun,
) -> anyhow::Result<Vec<Evaluation>> {
    if set.build {
        note(format!("{}: indexing", set.name));
        build(set, args, threads)?;
    } else {
        note(format!("{}: the index is there", set.name));
    }
    let index = Index::open(&set.index, Verify::Envelope)?;
    let has_tokens = index.has_tokens();
    let searcher = quarry_engine::Searcher::new(std::sync::Arc::new(index));
    let judged = IndexJudgements::of(&searcher, &open_qrels(&set.folder, &args.split)?);
    tell_of_index(&judged, &format!("{}: ", set.name));
    // A generation that is open is kept: let go of it, so that its files can be collected.
    drop(searcher);
    if systems.iter().any(|system| system.rerank) && !has_tokens {
        note(format!("{}: adding token embeddings", set.name));
        let model = models::source(token_model).unwrap_or_default();
        let from = TokensFrom::Model { model, dims: None };
        tokens::add(&set.index, &from, &StoreTokens::default())?;
    }
    let ignored = ignored(set, args);
    let task = task(set, args, &ignored);
    let one = |system: &System| {
        let kept = kept(set, *system);
        if let Some(folder) = kept.path.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        evaluate_system(task, *system, &args.search, measures, Some(&kept))
            .with_context(|| system.name)
    };
    systems.iter().map(one).collect()
}

fn has_corpus(folder: &Path) -> bool {
    let corpus = ["corpus.jsonl", "corpus.jsonl.gz", "corpus.jsonl.zst"];
    corpus.iter().any(|file| folder.join(file).is_file())
}

/// The folders in a folder by name, hidden ones left out.
fn folders(of: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let failed = || of.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(of).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        let name = path.file_name().and_then(|n| n.to_str()).filter(|n| !n.starts_with('.'));
        if let Some(name) = name.filter(|_| path.is_dir()) {
            found.push((name.to_owned(), path.clone()));
        }
    }
    found.sort();
    Ok(found)
}

/// Collections, and by name what looks like one and is not whole.
type Found = (Vec<Set>, Vec<(String, String)>);

/// Why a folder without a corpus is not passed over: it has other files of a collection, or holds one deeper
/// than is looked.
fn unfit(folder: &Path, depth: u32) -> Option<&'static str> {
    if folder.join("qrels").is_dir() || folder.join("queries.jsonl").is_file() {
        return Some("it has queries or qrels, and no corpus.jsonl");
    }
    let inner = folders(folder).unwrap_or_default();
    let deeper =
        depth > 0 && inner.iter().any(|(_, f)| has_corpus(f) || unfit(f, depth - 1).is_some());
    deeper.then_some("it holds a collection deeper than two folders; name that folder's own parent")
}

/// The BEIR folders in `root`, and in folders of it that are none themselves.
fn find(root: &Path, dir: &Path) -> anyhow::Result<Found> {
    let mut found = Vec::new();
    let mut lacking = Vec::new();
    let mut push = |name: String, group: Option<String>, folder: PathBuf| {
        let index = dir.join(&name);
        found.push(Set { name, group, folder, index, build: false });
    };
    for (name, folder) in folders(root)? {
        if has_corpus(&folder) {
            push(name, None, folder);
            continue;
        }
        if let Some(reason) = unfit(&folder, 0) {
            lacking.push((name, reason.to_owned()));
            continue;
        }
        for (part, folder) in folders(&folder)? {
            let part = format!("{name}/{part}");
            if has_corpus(&folder) {
                push(part, Some(name.clone()), folder);
            } else if let Some(reason) = unfit(&folder, 2) {
                lacking.push((part, reason.to_owned()));
            }
        }
    }
    if found.is_empty() {
        let hint = if has_corpus(root) { "; it is one itself: --collection takes it" } else { "" };
        bail!("{}: holds no folder with a corpus.jsonl (BEIR's layout){hint}", root.display());
    }
    Ok((found, lacking))
}

fn build(set: &Set, args: &Args, threads: Option<NonZeroUsize>) -> anyhow::Result<()> {
    let again = set.index.join("CURRENT").exists();
    let encoding = Encoding {
        model: models::source(args.search.model.as_deref()),
        sessions: threads,
        ..Encoding::default()
    };
    let how = Build {
        out: set.index.clone(),
        overwrite: again,
        resume: !again,
        encoding,
        calibrate: true,
        ..Build::default()
    };
    index::build_telling(&Input::new(&set.folder), &how)?;
    Ok(())
}
