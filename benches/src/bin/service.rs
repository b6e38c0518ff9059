//! A load test of a collection that is searched and written to: closed or open loop. Prints one JSON object.
//!
//! 1. closed loop: each connection sends its next request when it has an answer; open loop (`--rate`): requests are due at
//!    a fixed rate, whether the server keeps up or not, and a latency counts from when the request was due
//! 2. `--writes SHARE` of the requests put one document with a vector, acknowledged as synced
//! 3. afterwards a sample of the very answers is compared with exact search, if nothing was written

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use quarry_benches::http::{Connection, query_input};
use quarry_datasets::{QueryOptions, open_queries};
use serde_json::{Value, json};

/// One answer in this many is kept, to be compared.
const SAMPLED: u64 = 64;

/// Load a running server with searches and writes.
#[derive(Debug, Parser)]
struct Args {
    /// Address, such as 127.0.0.1:7878
    address: String,
    /// Name of the collection
    collection: String,
    /// Queries: vectors by term (.bin, .csr) or by token (.jsonl), or text; writes put their vectors as documents
    #[arg(long)]
    queries: PathBuf,
    /// Connections
    #[arg(long, default_value_t = 4)]
    connections: u64,
    /// Seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Requests a second that are due (open loop); without it each connection sends when it has an answer
    #[arg(long)]
    rate: Option<f64>,
    /// Share of the requests that write
    #[arg(long, default_value_t = 0.0)]
    writes: f64,
    /// Documents in a write
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Hits wanted
    #[arg(long, default_value_t = 10)]
    k: u32,
    /// Filter of every search
    #[arg(long)]
    filter: Option<String>,
}

/// Requests in the order in which they are due.
struct Plan {
    args: Args,
    searches: Vec<Value>,
    vectors: Vec<Value>,
    begun: Instant,
    next: AtomicU64,
}

#[derive(Default)]
struct Seen {
    search_micros: Vec<u64>,
    write_micros: Vec<u64>,
    statuses: BTreeMap<u16, u64>,
    documents: u64,
    /// Number of the query, and the answer.
    sample: Vec<(usize, Vec<u8>)>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let options = QueryOptions { split: None, ..QueryOptions::default() };
    let inputs: Vec<Value> =
        open_queries(&args.queries, &options)?.iter().map(query_input).collect();
    if inputs.is_empty() {
        bail!("{}: no queries", args.queries.display());
    }
    let searches = inputs.iter().map(|input| {
        let mut search = json!({"query": input, "k": args.k, "timeout_ms": 10_000});
        if let Some(filter) = &args.filter {
            search["filter"] = json!(filter);
        }
        search
    });
    let vectors: Vec<Value> = inputs.iter().filter_map(vector).collect();
    if args.writes > 0.0 && vectors.is_empty() {
        bail!("{}: writes need queries with vectors", args.queries.display());
    }
    let (searches, begun) = (searches.collect(), Instant::now());
    let plan = Plan { args, searches, vectors, begun, next: AtomicU64::new(0) };
    let all = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..plan.args.connections).map(|_| scope.spawn(|| plan.work())).collect();
        let ended = |w: std::thread::ScopedJoinHandle<'_, anyhow::Result<Seen>>| {
            w.join().map_err(|_| anyhow::anyhow!("a connection's thread failed"))?
        };
        workers.into_iter().map(ended).collect::<anyhow::Result<Vec<Seen>>>()
    })?;
    writeln!(std::io::stdout(), "{}", plan.report(all)?)?;
    Ok(())
}

/// A query's vector as a document's.
fn vector(input: &Value) -> Option<Value> {
    let sparse = input.get("sparse")?;
    if let Some(tokens) = sparse.get("tokens") {
        return Some(tokens.clone());
    }
    let terms = sparse.get("term_ids")?.as_array()?.iter().map(ToString::to_string);
    let weights = sparse.get("weights")?.as_array()?.iter().cloned();
    Some(Value::Object(terms.zip(weights).collect()))
}

impl Plan {
    /// Sends what is next until time is up.
    fn work(&self) -> anyhow::Result<Seen> {
        let mut connection = Connection::open(&self.args.address)?;
        let end = self.begun + Duration::from_secs(self.args.seconds);
        let mut seen = Seen::default();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            #[expect(clippy::cast_precision_loss, reason = "a time")]
            let due = match self.args.rate {
                Some(rate) => self.begun + Duration::from_secs_f64(number as f64 / rate),
                None => Instant::now(),
            };
            if due >= end || Instant::now() >= end + Duration::from_secs(30) {
                return Ok(seen);
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let begun = if self.args.rate.is_some() { due } else { Instant::now() };
            self.send(number, begun, &mut connection, &mut seen)?;
        }
    }

    fn send(
        &self,
        number: u64,
        due: Instant,
        connection: &mut Connection,
        seen: &mut Seen,
    ) -> anyhow::Result<()> {
        let base = format!("/v1/collections/{}", self.args.collection);
        let at = usize::try_from(number)?;
        let micros = || u64::try_from(due.elapsed().as_micros());
        if self.is_write(number) {
            let documents: Vec<String> = (0..self.args.batch)
                .map(|n| {
                    let id = (1u64 << 40) + number * self.args.batch as u64 + n as u64;
                    let vector = &self.vectors[(at * 31 + n) % self.vectors.len()];
                    json!({"id": id.to_string(), "vector": vector}).to_string()
                })
                .collect();
            let path = format!("{base}/documents");
            let (status, _) = connection.post(&path, true, &documents.join("\n"))?;
            *seen.statuses.entry(status).or_default() += 1;
            if status == 200 {
                seen.write_micros.push(micros()?);
                seen.documents += documents.len() as u64;
            }
            return Ok(());
        }
        let query = at % self.searches.len();
        let body = self.searches[query].to_string();
        let (status, answer) = connection.post(&format!("{base}/search"), false, &body)?;
        *seen.statuses.entry(status).or_default() += 1;
        if status == 200 {
            seen.search_micros.push(micros()?);
            if number.is_multiple_of(SAMPLED) {
                seen.sample.push((query, answer));
            }
        }
        Ok(())
    }

    /// Spreads the writes evenly.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    fn is_write(&self, number: u64) -> bool {
        let share = self.args.writes;
        (number as f64 * share).floor() < ((number + 1) as f64 * share).floor()
    }

    fn report(&self, all: Vec<Seen>) -> anyhow::Result<Value> {
        let mut sum = Seen::default();
        for seen in all {
            sum.search_micros.extend(seen.search_micros);
            sum.write_micros.extend(seen.write_micros);
            sum.documents += seen.documents;
            sum.sample.extend(seen.sample);
            for (status, count) in seen.statuses {
                *sum.statuses.entry(status).or_default() += count;
            }
        }
        let overlap = match sum.documents {
            0 => self.overlap(&sum.sample)?,
            _ => None,
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let each_second = |count: u64| (count as f64 / self.begun.elapsed().as_secs_f64()).round();
        let searches = sum.search_micros.len() as u64;
        Ok(json!({
            "connections": self.args.connections,
            "rate": self.args.rate,
            "writes": self.args.writes,
            "filter": self.args.filter,
            "searches_per_second": each_second(searches),
            "documents_per_second": each_second(sum.documents),
            "search_us": shares(sum.search_micros),
            "write_us": shares(sum.write_micros),
            "statuses": sum.statuses,
            "overlap": overlap,
            "compared": sum.sample.len(),
        }))
    }

    /// Mean overlap@k of the answers with exact search.
    fn overlap(&self, sample: &[(usize, Vec<u8>)]) -> anyhow::Result<Option<f64>> {
        let mut connection = Connection::open(&self.args.address)?;
        let path = format!("/v1/collections/{}/search", self.args.collection);
        let (mut found, mut wanted) = (0usize, 0usize);
        for (query, answer) in sample {
            let mut exact = self.searches[*query].clone();
            exact["method"] = json!("exact");
            let (status, body) = connection.post(&path, false, &exact.to_string())?;
            if status != 200 {
                bail!("exact search: {status}");
            }
            let (exact, answer) = (ids(&body)?, ids(answer)?);
            wanted += exact.len();
            found += exact.intersection(&answer).count();
        }
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = (wanted > 0).then(|| found as f64 / wanted as f64);
        Ok(share)
    }
}

fn ids(answer: &[u8]) -> anyhow::Result<BTreeSet<String>> {
    let answer: Value = serde_json::from_slice(answer)?;
    let hits = answer["hits"].as_array().context("no hits")?;
    Ok(hits.iter().map(|hit| hit["id"].to_string()).collect())
}

/// Quantiles of latencies.
fn shares(mut micros: Vec<u64>) -> Value {
    micros.sort_unstable();
    let at = |share: usize| {
        micros.get((micros.len() * share / 1000).min(micros.len().saturating_sub(1)))
    };
    json!({"p50": at(500), "p99": at(990), "p99.9": at(999), "max": micros.last()})
}
