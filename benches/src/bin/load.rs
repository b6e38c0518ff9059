//! A load test of `quarry serve`: searches by vector over keep-alive connections, as fast as
//! answers come. Prints one JSON object: requests a second, latencies, and statuses.
//!
//! Without an HTTP library on purpose: the client must not be what is measured.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use quarry_datasets::{QueryOptions, open_queries};
use quarry_vectors::{InputVector, Query};
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
    let input = match &query.vector {
        Some(InputVector::Terms(v)) => {
            json!({"sparse": {"term_ids": v.terms(), "weights": v.weights()}})
        }
        Some(InputVector::Tokens(tokens)) => {
            let tokens: serde_json::Map<_, _> =
                tokens.iter().map(|(t, w)| (t.clone(), json!(w))).collect();
            json!({"sparse": {"tokens": tokens}})
        }
        None => json!({"text": query.text}),
    };
    json!({"query": input, "k": args.k, "method": args.method, "timeout_ms": 10_000}).to_string()
}

/// Sends requests one after another; gives each one's status and microseconds.
fn connection(
    args: &Args,
    bodies: &[String],
    first: usize,
    end: Instant,
) -> anyhow::Result<Vec<(u16, u64)>> {
    let stream = TcpStream::connect(&args.address).with_context(|| args.address.clone())?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let mut out = Vec::new();
    for body in bodies.iter().cycle().skip(first * 17) {
        let begun = Instant::now();
        if begun >= end {
            break;
        }
        let head = format!(
            "POST /v1/collections/{}/search HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            args.collection,
            args.address,
            body.len()
        );
        writer.write_all(head.as_bytes())?;
        writer.write_all(body.as_bytes())?;
        let status = read_answer(&mut reader)?;
        out.push((status, u64::try_from(begun.elapsed().as_micros())?));
    }
    Ok(out)
}

fn read_answer(reader: &mut impl BufRead) -> anyhow::Result<u16> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).context("no status line")?.parse()?;
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(status)
}
