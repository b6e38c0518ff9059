//! `quarry eval --rerank`: the first stage, the second, and the exhaustive search by MaxSim, side by
//! side over the same queries.

use std::num::NonZeroUsize;
use std::time::Instant;

use quarry_datasets::measures::{EvaluateOptions, Evaluation, Measure, evaluate};
use quarry_datasets::{Ignored, Qrels, Run};
use quarry_engine::evaluate::{depth, followed, run_of};
use quarry_engine::{FoundRow as Hit, MaxsimOptions, Outcome, RerankStats, RowOptions, RowQuery};
use quarry_vectors::{Query, TokenEmbeddings};
use serde_json::{Map, Value, json};

use super::eval_args::Args;
use super::judged::tell_unanswered;
use crate::output::{line, table};
use crate::retrieve::{Opened, SearchArgs};
use crate::runs::RunTarget;
use crate::told::told;

/// What is asked, and what is right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub(crate) queries: &'a [Query],
    pub(crate) qrels: &'a Qrels,
    pub(crate) options: EvaluateOptions<'a>,
}

struct Stage {
    name: &'static str,
    evaluation: Evaluation,
    micros: f64,
    stats: Option<RerankStats>,
}

/// Both stages over the same queries: the one way in which reranked rankings are made to be measured.
pub(crate) struct Both {
    /// The first stage, as deep as its measures look, without what is ignored.
    first: Vec<Outcome>,
    /// The second stage's best, followed by what it left out in the first stage's order.
    second: Vec<Vec<Hit>>,
    tokens: Vec<TokenEmbeddings>,
    depth: NonZeroUsize,
    micros: (f64, f64),
    stats: RerankStats,
}

/// Searches, and has the second stage give its `rerank_k` best of the candidates: what `search --rerank -k`
/// shows. Rankings are cut at `depth`.
pub(crate) fn both(
    opened: &Opened,
    queries: &[Query],
    search: &SearchArgs,
    (rerank_k, depth, ignored): (NonZeroUsize, NonZeroUsize, &Ignored),
) -> anyhow::Result<Both> {
    let rerank = search.second.options();
    let handed = rerank.depth.max(rerank_k);
    let tokens = opened.tokens(queries)?;
    let started = Instant::now();
    let wanted = depth.max(handed).saturating_add(ignored.most());
    let mut first = opened.first(queries, search, (wanted, ignored))?;
    let first_us = each(started, queries);
    opened.tell_silent(queries, &first, search);
    drop_ignored(opened, queries, &mut first, ignored);
    let candidates: Vec<Vec<Hit>> =
        first.iter().map(|o| o.hits.iter().take(handed.get()).copied().collect()).collect();
    let started = Instant::now();
    let found = opened.rescore(&tokens, &candidates, &rerank.params(rerank_k, None))?;
    let second_us = each(started, queries);
    let mut stats = RerankStats::default();
    found.iter().for_each(|f| stats.add(&f.stats));
    let all = found.iter().zip(&first).map(|(f, first)| followed(&f.hits, &first.hits)).collect();
    Ok(Both { first, second: all, tokens, depth, micros: (first_us, second_us), stats })
}

impl Both {
    /// The run of the second stage.
    pub(crate) fn reranked(&self, opened: &Opened, queries: &[Query]) -> anyhow::Result<Run> {
        runs(opened, queries, "reranked", self.depth, self.second.iter().map(Vec::as_slice))
    }
}

fn drop_ignored(opened: &Opened, queries: &[Query], found: &mut [Outcome], ignored: &Ignored) {
    for (query, outcome) in queries.iter().zip(found) {
        outcome.hits.retain(|hit| !ignored.contains(&query.id, opened.searcher().id(hit)));
    }
}

pub(crate) fn run(
    args: &Args,
    opened: &Opened,
    judged: Judged<'_>,
    measures: &[Measure],
    (target, report): (Option<RunTarget>, Map<String, Value>),
) -> anyhow::Result<()> {
    let Judged { queries, qrels, options } = judged;
    let search = &args.search;
    let none = Ignored::default();
    let ignored = options.ignored.unwrap_or(&none);
    let deepest = depth(measures);
    let both = both(opened, queries, search, (args.rerank_k, deepest, ignored))?;
    let mut stages = Vec::new();
    let run = runs(opened, queries, "first", deepest, both.first.iter().map(ranking))?;
    let evaluation = evaluate(&run, qrels, measures, options);
    stages.push(Stage { name: "first stage", evaluation, micros: both.micros.0, stats: None });
    let run = both.reranked(opened, queries)?;
    if let Some(target) = target {
        target.write(&run)?;
    }
    let evaluation = evaluate(&run, qrels, measures, options);
    stages.push(Stage {
        name: "reranked",
        evaluation,
        micros: both.micros.1,
        stats: Some(both.stats),
    });
    let second = opened.second()?;
    if !args.no_exhaustive {
        let k = deepest.saturating_add(ignored.most());
        let tokens: Vec<_> = both.tokens.iter().map(RowQuery::Tokens).collect();
        let started = Instant::now();
        let maxsim =
            MaxsimOptions { reranker: second.reranker().as_ref(), exact: search.second.exact() };
        let row_options = RowOptions { maxsim: Some(maxsim), ..RowOptions::new(k) };
        let mut all = opened.searcher().search_batch(&tokens, &row_options)?;
        let micros = each(started, queries);
        drop_ignored(opened, queries, &mut all, ignored);
        let run = runs(opened, queries, "exhaustive", deepest, all.iter().map(ranking))?;
        let evaluation = evaluate(&run, qrels, measures, options);
        stages.push(Stage { name: "exhaustive", evaluation, micros, stats: None });
    }
    if let Some(first) = stages.first() {
        tell_unanswered(&first.evaluation);
    }
    let device = second.reranker().device();
    if args.json {
        print_json(&stages, &device, (queries.len(), report))
    } else {
        print_text(&stages, &device, queries.len())
    }
}

/// Microseconds a query, of a batch over all cores.
#[expect(clippy::cast_precision_loss, reason = "a number of queries")]
fn each(started: Instant, queries: &[Query]) -> f64 {
    started.elapsed().as_secs_f64() * 1e6 / queries.len().max(1) as f64
}

fn ranking(outcome: &Outcome) -> &[Hit] {
    &outcome.hits
}

fn runs<'a>(
    opened: &Opened,
    queries: &[Query],
    tag: &str,
    depth: NonZeroUsize,
    rankings: impl Iterator<Item = &'a [Hit]>,
) -> anyhow::Result<Run> {
    let tag = format!("quarry-{tag}");
    run_of(opened.searcher(), &tag, queries, rankings, depth).map_err(told)
}

fn print_json(
    stages: &[Stage],
    device: &str,
    (queries, report): (usize, Map<String, Value>),
) -> anyhow::Result<()> {
    let mut out = Map::new();
    let judged = stages.first().map(|stage| &stage.evaluation);
    out.insert("queries".into(), json!(judged.map_or(queries, |e| e.queries().len())));
    out.insert("unanswered".into(), json!(judged.map(Evaluation::unanswered)));
    out.extend(report);
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
    let mut row = vec!["queries".to_owned()];
    row.extend(stages.iter().map(|s| s.evaluation.queries().len().to_string()));
    rows.push(row);
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
