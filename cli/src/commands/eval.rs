//! `quarry eval`: the search of a run, and its measures. Its options are in `eval_args.rs`.

use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::Context;
use quarry_datasets::measures::{
    EvaluateOptions, Evaluation, Measure, evaluate as measured, paired_t_test,
};
use quarry_datasets::{Ignored, Qrels, Run, open_qrels};
use quarry_engine::evaluate::{self, IndexJudgements, JudgedBy, Overlap, depth};
use quarry_engine::{EncodedQuery, RowOptions};
use quarry_vectors::Query;
use serde_json::{Map, Value, json};

use crate::channels::Channel;
use crate::collections::place;
use crate::commands::eval_args::Args;
use crate::commands::judged::{
    expect_judged, is_arguana, tell_of_index, tell_of_run, tell_unanswered,
};
use crate::commands::{conditions, judged, sets, stages};
use crate::exit::Usage;
use crate::output::{agreeing, counted, line, note, table};
use crate::outputs::expect_apart;
use crate::retrieve::{self, Opened};
use crate::runs::RunTarget;
use crate::told::told;

pub(crate) fn run(args: &Args, threads: Option<NonZeroUsize>) -> anyhow::Result<()> {
    let measures = args
        .measures
        .iter()
        .map(|m| m.trim().parse::<Measure>().map_err(anyhow::Error::from))
        .collect::<anyhow::Result<Vec<_>>>()?;
    if let (Some(root), Some(dir)) = (&args.sets, &args.dir) {
        return sets::run(root, dir, args, &measures, threads);
    }
    let collection = args.collection.as_deref().map(place).transpose()?;
    let collection = collection.as_deref();
    let ignored = ignored(args, collection)?;
    let options = EvaluateOptions { ignored: Some(&ignored), ties: args.ties.into() };
    let qrels = match (&args.qrels, collection) {
        (Some(path), _) => Some(Qrels::read(path)?),
        (None, Some(folder)) => Some(open_qrels(folder, &args.split)?),
        (None, None) => None,
    };
    if let Some(notice) = qrels.as_ref().and_then(Qrels::notice) {
        note(format!("note: {notice}"));
    }
    // Read first: an output must not be mistaken for it.
    let other = args.compare.as_deref().map(Run::read).transpose()?;
    if let (Some(other), Some(path), Some(qrels)) = (&other, &args.compare, &qrels) {
        expect_judged(
            other.queries().iter().map(String::as_str),
            qrels,
            &path.display().to_string(),
        )?;
    }
    let mut report = Map::new();
    let (run, qrels) = match &args.dir {
        None => {
            let (Some(path), Some(qrels)) = (&args.run, qrels) else {
                let text =
                    "give --run FILE and --qrels FILE, or an index DIR and --collection FOLDER";
                return Err(Usage(text.to_owned()).into());
            };
            let run = Run::read(path)?;
            expect_judged(
                run.queries().iter().map(String::as_str),
                &qrels,
                &path.display().to_string(),
            )?;
            tell_of_run(&run, &qrels);
            (run, Some(qrels))
        }
        Some(dir) => {
            let target = begin(args)?;
            let queries = queries(args, collection)?;
            tell_of_pairs(&ignored, &queries);
            let qrels = qrels.map(|qrels| only(args, qrels, &queries)).transpose()?;
            if let Some(qrels) = &qrels {
                expect_judged(queries.iter().map(|q| q.id.as_str()), qrels, "the search")?;
            }
            let opened = retrieve::open(dir, &args.search)?;
            if let Some(target) = &target {
                target.check(opened.searcher().index(), &queries)?;
            }
            if let Some(qrels) = &qrels {
                let judged = IndexJudgements::of(opened.searcher(), qrels);
                tell_of_index(&judged, "");
                judged::report(&judged, &mut report);
            }
            if let (true, Some(qrels)) = (args.search.second.rerank, &qrels) {
                let judged = stages::Judged { queries: &queries, qrels, options };
                return stages::run(args, &opened, judged, &measures, (target, report));
            }
            if let (Some(folder), Some(qrels)) = (&args.conditions, &qrels) {
                let judged = stages::Judged { queries: &queries, qrels, options };
                return conditions::run(
                    args,
                    &opened,
                    (judged, measures.as_slice()),
                    (folder.as_path(), report),
                );
            }
            if let Some(k) = args.against_exact {
                let overlap = overlap(&opened, &queries, args, (k, &ignored))?;
                report.insert(format!("overlap@{k}"), json!(overlap));
            }
            let run = if qrels.is_some() || target.is_some() {
                search(args, &opened, &queries, (depth(&measures), &ignored))?
            } else {
                Run::new("none")
            };
            if let Some(target) = target {
                target.write(&run)?;
            }
            (run, qrels)
        }
    };
    let mut evaluation = None;
    if let Some(qrels) = &qrels {
        evaluation = Some(measured(&run, qrels, &measures, options));
    } else if report.is_empty() && args.run.is_none() {
        let text = "no judgements: give --collection FOLDER or --qrels FILE";
        return Err(Usage(text.to_owned()).into());
    }
    let compared = match (other, &qrels) {
        (Some(other), Some(qrels)) => Some(measured(&other, qrels, &measures, options)),
        _ => None,
    };
    if args.json {
        print_json(args, evaluation.as_ref(), compared.as_ref(), report)
    } else {
        print_text(args, evaluation.as_ref(), compared.as_ref(), &report)
    }
}

/// The run of the queries; with --rerank that of both stages.
fn search(
    args: &Args,
    opened: &Opened,
    queries: &[Query],
    (depth, ignored): (NonZeroUsize, &Ignored),
) -> anyhow::Result<Run> {
    if !args.search.second.rerank {
        return opened.run(queries, &args.search, depth, ignored);
    }
    stages::both(opened, queries, &args.search, (args.rerank_k, depth, ignored))?
        .reranked(opened, queries)
}

/// Where the run goes that a search makes. A file that is there is never taken for one to evaluate.
fn begin(args: &Args) -> anyhow::Result<Option<RunTarget>> {
    let Some(path) = &args.run else { return Ok(None) };
    if let Some(other) = &args.compare
        && path.canonicalize().ok().is_some_and(|path| other.canonicalize().ok() == Some(path))
    {
        let text =
            format!("--run and --compare are both {}: one is written, one is read", path.display());
        return Err(Usage(text).into());
    }
    let inputs = [&args.collection, &args.queries, &args.qrels, &args.ignore_pairs];
    expect_apart(path, &inputs.map(Option::as_deref))?;
    let target = RunTarget::begin(Some(path), args.run_format, args.overwrite);
    target.map(Some).context(
        "with an index, --run is where its run is written; without one, a run is evaluated",
    )
}

/// What is left out of rankings.
fn ignored(args: &Args, collection: Option<&Path>) -> anyhow::Result<Ignored> {
    let own = args.ignore_identical_ids.unwrap_or_else(|| is_arguana(collection));
    let mut ignored = Ignored::new(own);
    if let Some(path) = &args.ignore_pairs {
        ignored.read_pairs(path)?;
    }
    Ok(ignored)
}

/// Says which pairs of a file concern no query.
fn tell_of_pairs(ignored: &Ignored, queries: &[Query]) {
    let known: std::collections::HashSet<&str> = queries.iter().map(|q| q.id.as_str()).collect();
    let strange: Vec<&str> = ignored.queries().filter(|query| !known.contains(query)).collect();
    if let Some(first) = strange.iter().min() {
        let many = strange.len() as u64;
        note(format!(
            "note: --ignore-pairs: {many} of its queries {} not searched with, such as {first:?}",
            agreeing(many, "is", "are")
        ));
    }
}

/// With --only, the judgements of the queries that are used.
fn only(args: &Args, qrels: Qrels, queries: &[Query]) -> anyhow::Result<Qrels> {
    if args.only.is_none() {
        return Ok(qrels);
    }
    let used: std::collections::HashSet<&str> = queries.iter().map(|q| q.id.as_str()).collect();
    let qrels = qrels.only(|query| used.contains(query));
    if qrels.is_empty() {
        return Err(Usage("--only: none of these queries is judged".to_owned()).into());
    }
    Ok(qrels)
}

fn queries(args: &Args, collection: Option<&Path>) -> anyhow::Result<Vec<Query>> {
    let Some(path) = args.queries.as_deref().or(collection) else {
        let text = "which queries? give --collection FOLDER or --queries FILE";
        return Err(Usage(text.to_owned()).into());
    };
    let mut queries = args.query_args.read(path, Some(&args.split))?;
    if let Some((from, to)) = args.only {
        if from > queries.len() {
            let there = counted(queries.len() as u64, "query");
            let text = format!("--only {from}-{to}: the file has {there}");
            return Err(Usage(text).into());
        }
        queries.truncate(to);
        queries.drain(..from - 1);
    }
    Ok(queries)
}

/// Share of the exact top k that the chosen method finds, with feedback of its second search; says what it was judged by.
fn overlap(
    opened: &Opened,
    queries: &[Query],
    args: &Args,
    depth: (NonZeroUsize, &Ignored),
) -> anyhow::Result<f64> {
    match args.search.channels.only(Channel::Dense) {
        true => dense_overlap(opened, queries, args, depth),
        false => sparse_overlap(opened, queries, args, depth),
    }
}

fn dense_overlap(
    opened: &Opened,
    queries: &[Query],
    args: &Args,
    (k, ignored): (NonZeroUsize, &Ignored),
) -> anyhow::Result<f64> {
    let options = args.search.first_stage(k);
    let searched: Vec<EncodedQuery> = match args.search.feedback.is_on() {
        false => {
            opened.prepared(queries, &options, ignored)?.encoded.into_iter().flatten().collect()
        }
        true => {
            let found = opened.first_stages(queries, &args.search, (k, ignored))?;
            found.into_iter().flat_map(|found| found.searched).collect()
        }
    };
    let vectors: Vec<_> = searched.iter().filter_map(EncodedQuery::dense).cloned().collect();
    let filter = args.search.filter.as_deref().map(|f| opened.searcher().filter(f)).transpose()?;
    let options = RowOptions { k, ..options.row_options(filter.as_ref()) };
    let share = evaluate::dense_overlap(opened.searcher(), &vectors, &options).map_err(told)?;
    note("note: judged by comparing every dense vector, as it is stored");
    Ok(share)
}

fn sparse_overlap(
    opened: &Opened,
    queries: &[Query],
    args: &Args,
    (k, ignored): (NonZeroUsize, &Ignored),
) -> anyhow::Result<f64> {
    let vectors = match args.search.feedback.is_on() {
        false => opened.vectors(queries)?,
        true => {
            let found = opened.first_stages(queries, &args.search, (k, ignored))?;
            let searched = found.iter().flat_map(|found| &found.searched);
            searched.filter_map(EncodedQuery::vector).cloned().collect()
        }
    };
    let filter = args.search.filter.as_deref().map(|f| opened.searcher().filter(f)).transpose()?;
    let search = args.search.first_stage(k);
    let options = RowOptions { k, ..search.row_options(filter.as_ref()) };
    let found = evaluate::overlap(opened.searcher(), &vectors, &options);
    let Overlap { share, judged_by } = found.map_err(told)?;
    match judged_by {
        JudgedBy::Given { path } => {
            note(format!("note: judged by the weights of {}, in 64 bits", path.display()));
        }
        JudgedBy::Stored { max_relative_error: error, why: Some(why) } => note(format!(
            "note: judged by the stored weights, whose relative error is at most {error:.1e}: {why}"
        )),
        JudgedBy::Stored { why: None, .. } => {}
    }
    Ok(share)
}

fn print_json(
    args: &Args,
    evaluation: Option<&Evaluation>,
    compared: Option<&Evaluation>,
    report: Map<String, Value>,
) -> anyhow::Result<()> {
    let mut out = Map::new();
    if let Some(evaluation) = evaluation {
        for (measure, mean) in evaluation.means() {
            out.insert(measure.to_string(), json!(mean));
        }
        out.insert("queries".into(), json!(evaluation.queries().len()));
        out.insert("unanswered".into(), json!(evaluation.unanswered()));
    }
    out.extend(report);
    if let (Some(evaluation), Some(compared)) = (evaluation, compared) {
        let mut tests = Map::new();
        for (i, (measure, mean)) in compared.means().enumerate() {
            let test = t_test(evaluation, compared, i)?;
            let test =
                json!({"mean": mean, "difference": test.difference, "t": test.t, "p": test.p});
            tests.insert(measure.to_string(), test);
        }
        out.insert("compared".into(), Value::Object(tests));
    }
    if let Some(evaluation) = evaluation.filter(|_| args.per_query) {
        let mut per_query = Map::new();
        for (q, query) in evaluation.queries().iter().enumerate() {
            let values: Map<String, Value> = evaluation
                .measures()
                .iter()
                .enumerate()
                .filter_map(|(i, m)| Some((m.to_string(), json!(evaluation.values(i)?.get(q)?))))
                .collect();
            per_query.insert(query.clone(), Value::Object(values));
        }
        out.insert("per_query".into(), Value::Object(per_query));
    }
    crate::output::json(&out)
}

fn t_test(
    left: &Evaluation,
    right: &Evaluation,
    measure: usize,
) -> anyhow::Result<quarry_datasets::measures::TTest> {
    let left = left.values(measure).context("a measure without values")?;
    let right = right.values(measure).context("a measure without values")?;
    Ok(paired_t_test(left, right)?)
}

fn print_text(
    args: &Args,
    evaluation: Option<&Evaluation>,
    compared: Option<&Evaluation>,
    report: &Map<String, Value>,
) -> anyhow::Result<()> {
    if let Some(evaluation) = evaluation {
        if args.per_query {
            for (q, query) in evaluation.queries().iter().enumerate() {
                for (i, measure) in evaluation.measures().iter().enumerate() {
                    let value = evaluation.values(i).and_then(|v| v.get(q)).copied().unwrap_or(0.0);
                    line(format!("{query}\t{measure}\t{value:.4}"))?;
                }
            }
        }
        let mut rows = Vec::new();
        if compared.is_some() {
            rows.push(
                ["measure", "run", "compared", "difference", "p"].map(str::to_owned).to_vec(),
            );
        }
        for (i, (measure, mean)) in evaluation.means().enumerate() {
            let mut row = vec![measure.to_string(), format!("{mean:.4}")];
            if let Some(compared) = compared {
                let test = t_test(evaluation, compared, i)?;
                row.push(format!("{:.4}", mean - test.difference));
                row.push(format!("{:+.4}", test.difference));
                row.push(format!("{:.4}", test.p));
            }
            rows.push(row);
        }
        rows.push(vec!["queries".into(), evaluation.queries().len().to_string()]);
        crate::output::text(&table(&rows))?;
        tell_unanswered(evaluation);
    }
    for (name, value) in report.iter().filter(|(name, _)| name.starts_with("overlap")) {
        line(format!("{name}  {:.4}", value.as_f64().unwrap_or(0.0)))?;
    }
    Ok(())
}
