//! A server under load for a while: writes, searches, snapshots that are restored, merges, and a follower. Memory stays flat,
//! nothing that was answered is lost, and 429 is the only refusal.
//!
//! Twenty seconds; `QUARRY_SOAK` sets another number, such as 3600.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use common::served::Server;
use common::{Numbers, note, text};
use serde_json::{Value, json};

const DOCS: &str = "/v1/collections/docs";
const SECONDS: u64 = 20;
/// Ids that are written again and again, so that the collection does not grow.
const IDS: u64 = 2000;
/// Growth of memory that is not the files', from a third of the time on: room for caches and what allocators keep.
const GROWTH: u64 = 96 << 20;

fn serve(args: &[&str]) -> Server {
    let server = Server::bound(args);
    while ask(&server.address, "GET", "/readyz", "").0 != 200 {
        sleep(Duration::from_millis(20));
    }
    server
}

fn ask(address: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..split]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_slice(&answer[split + 4..]).unwrap_or(Value::Null))
}

/// Memory of a process that no file backs, in bytes.
fn anonymous(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

struct Load<'a> {
    address: &'a str,
    /// By id, the version that was answered last.
    known: &'a Mutex<BTreeMap<String, u64>>,
    ended: &'a AtomicBool,
    refused: &'a AtomicU64,
    /// Rest between two requests of a client, in microseconds.
    rest: &'a AtomicU64,
}

impl Load<'_> {
    fn goes_on(&self) -> bool {
        sleep(Duration::from_micros(self.rest.load(Ordering::Relaxed)));
        !self.ended.load(Ordering::SeqCst)
    }

    /// The answer; `None` if there was too much to do.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        match ask(self.address, method, path, &body) {
            (200..=202, answer) => Some(answer),
            (429, _) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(50));
                None
            }
            (status, answer) => panic!("{method} {path}: {status} {answer}"),
        }
    }

    /// Puts documents of this writer's own ids.
    fn write(&self, writer: u64) {
        let (mut numbers, mut version) = (Numbers(7 + writer), 0);
        while self.goes_on() {
            version += 1;
            let ids: Vec<String> =
                (0..20).map(|_| format!("w{writer}-{}", numbers.below(IDS))).collect();
            let documents: Vec<Value> = ids
                .iter()
                .map(|id| json!({"id": id, "text": "a text", "version": version, "vector": {"dog": 1.0, "cat": 2.0}}))
                .collect();
            if self.ask("POST", &format!("{DOCS}/documents"), &json!(documents)).is_some() {
                let mut known = self.known.lock().unwrap();
                known.extend(ids.into_iter().map(|id| (id, version)));
            }
        }
    }

    fn search(&self, count: &AtomicU64) {
        let search = json!({"query": {"sparse": {"tokens": {"dog": 1}}}, "k": 10});
        while self.goes_on() {
            if self.ask("POST", &format!("{DOCS}/search"), &search).is_some() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Makes a snapshot, restores it, compares, and removes both; and merges.
    fn save(&self) -> u64 {
        let mut rounds = 0;
        while self.goes_on() {
            let Some(made) = self.ask("POST", &format!("{DOCS}/snapshots"), &Value::Null) else {
                continue;
            };
            let body = json!({"snapshot": {"collection": "docs", "name": made["name"]}});
            while self.ask("PUT", "/v1/collections/back", &body).is_none() {}
            let described = self.ask("GET", "/v1/collections/back", &Value::Null).unwrap();
            assert_eq!(described["documents"], made["documents"]);
            while self.ask("DELETE", "/v1/collections/back", &Value::Null).is_none() {}
            let path = format!("{DOCS}/snapshots/{}", made["name"].as_str().unwrap());
            while self.ask("DELETE", &path, &Value::Null).is_none() {}
            if let Some(task) = self.ask("POST", &format!("{DOCS}/merge"), &Value::Null) {
                let path = format!("/v1/tasks/{}?wait_ms=60000", task["id"].as_str().unwrap());
                let task = self.ask("GET", &path, &Value::Null).unwrap();
                assert_eq!(task["state"], "done", "{task}");
            }
            rounds += 1;
            sleep(Duration::from_millis(500));
        }
        rounds
    }
}

#[test]
fn memory_is_flat_and_nothing_is_lost() {
    let seconds = std::env::var("QUARRY_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(SECONDS);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = |path: &Path| text(path).to_owned();
    let server = serve(&["--data", &data(&at("leader"))]);
    let url = format!("http://{}", server.address);
    let replica = serve(&["--data", &data(&at("replica")), "--follow", &url]);
    let settings = json!({"model": null, "fields": {"version": "integer"}}).to_string();
    assert_eq!(ask(&server.address, "PUT", DOCS, &settings).0, 201);
    let (known, ended) = (Mutex::new(BTreeMap::new()), AtomicBool::new(false));
    let (refused, searches, rest) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let load = Load {
        address: &server.address,
        known: &known,
        ended: &ended,
        refused: &refused,
        rest: &rest,
    };
    let (before, after, rounds) = scope(|scope| {
        let load = &load;
        for writer in 0..2 {
            scope.spawn(move || load.write(writer));
        }
        for _ in 0..2 {
            scope.spawn(|| load.search(&searches));
        }
        let saving = scope.spawn(|| load.save());
        // What it can do at most, then four fifths of that: a client rests a quarter of the time that a request takes.
        let began = Instant::now();
        sleep(Duration::from_secs(2.min(seconds)));
        let each =
            began.elapsed().as_micros() * 2 / u128::from(searches.load(Ordering::Relaxed).max(1));
        rest.store(u64::try_from(each / 4).unwrap(), Ordering::Relaxed);
        sleep(Duration::from_secs(seconds / 3));
        let before = anonymous(&server);
        sleep(Duration::from_secs(seconds - seconds / 3));
        let after = anonymous(&server);
        ended.store(true, Ordering::SeqCst);
        (before, after, saving.join().unwrap())
    });
    assert!(after < before + GROWTH, "memory grew from {before} to {after} bytes");
    assert!(rounds > 0, "no snapshot was restored");
    let known = known.into_inner().unwrap();
    let there = |address: &str| ask(address, "GET", DOCS, "").1["documents"].clone();
    assert_eq!(there(&server.address), known.len());
    // The follower gets there as well.
    let (_, last) = ask(&server.address, "POST", &format!("{DOCS}/documents?ack=sealed"), "[]");
    let search = json!({"query": {"sparse": {"tokens": {"dog": 1}}}, "min_seq": last["seq"], "timeout_ms": 60_000});
    let (status, found) =
        ask(&replica.address, "POST", &format!("{DOCS}/search"), &search.to_string());
    assert_eq!(status, 200, "{found}");
    for (id, version) in &known {
        for address in [&server.address, &replica.address] {
            let (status, document) = ask(address, "GET", &format!("{DOCS}/documents/{id}"), "");
            assert_eq!((status, &document["fields"]["version"]), (200, &json!(version)), "{id}");
        }
    }
    assert_eq!(there(&replica.address), known.len());
    let (searches, refused) = (searches.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    let mebi = |bytes: u64| bytes >> 20;
    note(&format!(
        "{seconds} s: {searches} searches, {} documents, {rounds} snapshots restored, {refused} refused; memory {} to {} MiB",
        known.len(),
        mebi(before),
        mebi(after)
    ));
}
