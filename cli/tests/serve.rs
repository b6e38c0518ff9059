//! The real server process: its answers are the command line's, overload is refused politely, and
//! SIGTERM lets a request end.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::served::Server;
use common::{fails, model, model_index, ok, text, vectors};
use serde_json::{Value, json};

fn serve(index: &Path, more: &[&str]) -> Server {
    let server = Server::bound(&[&[text(index), "--name", "demo"], more].concat());
    while server.get("/readyz").0 != 200 {
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

impl Server {
    fn send(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        (status, answer.split_once("\r\n\r\n").map(|a| a.1.to_owned()).unwrap_or_default())
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    }

    fn search(&self, body: &Value) -> (u16, Value) {
        let (status, answer) = self.send(&search_request(body));
        (status, serde_json::from_str(&answer).unwrap_or(Value::Null))
    }
}

fn search_request(body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST /v1/collections/demo/search HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn answers_equal_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo");
    ok(&["demo", "--out", text(&demo)]);
    let index = demo.join("index");
    let server = serve(&index, &[]);
    for (channel, question) in
        [("sparse", "why does bread go stale"), ("bm25", "bread and salt"), ("sparse", "zzqx")]
    {
        let (status, over_http) = server.search(
            &json!({"query": {"text": question}, "k": 7, "channels": [channel], "fields": ["title"], "explain": channel == "sparse"}),
        );
        assert_eq!(status, 200, "{over_http}");
        let explain: &[&str] = if channel == "sparse" { &["--explain"] } else { &[] };
        let command = ["search", text(&index), question, "-k", "7", "--channel", channel, "--json"];
        let line = ok(&[command.as_slice(), explain].concat());
        let line: Value = serde_json::from_str(&line).unwrap();
        for part in ["index", "method", "partial", "warnings", "hits"] {
            assert_eq!(over_http[part], line[part], "{question}: {part}");
        }
    }
    let (status, document) = server.get("/v1/collections/demo/documents/bread-05");
    assert!(status == 200 && document.contains("stale"), "{document}");
    let (status, reranked) =
        server.search(&json!({"query": {"text": "why does bread go stale"}, "k": 2, "rerank": {}}));
    assert_eq!((status, &reranked["hits"][0]["id"]), (200, &json!("bread-05")), "{reranked}");
    assert_eq!(server.search(&json!({"query": {"text": "x"}, "fusion": {}})).0, 422);
    assert_eq!(server.search(&json!({"query": {"text": "x"}, "colour": 1})).0, 400);
    assert_eq!(server.get("/metrics").0, 200);
}

/// `quarry add` beside a server: the server holds no lock, and finds the new generation by itself, or at SIGHUP.
#[test]
fn additions_beside_a_server_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("base.jsonl"), 50, 1);
    let index = at("index");
    ok(&["index", text(&at("base.jsonl")), "--out", text(&index), "--no-tune"]);
    let server = serve(&index, &[]);
    for (count, signal) in [(60, false), (70, true)] {
        vectors(&at("more.jsonl"), count, count);
        ok(&["add", text(&index), text(&at("more.jsonl"))]);
        if signal {
            let pid = server.child.id().to_string();
            assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        }
        let since = Instant::now();
        loop {
            let (status, found) = server.get("/v1/collections/demo");
            assert_eq!(status, 200, "{found}");
            let found: Value = serde_json::from_str(&found).unwrap();
            if found["documents"] == count {
                break;
            }
            assert!(since.elapsed() < Duration::from_secs(20), "{found}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Queries that go through a network: the answers are the command line's; without the model a query in words is
/// refused, and never answered by nothing.
#[test]
fn questions_go_through_a_network() {
    let dir = tempfile::tempdir().unwrap();
    let (bert, other) = (model(&dir, "splade-bert"), model(&dir, "splade-distilbert"));
    let index = model_index(&dir, "ix", text(&bert));
    let question = "Wire saws cut blocks of stone in the quarry.";
    let body = json!({"query": {"text": question}, "k": 3, "fields": ["title"]});
    let with_model = ["--model", text(&bert)];
    let server = serve(&index, &with_model);
    let (status, over_http) = server.search(&body);
    assert_eq!((status, &over_http["hits"][0]["id"]), (200, &json!("c")), "{over_http}");
    let command = ["search", text(&index), question, "-k", "3", "--json"];
    let line: Value = serde_json::from_str(&ok(&[&command[..], &with_model].concat())).unwrap();
    for part in ["index", "method", "partial", "warnings", "hits"] {
        assert_eq!(over_http[part], line[part], "{part}");
    }
    // Many at once share the sessions and get what each gets alone.
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..12).map(|_| scope.spawn(|| server.search(&body))).collect();
        for answer in all {
            let (status, answer) = answer.join().unwrap();
            assert!(status == 429 || answer["hits"] == over_http["hits"], "{status} {answer}");
        }
    });
    // The index remembers where the model is; where it is not any more, a text is refused.
    let remembered = serve(&index, &[]);
    assert_eq!(remembered.search(&body).1["hits"], over_http["hits"]);
    std::fs::rename(&bert, dir.path().join("away")).unwrap();
    let without = serve(&index, &[]);
    let (status, answer) = without.search(&body);
    assert!(status >= 400 && answer["hits"].is_null(), "{status} {answer}");
    let listen = ["serve", text(&index), "--listen", "127.0.0.1:0", "--model", text(&other)];
    let error = fails(&listen, 1);
    assert!(error.contains("would not match"), "{error}");
}

#[test]
fn a_burst_is_refused_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo");
    ok(&["demo", "--out", text(&demo)]);
    let server = serve(&demo.join("index"), &["--queue", "0", "--in-flight", "1"]);
    // Long questions, so that searches overlap.
    let question = "bread ".repeat(5_000);
    let body = json!({"query": {"text": question}, "timeout_ms": 30_000});
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..32).map(|_| scope.spawn(|| server.search(&body).0)).collect();
        workers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|s| matches!(s, 200 | 429)), "{statuses:?}");
    assert!(statuses.contains(&200), "{statuses:?}");
    assert_eq!(server.search(&json!({"query": {"text": "bread"}})).0, 200, "the server lives on");
}

#[test]
fn sigterm_lets_a_request_end() {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo");
    ok(&["demo", "--out", text(&demo)]);
    let mut server = serve(&demo.join("index"), &[]);
    let request = search_request(&json!({"query": {"text": "why does bread go stale"}}));
    let (head, rest) = request.split_at(request.len() - 5);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(300));
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "the request that had begun is answered: {answer}");
    assert!(server.child.wait().unwrap().success(), "and the process ends well");
}

#[test]
fn an_open_address_needs_a_decision() {
    let folder = tempfile::tempdir().unwrap();
    let message = fails(&["serve", text(folder.path()), "--name", "x", "--listen", "0.0.0.0:0"], 2);
    assert!(message.contains("key"), "{message}");
}
