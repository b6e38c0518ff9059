//! A load test of `quarry serve`: searches by vector over keep-alive connections, as fast as
//! answers come. Prints one JSON object: requests a second, latencies, and statuses.
//!
//! Without an HTTP library on purpose (`http.rs`): the client must not be what is measured.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Parser;
use quarry_benches::http::{Connection, query_input};
use quarry_datasets::{QueryOptions, open_queries};
use quarry_vectors::Query;
use serde_json::json;

/// Load a running server with searches.
#[derive(Debug, Parser)]
struct Args {
    /// Address, such as 127.0.0.1:7878
    address: String,
    /// Name of the collection
    collection: String,
    /// Queries: vectors by term (.bin, .csr) or by token (.jsonl), or text
    #[arg(long)]
    queries: PathBuf,
    /// Connections
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Hits wanted
    #[arg(long, default_value_t = 10)]
    k: u32,
    /// Method
    #[arg(long, default_value = "auto")]
    method: String,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let queries =
        open_queries(&args.queries, &QueryOptions { split: None, ..QueryOptions::default() })?;
    let bodies: Vec<String> = queries.iter().map(|q| body(q, &args)).collect();
    if bodies.is_empty() {
        bail!("{}: no queries", args.queries.display());
    }
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let results = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..args.connections)
            .map(|n| {
                let (args, bodies) = (&args, &bodies);
                scope.spawn(move || connection(args, bodies, n, end))
            })
            .collect();
        workers
            .into_iter()
            .map(|w| w.join().map_err(|_| anyhow::anyhow!("a connection's thread failed"))?)
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    let mut micros: Vec<u64> = Vec::new();
    let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
    for (status, us) in results.into_iter().flatten() {
        *statuses.entry(status).or_default() += 1;
        if status == 200 {
            micros.push(us);
        }
    }
    micros.sort_unstable();
    let at = |share: usize| {
        micros.get((micros.len() * share / 1000).min(micros.len().saturating_sub(1)))
    };
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = micros.len() as f64 / args.seconds.max(1) as f64;
    let report = json!({
        "connections": args.connections,
        "seconds": args.seconds,
        "requests_per_second": rate.round(),
        "p50_us": at(500),
        "p99_us": at(990),
        "statuses": statuses,
    });
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

fn body(query: &Query, args: &Args) -> String {
    let input = query_input(query);
    json!({"query": input, "k": args.k, "method": args.method, "timeout_ms": 10_000}).to_string()
}

/// Sends requests one after another; gives each one's status and microseconds.
fn connection(
    args: &Args,
    bodies: &[String],
    first: usize,
    end: Instant,
) -> anyhow::Result<Vec<(u16, u64)>> {
    let mut connection = Connection::open(&args.address)?;
    let path = format!("/v1/collections/{}/search", args.collection);
    let mut out = Vec::new();
    for body in bodies.iter().cycle().skip(first * 17) {
        let begun = Instant::now();
        if begun >= end {
            break;
        }
        let (status, _) = connection.post(&path, false, body)?;
        out.push((status, u64::try_from(begun.elapsed().as_micros())?));
    }
    Ok(out)
}
