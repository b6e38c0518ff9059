//! All documents of a collection as a stream.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::collections::{Served, config, start, with};
use crate::server::{get, request, unchunked};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const LINES: (&str, &str) = ("Content-Type", "application/x-ndjson");

fn export(server: &Served, path: &str) -> String {
    let found = server.send("GET", path, &[], "");
    assert_eq!(found.status, 200, "{}", found.text());
    assert_eq!(found.header("content-type"), Some("application/x-ndjson"));
    assert!(found.header("content-length").is_none());
    found.text()
}

fn by_id(lines: &str) -> BTreeMap<String, Value> {
    let all = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let map: BTreeMap<String, Value> =
        all.map(|one| (one["id"].as_str().unwrap().to_owned(), one)).collect();
    assert_eq!(map.len(), lines.lines().count());
    map
}

#[test]
fn what_is_exported_can_be_sent_again() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    let mut sent = BTreeMap::new();
    for part in 0..5u32 {
        let documents: Vec<Value> = (0..200u32)
            .map(|at| {
                let number = part * 200 + at;
                let vector: BTreeMap<String, f32> = (0..=number % 9)
                    .map(|term| (format!("t\u{f6}k {}", (number * 7 + term * 13) % 101), 0.25 * (1 + term) as f32))
                    .collect();
                json!({"id": format!("d {number}/\u{fc}"), "title": format!("title {number}"),
                    "text": "line\nline \"quoted\"", "year": number, "part": 0.1 * f64::from(number),
                    "list": ["a", "b"], "deep": {"number": number}, "vector": vector})
            })
            .collect();
        let answer = server.put("docs", "", &json!(documents).to_string());
        assert_eq!(answer["rejected"], json!([]));
        sent.extend(documents.into_iter().map(|one| (one["id"].as_str().unwrap().to_owned(), one)));
    }
    // One that was replaced, and one that is gone, are not in it.
    let again = json!({"id": "d 7/\u{fc}", "text": "new", "vector": {"dog": 3.5}});
    server.put("docs", "", &json!([again]).to_string());
    sent.insert("d 7/\u{fc}".to_owned(), again);
    let gone = json!({"ids": ["d 8/\u{fc}"]}).to_string();
    server.send("POST", "/docs/documents/delete", &[JSON], &gone).ok();
    sent.remove("d 8/\u{fc}");
    let lines = export(&server, "/docs/documents?vectors=true");
    assert!(by_id(&lines) == sent, "{}", lines.lines().take(3).collect::<String>());
    server.make("copy");
    let answer = server.send("POST", "/copy/documents", &[LINES], &lines).ok();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(999), &json!([])));
    assert!(by_id(&export(&server, "/copy/documents?vectors=true")) == sent);
    // Both answer alike.
    let query =
        json!({"query": {"sparse": {"tokens": {"t\u{f6}k 5": 1.0, "t\u{f6}k 50": 0.7}}}, "k": 100});
    let hits = |name: &str| {
        let path = format!("/{name}/search");
        server.send("POST", &path, &[JSON], &query.to_string()).ok()["hits"].clone()
    };
    assert!(hits("docs").as_array().unwrap().len() > 20);
    assert_eq!(hits("docs"), hits("copy"));
    // Without vectors, and with a filter.
    let lines = export(&server, "/docs/documents?filter=year:%5B10%20TO%2019%5D");
    let found = by_id(&lines);
    assert_eq!(found.len(), 10);
    assert!(found.values().all(|one| one.get("vector").is_none() && one["title"] != ""));
    assert_eq!(export(&server, "/docs/documents?filter=year:5000"), "");
}

#[test]
fn what_cannot_be_exported_is_refused_before() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    server.put("docs", "", &json!([{"id": "a", "text": "t", "vector": {"dog": 1.0}}]).to_string());
    for (query, code, param) in [
        ("?vectors=yes", "invalid_value", "vectors"),
        ("?filter=", "invalid_value", "filter"),
        ("?filter=nope:1", "invalid_value", "filter"),
        ("?vectors=true&vectors=true", "invalid_value", "vectors"),
        ("?limit=3", "unknown_field", "limit"),
    ] {
        let reply = server.send("GET", &format!("/docs/documents{query}"), &[], "");
        assert_eq!(reply.error(400, code)["param"], param, "{query}");
    }
    server.send("GET", "/none/documents", &[], "").error(404, "collection_not_found");
}

/// A client that reads nothing is disconnected; writes go on meanwhile, and what it was sent has no regular end.
#[test]
fn a_client_that_stops_reading_holds_nobody_up() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config();
    config.stall_timeout = Duration::from_secs(1);
    let server = with(data.path(), config);
    server.make("docs");
    let text = "x".repeat(500_000);
    for part in 0..4 {
        let documents: Vec<Value> = (0..20)
            .map(|at| json!({"id": format!("{part}-{at}"), "text": text, "vector": {"dog": 1.0}}))
            .collect();
        server.put("docs", "", &json!(documents).to_string());
    }
    let mut stopped: Vec<(TcpStream, Vec<u8>)> = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(&request("GET", "/v1/collections/docs/documents", &[], "")).unwrap();
        let mut some = vec![0; 1 << 10];
        stream.read_exact(&mut some).unwrap();
        assert!(some.starts_with(b"HTTP/1.1 200"));
        stopped.push((stream, some));
    }
    // No more of them at the same time.
    let reply = server.send("GET", "/docs/documents", &[], "");
    reply.error(429, "overloaded");
    let document = json!([{"id": "new", "text": "t", "vector": {"dog": 1.0}}]).to_string();
    assert_eq!(server.put("docs", "?ack=sealed", &document)["accepted"], 1);
    server.send("DELETE", "/docs", &[], "").ok();
    // Each is cut, and then there is room.
    std::thread::sleep(Duration::from_secs(5));
    for (mut stream, mut bytes) in stopped {
        // A connection that is cut may be reset.
        let _ = stream.read_to_end(&mut bytes);
        let body = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        assert!(!unchunked(&bytes[body..]).1 && bytes.len() < 40_000_000);
    }
    server.make("docs");
    while get(server.address, "/v1/collections/docs/documents?vectors=no").status == 429 {}
    assert_eq!(export(&server, "/docs/documents"), "");
}
