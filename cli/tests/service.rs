//! `quarry serve --data` as a process: made, filled and killed at random moments; what was answered is there.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use common::served::Server;
use common::{Numbers, fails, note, ok, text, vectors};
use serde_json::{Value, json};

fn serve(data: &Path) -> Server {
    let server = Server::bound(&["--data", text(data)]);
    while server.ask("GET", "/readyz", "").map(|reply| reply.0) != Some(200) {
        sleep(Duration::from_millis(5));
    }
    server
}

/// Asks a server; `None` if it does not answer, since it was killed.
fn ask(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    ask_with(address, (method, path), "", body)
}

/// The same with further headers, each with its end of line.
fn ask_with(
    address: &str,
    (method, path): (&str, &str),
    headers: &str,
    body: &str,
) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         {headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n")?.1;
    Some((status, serde_json::from_str(body).ok()?))
}

impl Server {
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        ask(&self.address, method, path, body)
    }

    fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.ask(method, path, &body).unwrap();
        assert!(status == 200 || status == 201, "{method} {path}: {status} {answer}");
        answer
    }
}

const DOCS: &str = "/v1/collections/docs";

/// Texts are encoded by the bundled model, and found by meaning and by words; with all that it can make of them.
#[test]
fn texts_are_encoded_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&folder.path().join("data"));
    for (settings, channel) in [
        (json!({}), "sparse"),
        (json!({"passages": 32, "provenance": true, "dense": true, "tokens": true}), "dense"),
    ] {
        server.ok("PUT", DOCS, &settings);
        let search =
            json!({"query": {"text": "why does bread go stale"}, "k": 3, "channels": [channel]});
        let none = server.ok("POST", &format!("{DOCS}/search"), &search);
        assert_eq!(none["hits"], json!([]), "{none}");
        let documents = json!([
            {"id": "bread", "title": "Bread", "text": "Bread goes stale as its starch crystallises.", "year": 2019},
            {"id": "whale", "title": "Whales", "text": "Whales sing to each other over long distances."},
            {"id": "given", "text": "x", "vector": {"bread": 1.0}},
        ]);
        let answer = server.ok("POST", &format!("{DOCS}/documents"), &documents);
        assert_eq!(answer["accepted"], 2, "{answer}");
        assert_eq!(answer["rejected"][0]["id"], "given", "{answer}");
        for channel in [channel, "bm25"] {
            let search = json!({"query": {"text": "why does bread go stale"}, "k": 3, "channels": [channel], "filter": "year:2019"});
            let found = server.ok("POST", &format!("{DOCS}/search"), &search);
            assert_eq!(found["hits"][0]["id"], "bread", "{found}");
        }
        if settings["tokens"] == true {
            let search = json!({"query": {"text": "why does bread go stale"}, "k": 2, "rerank": {}, "explain": true});
            let found = server.ok("POST", &format!("{DOCS}/search"), &search);
            assert_eq!(found["rerank"]["without_tokens"], 0, "{found}");
            assert!(found["hits"][0]["matched"][0]["origin"].is_object(), "{found}");
        }
        server.ok("DELETE", DOCS, &Value::Null);
    }
}

/// A collection that brings its vectors becomes one whose texts a model encodes.
#[test]
fn a_copy_is_encoded_by_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&folder.path().join("data"));
    server.ok("PUT", DOCS, &json!({"model": null}));
    let documents = json!([
        {"id": "bread", "title": "Bread", "text": "Bread goes stale as its starch crystallises.", "vector": {"a": 1}},
        {"id": "whale", "text": "Whales sing to each other over long distances.", "vector": {"b": 1}},
    ]);
    server.ok("POST", &format!("{DOCS}/documents"), &documents);
    let body = json!({"from": "docs", "model": "bundled", "passages": 32, "provenance": true});
    let (status, task) = server.ask("POST", "/v1/collections/new", &body.to_string()).unwrap();
    assert_eq!(status, 202, "{task}");
    let path = format!("/v1/tasks/{}?wait_ms=60000", task["id"].as_str().unwrap());
    let task = server.ok("GET", &path, &Value::Null);
    assert_eq!(
        (&task["state"], &task["result"]["documents"]),
        (&json!("done"), &json!(2)),
        "{task}"
    );
    let search = json!({"query": {"text": "why does bread go stale"}, "k": 1, "explain": true});
    let found = server.ok("POST", "/v1/collections/new/search", &search);
    assert_eq!(found["hits"][0]["id"], "bread", "{found}");
    assert!(found["hits"][0]["matched"][0]["origin"].is_object(), "{found}");
    let document = server.ok("GET", "/v1/collections/new/documents/bread", &Value::Null);
    assert_eq!(document["fields"]["title"], "Bread", "{document}");
}

/// The commands do not write to a folder that a server keeps, and say where it is.
#[test]
fn commands_are_refused_with_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = at("data");
    let server = serve(&data);
    server.ok("PUT", DOCS, &json!({"model": null}));
    vectors(&at("more.jsonl"), 5, 1);
    let index = data.join("docs");
    let address = format!("http://{}{DOCS}", server.address);
    for command in [
        &["add", text(&index), text(&at("more.jsonl"))][..],
        &["delete", text(&index), "d1"],
        &["merge", text(&index)],
    ] {
        let said = fails(command, 5);
        assert!(said.contains(&address), "{said}");
    }
    let said = fails(&["serve", "--data", text(&data), "--listen", "127.0.0.1:0"], 5);
    assert!(said.contains(&format!("http://{}", server.address)), "{said}");
    assert!(fails(&["serve"], 2).contains("--data DIR"));
    let many = ["--document-bytes", "2MiB", "--write-bytes", "1MiB", "--listen", "127.0.0.1:0"];
    let said = fails(&[&["serve", "--data", text(&at("other"))], &many[..]].concat(), 2);
    assert!(said.contains("--write-bytes"), "{said}");
    fails(&["serve", text(&index), "--data", text(&data)], 2);
    fails(&["serve", "--data", text(&data), "--model", "x"], 2);
    fails(&["serve", text(&index), "--writes", "3"], 2);
    // It only reads beside, and finds what the server sealed.
    let sealed = format!("{DOCS}/documents?ack=sealed");
    server.ok("POST", &sealed, &json!([{"id": "a", "vector": {"dog": 1}}]));
    std::fs::write(at("queries.jsonl"), r#"{"id": "q", "vector": {"dog": 1}}"#).unwrap();
    let found = common::run_of(&index, &at("queries.jsonl"));
    assert!(found.contains(" a "), "{found}");
    server.ok("POST", &format!("{DOCS}/documents"), &json!([{"id": "b", "vector": {"dog": 1}}]));
    drop(server);
    // Killed, it leaves a change in its log, which comes first; stopped, it leaves nothing.
    let said = fails(&["add", text(&index), text(&at("more.jsonl"))], 5);
    assert!(said.contains("quarry serve --data"), "{said}");
    let mut server = serve(&data);
    assert_eq!(server.ok("GET", DOCS, &Value::Null)["documents"], 2);
    server.stop();
    ok(&["add", text(&index), text(&at("more.jsonl"))]);
    assert_eq!(serve(&data).ok("GET", DOCS, &Value::Null)["documents"], 7);
}

/// What a writer knows of its documents: their versions, or that they are deleted.
type State = BTreeMap<String, Option<u64>>;

/// Rounds of the crash test; `QUARRY_KILLS` sets another number.
const ROUNDS: u64 = 20;
const WRITERS: u64 = 3;
const IDS: u64 = 12;

/// A writer's changes until the server is killed: `known` has what was answered, the rest is given back.
fn change(address: &str, writer: u64, mut numbers: Numbers, known: &Mutex<State>) -> State {
    loop {
        let mut wanted = State::new();
        let deletes = numbers.below(4) == 0;
        for _ in 0..=numbers.below(4) {
            let id = format!("w{writer}-{}", numbers.below(IDS));
            wanted.insert(id, (!deletes).then(|| numbers.below(1 << 30)));
        }
        let answer = if deletes {
            let ids: Vec<&String> = wanted.keys().collect();
            ask(
                address,
                "POST",
                &format!("{DOCS}/documents/delete"),
                &json!({"ids": ids}).to_string(),
            )
        } else {
            let documents: Vec<Value> = wanted
                .iter()
                .map(|(id, version)| json!({"id": id, "text": "t", "version": version, "vector": {"dog": 1}}))
                .collect();
            ask(address, "POST", &format!("{DOCS}/documents"), &json!(documents).to_string())
        };
        match answer {
            None => return wanted,
            Some((200, answer)) => {
                assert!(deletes || answer["accepted"] == wanted.len(), "{answer}");
                known.lock().unwrap().extend(wanted);
            }
            Some((status, answer)) => panic!("{status} {answer}"),
        }
    }
}

#[test]
fn what_was_answered_survives_a_kill() {
    let rounds = std::env::var("QUARRY_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    serve(&data).ok("PUT", DOCS, &json!({"model": null, "fields": {"version": "integer"}}));
    let known = Mutex::new(State::new());
    let mut numbers = Numbers(20_261_130);
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    for round in 0..rounds {
        let mut server = serve(&data);
        let address = server.address.clone();
        let seeds: Vec<u64> = (0..WRITERS).map(|_| numbers.below(1 << 30)).collect();
        let life = Duration::from_millis(100 + numbers.below(900));
        let unsure: Vec<State> = scope(|scope| {
            let (address, known) = (&address, &known);
            let writers: Vec<_> = (0..WRITERS)
                .zip(&seeds)
                .map(|(writer, seed)| {
                    scope.spawn(move || change(address, writer, Numbers(*seed), known))
                })
                .collect();
            sleep(life);
            server.child.kill().unwrap();
            server.child.wait().unwrap();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        drop(server);
        let begun = Instant::now();
        let server = serve(&data);
        slowest = slowest.max(begun.elapsed());
        let mut state = known.lock().unwrap();
        answered += state.len();
        let mut there = 0;
        let ids: Vec<String> =
            (0..WRITERS).flat_map(|w| (0..IDS).map(move |n| format!("w{w}-{n}"))).collect();
        for id in ids {
            let (status, document) =
                server.ask("GET", &format!("{DOCS}/documents/{id}"), "").unwrap();
            let found = (status == 200).then(|| document["fields"]["version"].as_u64().unwrap());
            there += u64::from(found.is_some());
            let was = state.get(&id).copied().flatten();
            let may = unsure.iter().find_map(|unsure| unsure.get(&id)).copied();
            assert!(
                found == was || Some(found) == may,
                "round {round}: {id} is {found:?}, {was:?} was answered, {may:?} was sent"
            );
            state.insert(id, found);
        }
        // A batch is there as a whole, or not at all.
        for unsure in &unsure {
            let made = unsure.iter().filter(|(id, wanted)| state[*id] == **wanted).count();
            let before = unsure.len();
            let deletes = unsure.values().any(Option::is_none);
            assert!(deletes || made == 0 || made == before, "round {round}: half of a batch");
        }
        // None is there twice.
        let described = server.ok("GET", DOCS, &Value::Null);
        assert_eq!(described["documents"], there, "round {round}");
        let search = json!({"query": {"sparse": {"tokens": {"dog": 1}}}, "k": 1000});
        let found = server.ok("POST", &format!("{DOCS}/search"), &search);
        assert_eq!(found["hits"].as_array().unwrap().len() as u64, there, "round {round}");
    }
    note(&format!("{rounds} kills, {answered} states checked; ready again within {slowest:?}"));
}

/// A program that counts in a document: it reads, adds one, and writes under the version that it read, with a key. After a
/// kill it sends again what was not answered. Nothing is counted twice or lost, and versions are what was answered.
#[test]
fn a_counter_survives_kills() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    serve(&data).ok("PUT", DOCS, &json!({"model": null, "fields": {"count": "integer"}}));
    let path = format!("{DOCS}/documents/counter");
    let mut numbers = Numbers(20_261_201);
    let (mut count, mut version, mut request) = (0u64, 0u64, 0u64);
    for round in 0..ROUNDS / 2 {
        let mut server = serve(&data);
        let address = server.address.clone();
        let life = Duration::from_millis(50 + numbers.below(400));
        scope(|scope| {
            let counter = scope.spawn(|| {
                loop {
                    let body = json!({"count": count + 1, "text": "t", "vector": {"dog": 1}});
                    let condition = match version {
                        0 => "if-none-match: *".to_owned(),
                        version => format!("if-match: \"{version}\""),
                    };
                    let headers = format!("{condition}\r\nidempotency-key: r{request}\r\n");
                    let made = ("PUT", path.as_str());
                    let Some((status, answer)) =
                        ask_with(&address, made, &headers, &body.to_string())
                    else {
                        return;
                    };
                    assert!(status == 200 || status == 201, "round {round}: {status} {answer}");
                    (count, request) = (count + 1, request + 1);
                    version = answer["version"].as_u64().unwrap();
                    let (_, found) = match ask(&address, "GET", &path, "") {
                        Some(found) => found,
                        None => return,
                    };
                    assert_eq!(
                        (&found["version"], &found["fields"]["count"]),
                        (&json!(version), &json!(count))
                    );
                }
            });
            sleep(life);
            server.child.kill().unwrap();
            server.child.wait().unwrap();
            counter.join().unwrap();
        });
    }
    let server = serve(&data);
    let found = server.ok("GET", &path, &Value::Null);
    // The last one was made, or was not.
    let made = found["fields"]["count"].as_u64().unwrap_or(0);
    assert!(made == count || made == count + 1, "{made} {count}");
    note(&format!("counted to {count} over {} kills", ROUNDS / 2));
}

/// A patch of fields leaves all that was made of a text as it is: vectors, source words, passages, dense vectors and token rows;
/// also when it is made again after a kill. A patch of the text makes them anew.
#[test]
fn a_patch_encodes_what_changed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = serve(&data);
    let settings = json!({"passages": 16, "provenance": true, "dense": true, "tokens": true});
    server.ok("PUT", DOCS, &settings);
    let long = "Bread goes stale as its starch crystallises. Warm bread is soft again for a while. \
                Bakers slow it down with fats, with enzymes, or by keeping loaves out of the fridge.";
    let documents = json!([
        {"id": "bread", "title": "Bread", "text": long, "year": 2019},
        {"id": "whale", "text": "Whales sing to each other over long distances.", "year": 2019},
    ]);
    server.ok("POST", &format!("{DOCS}/documents?ack=sealed"), &documents);
    let hits = |server: &Server| -> Vec<Value> {
        let query = json!({"text": "why does old bread go stale"});
        let each = [
            json!({"query": query, "channels": ["sparse"], "explain": true}),
            json!({"query": query, "channels": ["dense"]}),
            json!({"query": query, "rerank": {"alpha": null, "beta": null}}),
        ];
        each.map(|body| server.ok("POST", &format!("{DOCS}/search"), &body)["hits"].clone()).into()
    };
    // Not BM25, whose statistics count a row that was replaced until segments are merged.
    let before = hits(&server);
    let one = format!("{DOCS}/documents/bread");
    let patched = server.ok("PATCH", &one, &json!({"year": 2020}));
    assert_eq!((&patched["encoded"], &patched["version"]), (&json!(false), &json!(2)), "{patched}");
    assert_eq!(hits(&server), before);
    // Killed before it is sealed.
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    drop(server);
    let server = serve(&data);
    assert_eq!(hits(&server), before);
    let found = server.ok("GET", &one, &Value::Null);
    assert_eq!((&found["version"], &found["fields"]["year"]), (&json!(2), &json!(2020)));
    assert_eq!(found["fields"]["text"], long);
    let patched = server.ok("PATCH", &one, &json!({"text": "Whales again."}));
    assert_eq!((&patched["encoded"], &patched["version"]), (&json!(true), &json!(3)), "{patched}");
    assert_ne!(hits(&server)[0], before[0]);
}
