//! `quarry eval --conditions`: feedback before fusion, after it and both, side by side over the same queries, as the
//! table of Li et al. (SIGIR 2022) has them, for every choice of channels that are fed back.

use std::path::{Path, PathBuf};

use anyhow::Context;
use quarry_datasets::Ignored;
use quarry_datasets::measures::{Evaluation, Measure, TTest, evaluate, paired_t_test};
use quarry_engine::evaluate::depth;
use serde_json::{Map, Value, json};

use super::eval_args::Args;
use super::judged::tell_unanswered;
use super::stages::Judged;
use crate::feedback::Compared;
use crate::output::table;
use crate::outputs::expect_apart;
use crate::retrieve::Opened;
use crate::runs::RunTarget;
use crate::told::told;

/// A condition, measured.
struct Row {
    compared: Compared,
    path: PathBuf,
    evaluation: Evaluation,
}

pub(crate) fn run(
    args: &Args,
    opened: &Opened,
    (judged, measures): (Judged<'_>, &[Measure]),
    (folder, report): (&Path, Map<String, Value>),
) -> anyhow::Result<()> {
    let none = Ignored::default();
    let ignored = judged.options.ignored.unwrap_or(&none);
    let k = depth(measures);
    let options = args.search.first_stage(k.saturating_add(ignored.most()));
    let all = args.search.feedback.compared(&options).map_err(told)?;
    // What cannot be written is found before anything is searched.
    let path = |compared: &Compared| folder.join(format!("{}.run", compared.name("-")));
    let inputs = [&args.collection, &args.queries, &args.qrels, &args.ignore_pairs];
    for compared in &all {
        expect_apart(&path(compared), &inputs.map(Option::as_deref))?;
    }
    make(folder)?;
    let mut targets = Vec::with_capacity(all.len());
    for compared in all {
        let path = path(&compared);
        let target = RunTarget::begin(Some(&path), args.run_format, args.overwrite)?;
        targets.push((compared, path, target));
    }
    if let Some((_, _, target)) = targets.first() {
        target.check(opened.searcher().index(), judged.queries)?;
    }
    let prepared = opened.prepared(judged.queries, &options, ignored)?;
    let mut rows: Vec<Row> = Vec::with_capacity(targets.len());
    for (compared, path, target) in targets {
        let found = opened.found(prepared.clone(), &compared.options)?;
        let rankings = found.iter().map(|found| found.outcome.hits.as_slice());
        let tag = format!("quarry-{}", compared.name("-"));
        let run = opened.run_of(&tag, judged.queries.iter().zip(rankings), (k, ignored))?;
        let evaluation = evaluate(&run, judged.qrels, measures, judged.options);
        target.write(&run)?;
        rows.push(Row { compared, path, evaluation });
    }
    if let Some(first) = rows.first() {
        tell_unanswered(&first.evaluation);
    }
    if args.json { print_json(&rows, report) } else { print_text(&rows) }
}

/// Makes the folder of the runs, if it is missing.
fn make(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    anyhow::ensure!(
        folder.is_dir() || !folder.exists(),
        "{shown}: is a file; --conditions takes a folder for the runs, and makes it where it is missing"
    );
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{shown}: the folder of the runs cannot be made"))
}

/// A row beside the first, in which nothing feeds back; `None` of that one.
fn test(rows: &[Row], row: usize, measure: usize) -> anyhow::Result<Option<TTest>> {
    let of = |row: &Row| -> anyhow::Result<Vec<f64>> {
        Ok(row.evaluation.values(measure).context("a measure without values")?.to_vec())
    };
    match row {
        0 => Ok(None),
        // One query cannot differ from itself by chance.
        _ if of(&rows[0])?.len() < 2 => Ok(None),
        _ => Ok(Some(paired_t_test(&of(&rows[row])?, &of(&rows[0])?)?)),
    }
}

fn print_text(rows: &[Row]) -> anyhow::Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    let mut head = vec!["condition".to_owned()];
    for measure in first.evaluation.measures() {
        head.extend([measure.to_string(), "change".to_owned(), "p".to_owned()]);
    }
    let mut lines = vec![head];
    for (at, row) in rows.iter().enumerate() {
        let mut line = vec![row.compared.name(" ")];
        for (measure, (_, mean)) in row.evaluation.means().enumerate() {
            line.push(format!("{mean:.4}"));
            match test(rows, at, measure)? {
                Some(test) => {
                    line.extend([format!("{:+.4}", test.difference), format!("{:.4}", test.p)]);
                }
                None => line.extend([String::new(), String::new()]),
            }
        }
        lines.push(line);
    }
    lines.push(vec!["queries".to_owned(), first.evaluation.queries().len().to_string()]);
    Ok(crate::output::text(&table(&lines))?)
}

fn print_json(rows: &[Row], report: Map<String, Value>) -> anyhow::Result<()> {
    let mut out = Map::new();
    if let Some(first) = rows.first() {
        out.insert("queries".into(), json!(first.evaluation.queries().len()));
        out.insert("unanswered".into(), json!(first.evaluation.unanswered()));
    }
    out.extend(report);
    let mut conditions = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        let mut measures = Map::new();
        for (measure, (name, mean)) in row.evaluation.means().enumerate() {
            let value = match test(rows, at, measure)? {
                Some(t) => json!({"mean": mean, "difference": t.difference, "t": t.t, "p": t.p}),
                None => json!({"mean": mean}),
            };
            measures.insert(name.to_string(), value);
        }
        let channels: Vec<&str> = row.compared.channels.iter().map(|c| c.name()).collect();
        conditions.push(json!({
            "condition": row.compared.condition,
            "channels": channels,
            "run": row.path,
            "measures": measures,
        }));
    }
    out.insert("conditions".into(), json!(conditions));
    crate::output::json(&out)
}
