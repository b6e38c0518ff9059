//! `quarry eval --rerank`: the first stage, the second, and the exhaustive search by MaxSim, side by
//! side over the same queries.

use std::num::NonZeroUsize;
use std::time::Instant;

use quarry_datasets::measures::{EvaluateOptions, Evaluation, Measure, evaluate};
use quarry_datasets::{Qrels, Run, RunFormat};
use quarry_searcher::{Hit, Outcome, RerankStats};
use quarry_vectors::{Query, ScoredDoc};
use serde_json::{Map, Value, json};

use super::eval::{Args, depth};
use crate::output::{line, table};
use crate::retrieve::Opened;

/// What is asked, and what is right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub(crate) queries: &'a [Query],
    pub(crate) qrels: &'a Qrels,
    pub(crate) drop_self: bool,
}

struct Stage {
    name: &'static str,
    evaluation: Evaluation,
    micros: f64,
    stats: Option<RerankStats>,
}

pub(crate) fn run(
    args: &Args,
    opened: &Opened,
    judged: Judged<'_>,
    measures: &[Measure],
) -> anyhow::Result<()> {
    let Judged { queries, qrels, drop_self } = judged;
    let (search, second) = (&args.search, opened.second()?);
    let options = EvaluateOptions { drop_self };
    let extra = |k: NonZeroUsize| if drop_self { k.saturating_add(1) } else { k };
    let deepest = depth(measures)?;
    let handed = search.second.depth(args.rerank_k);
    let tokens = second.tokens(queries)?;
    let started = Instant::now();
    let mut first = opened.first(queries, search, extra(deepest.max(handed)))?;
    let first_us = each(started, queries);
    if drop_self {
        for (query, outcome) in queries.iter().zip(&mut first) {
            outcome.hits.retain(|hit| opened.searcher.id(hit) != query.id);
        }
    }
    let candidates: Vec<Vec<Hit>> =
        first.iter().map(|o| o.hits.iter().take(handed.get()).copied().collect()).collect();
    let started = Instant::now();
    let found = second.rerank(&tokens, &candidates, &search.second.params(args.rerank_k))?;
    let second_us = each(started, queries);
    let mut stats = RerankStats::default();
    found.iter().for_each(|f| stats.add(&f.stats));
    let mut stages = Vec::new();
    let run = runs(opened, queries, "first", deepest, first.iter().map(ranking))?;
    let evaluation = evaluate(&run, qrels, measures, options);
    stages.push(Stage { name: "first stage", evaluation, micros: first_us, stats: None });
    let reranked = found.iter().zip(&first).map(|(f, first)| followed(&f.hits, &first.hits));
    let run = runs(opened, queries, "reranked", deepest, reranked)?;
    if let Some(path) = &args.run {
        run.write(path, RunFormat::Trec)?;
    }
    let evaluation = evaluate(&run, qrels, measures, options);
    stages.push(Stage { name: "reranked", evaluation, micros: second_us, stats: Some(stats) });
    if !args.no_exhaustive {
        let params = search.second.exhaustive(extra(deepest));
        let tokens: Vec<_> = tokens.iter().collect();
        let started = Instant::now();
        let mut all = opened.searcher.maxsim_batch(second.reranker.as_ref(), &tokens, &params)?;
        let micros = each(started, queries);
        if drop_self {
            for (query, outcome) in queries.iter().zip(&mut all) {
                outcome.hits.retain(|hit| opened.searcher.id(hit) != query.id);
            }
        }
        let run = runs(opened, queries, "exhaustive", deepest, all.iter().map(ranking))?;
        let evaluation = evaluate(&run, qrels, measures, options);
        stages.push(Stage { name: "exhaustive", evaluation, micros, stats: None });
    }
    let device = second.reranker.device();
    if args.json {
        print_json(&stages, &device, queries.len())
    } else {
        print_text(&stages, &device, queries.len())
    }
}

/// Microseconds a query, of a batch over all cores.
#[expect(clippy::cast_precision_loss, reason = "a number of queries")]
fn each(started: Instant, queries: &[Query]) -> f64 {
    started.elapsed().as_secs_f64() * 1e6 / queries.len().max(1) as f64
}

fn ranking(outcome: &Outcome) -> Vec<Hit> {
    outcome.hits.clone()
}

/// The second stage's hits, then what it left out in the first stage's order, with scores below.
fn followed(best: &[Hit], first: &[Hit]) -> Vec<Hit> {
    let mut all = best.to_vec();
    let same = |a: &Hit, b: &Hit| (a.segment, a.doc) == (b.segment, b.doc);
    let mut score = best.last().map_or(0.0, |hit| hit.score.min(0.0));
    for hit in first.iter().filter(|hit| !best.iter().any(|b| same(b, hit))) {
        score -= 1.0;
        all.push(Hit { score, ..*hit });
    }
    all
}

fn runs(
    opened: &Opened,
    queries: &[Query],
    tag: &str,
    depth: NonZeroUsize,
    rankings: impl Iterator<Item = Vec<Hit>>,
) -> anyhow::Result<Run> {
    let mut run = Run::new(&format!("quarry-{tag}"));
    for (query, hits) in queries.iter().zip(rankings) {
        let hits = hits.iter().take(depth.get());
        let ranking =
            hits.map(|hit| ScoredDoc { id: opened.searcher.id(hit).to_owned(), score: hit.score });
        run.insert(&query.id, ranking.collect())?;
    }
    Ok(run)
}

fn print_json(stages: &[Stage], device: &str, queries: usize) -> anyhow::Result<()> {
    let mut out = Map::new();
    out.insert("queries".into(), json!(queries));
    out.insert("device".into(), json!(device));
    for stage in stages {
        let mut values: Map<String, Value> =
            stage.evaluation.means().map(|(m, mean)| (m.to_string(), json!(mean))).collect();
        values.insert("micros_a_query".into(), json!(stage.micros));
        if let Some(stats) = &stage.stats {
            values.insert("stats".into(), json!(stats));
        }
        out.insert(stage.name.replace(' ', "_"), Value::Object(values));
    }
    crate::output::json(&out)
}

#[expect(clippy::cast_precision_loss, reason = "means with two digits")]
fn print_text(stages: &[Stage], device: &str, queries: usize) -> anyhow::Result<()> {
    let Some(first) = stages.first() else { return Ok(()) };
    let mut rows = vec![vec!["measure".to_owned()]];
    rows[0].extend(stages.iter().map(|s| s.name.to_owned()));
    for (i, (measure, _)) in first.evaluation.means().enumerate() {
        let mut row = vec![measure.to_string()];
        row.extend(stages.iter().map(|s| {
            s.evaluation.means().nth(i).map_or_else(String::new, |(_, mean)| format!("{mean:.4}"))
        }));
        rows.push(row);
    }
    let mut row = vec!["us a query".to_owned()];
    row.extend(stages.iter().map(|s| format!("{:.0}", s.micros)));
    rows.push(row);
    crate::output::text(&table(&rows))?;
    for stats in stages.iter().filter_map(|s| s.stats) {
        let n = queries.max(1) as f64;
        let mean = |count: u64| count as f64 / n;
        line(format!(
            "on {device}: of {:.1} candidates a query {:.1} pruned, {:.1} skipped, {:.1} scored, {:.1} rescored",
            mean(stats.candidates),
            mean(stats.pruned),
            mean(stats.skipped),
            mean(stats.scored),
            mean(stats.rescored)
        ))?;
    }
    Ok(())
}
