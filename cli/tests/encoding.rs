//! `quarry serve --data` with texts: encoded outside of the writer's turn, in the order of changes, and not again after
//! a crash.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::path::Path;
use std::thread::{scope, sleep};
use std::time::Duration;

use common::asking::{ask, metric, ok};
use common::served::Server;
use common::text;
use serde_json::{Value, json};

fn serve(data: &Path, more: &[&str]) -> Server {
    let server = Server::bound(&[&["--data", text(data)], more].concat());
    while ask(&server.address, "GET", "/readyz", "").is_none_or(|reply| reply.status != 200) {
        sleep(Duration::from_millis(5));
    }
    server
}

/// Documents of some sentences, each with words of its own.
fn documents(from: usize, to: usize) -> Value {
    let words =
        ["bread", "whale", "glass", "river", "violin", "comet", "cheese", "copper", "island"];
    let text = |at: usize| {
        let of = |n: usize| words[(at * 7 + n * 3 + n / 5) % words.len()];
        (0..30).map(|n| format!("{} {}", of(n), at % 97)).collect::<Vec<_>>().join(" and ")
    };
    let document = |at: usize| json!({"id": format!("d{at}"), "text": text(at)});
    Value::Array((from..to).map(document).collect())
}

const DOCS: &str = "/v1/collections/docs";
const SEARCH: &str = "/v1/collections/docs/search";

/// A long write of texts is under way; what came after it and shares an id waits, and the rest does not.
#[test]
fn changes_keep_their_order_and_others_pass() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&folder.path().join("data"), &[]);
    ok(&server, "PUT", DOCS, &json!({}));
    ok(&server, "PUT", "/v1/collections/given", &json!({"model": null}));
    ok(&server, "POST", &format!("{DOCS}/documents"), &documents(1000, 1002));
    scope(|scope| {
        let server = &server;
        let long =
            scope.spawn(|| ok(server, "POST", &format!("{DOCS}/documents"), &documents(0, 200)));
        while metric(server, "quarry_encode_queue_bytes") == 0.0 {
            sleep(Duration::from_millis(1));
        }
        // A deletion that shares an id with it, and is read after it.
        let shared =
            scope.spawn(|| ok(server, "DELETE", &format!("{DOCS}/documents/d7"), &Value::Null));
        let gone = ok(server, "DELETE", &format!("{DOCS}/documents/d1000"), &Value::Null);
        let given = json!([{"id": "v", "vector": {"bread": 1.0}}]);
        let vector = ok(server, "POST", "/v1/collections/given/documents", &given);
        let short = ok(server, "POST", &format!("{DOCS}/documents"), &documents(2000, 2001));
        let (long, shared) = (long.join().unwrap(), shared.join().unwrap());
        assert_eq!((long["accepted"].as_u64(), vector["accepted"].as_u64()), (Some(200), Some(1)));
        // By their numbers: the other deletion and the short write were made before the long one.
        let number = |answer: &Value| answer["seq"].as_u64().unwrap();
        assert!(number(&gone) < number(&long), "{gone} {long}");
        assert!(number(&short) < number(&long), "{short} {long}");
        assert!(number(&shared) > number(&long), "{shared} {long}");
        let timings = &long["timings_us"];
        for stage in ["parse", "queue", "encode", "write", "log"] {
            assert!(timings[stage].is_u64(), "{long}");
        }
        assert!(timings["encode"].as_u64() > timings["log"].as_u64(), "{long}");
    });
    let reply = ask(&server.address, "GET", &format!("{DOCS}/documents/d7"), "").unwrap();
    assert_eq!(reply.status, 404, "{}", reply.body);
    assert_eq!(ok(&server, "GET", DOCS, &Value::Null)["documents"], 201);
    assert!(metric(&server, "quarry_encode_documents_total") >= 203.0);
    assert!(metric(&server, "quarry_encode_tokens_total") > 203.0 * 30.0);
    assert!(metric(&server, "quarry_encode_queue_bytes") < 1.0);
}

/// What a crash leaves is in the log with its vectors: the same answers, to the bit, and nothing is encoded.
#[test]
fn a_crash_encodes_nothing_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let all = json!({"passages": 32, "provenance": true, "dense": true, "tokens": true});
    let searches = [
        json!({"query": {"text": "stale bread"}, "k": 50, "channels": ["sparse"], "explain": true}),
        json!({"query": {"text": "stale bread"}, "k": 50, "channels": ["dense"]}),
        json!({"query": {"text": "a comet"}, "k": 50, "channels": ["sparse"], "rerank": {}}),
    ];
    let server = serve(&data, &[]);
    ok(&server, "PUT", DOCS, &all);
    let hits = |server: &Server| -> Vec<Value> {
        searches.iter().map(|search| ok(server, "POST", SEARCH, search)["hits"].clone()).collect()
    };
    // In batches of different company, beside each other: their vectors could not be made again.
    scope(|scope| {
        for at in 0..6 {
            let server = &server;
            let many = documents(at * 5, at * 5 + at / 2 + 1);
            scope.spawn(move || ok(server, "POST", &format!("{DOCS}/documents"), &many));
        }
    });
    let same = json!([{"id": "same", "text": documents(0, 1)[0]["text"]}]);
    ok(&server, "POST", &format!("{DOCS}/documents"), &same);
    // Killed while something is logged and not sealed.
    let mut at = 100;
    let before = loop {
        scope(|scope| {
            let server = &server;
            for more in 1..3 {
                let many = documents(at + 2 * more, at + 3 * more);
                scope.spawn(move || ok(server, "POST", &format!("{DOCS}/documents"), &many));
            }
        });
        let before = hits(&server);
        if metric(&server, "quarry_log_bytes{collection=\"docs\"}") > 0.0 {
            break before;
        }
        at += 100;
    };
    assert!(before.iter().all(|hits| hits.as_array().is_some_and(|hits| hits.len() > 10)));
    drop(server);
    let server = serve(&data, &[]);
    assert_eq!(hits(&server), before);
    assert!(metric(&server, "quarry_encode_batches_total") < 1.0);
}

/// More than the queue holds is refused with the time until there is room.
#[test]
fn a_full_queue_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&folder.path().join("data"), &["--encode-bytes", "20000"]);
    ok(&server, "PUT", DOCS, &json!({}));
    scope(|scope| {
        let server = &server;
        // More than that in one request: it goes alone.
        let long =
            scope.spawn(|| ok(server, "POST", &format!("{DOCS}/documents"), &documents(0, 150)));
        while metric(server, "quarry_encode_queue_bytes") == 0.0 {
            sleep(Duration::from_millis(1));
        }
        let refused = ask(
            &server.address,
            "POST",
            &format!("{DOCS}/documents"),
            &documents(900, 901).to_string(),
        );
        let refused = refused.unwrap();
        assert_eq!(
            (refused.status, refused.json()["error"]["code"].as_str()),
            (429, Some("ingest_overloaded"))
        );
        let after =
            refused.head.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
        assert!((1..=60).contains(&after.parse::<u64>().unwrap()), "{after}");
        // Vectors and deletions need no room.
        ok(server, "POST", &format!("{DOCS}/documents/delete"), &json!({"ids": ["nobody"]}));
        assert_eq!(long.join().unwrap()["accepted"], 150);
    });
    assert_eq!(
        ok(&server, "POST", &format!("{DOCS}/documents"), &documents(900, 901))["accepted"],
        1
    );
}
