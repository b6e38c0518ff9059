//! Documents that are changed one by one: versions, conditions, keys of requests.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::collections::{Served, start};
use crate::server::Reply;

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn document(text: &str) -> String {
    json!({"text": text, "vector": {"dog": 1.0}}).to_string()
}

fn listed(id: &str, text: &str, if_version: Option<u64>) -> Value {
    let mut document = json!({"id": id, "text": text, "vector": {"dog": 1.0}});
    if let Some(version) = if_version {
        document["if_version"] = version.into();
    }
    document
}

fn one(server: &Served, method: &str, id: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut all = vec![JSON];
    all.extend(headers);
    server.send(method, &format!("/docs/documents/{id}"), &all, body)
}

fn read(server: &Served, id: &str) -> Option<(u64, String)> {
    let reply = one(server, "GET", id, &[], "");
    if reply.status == 404 {
        return None;
    }
    let found = reply.json();
    let version = found["version"].as_u64().unwrap();
    assert_eq!(reply.header("etag"), Some(format!("\"{version}\"").as_str()));
    Some((version, found["fields"]["text"].as_str().unwrap().to_owned()))
}

#[test]
fn a_document_is_written_under_conditions() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    let none = [("If-None-Match", "*")];
    one(&server, "PUT", "a", &[("If-Match", "*")], &document("0")).error(412, "version_conflict");
    let made = one(&server, "PUT", "a", &none, &document("1"));
    assert_eq!((made.status, made.header("etag")), (201, Some("\"1\"")), "{}", made.text());
    let made = made.json();
    assert_eq!((&made["seq"], &made["version"]), (&json!(1), &json!(1)));
    let error = one(&server, "PUT", "a", &none, &document("2")).error(412, "version_conflict");
    assert_eq!(error["current"], 1, "{error}");
    assert_eq!(read(&server, "a"), Some((1, "1".to_owned())));
    let known = one(&server, "GET", "a", &[("If-None-Match", "\"1\"")], "");
    assert_eq!(
        (known.status, known.header("etag"), known.text()),
        (304, Some("\"1\""), String::new())
    );
    assert_eq!(one(&server, "GET", "a", &[("If-None-Match", "\"2\"")], "").status, 200);
    // Without a condition, and with one that holds.
    let again = one(&server, "PUT", "a", &[], &document("2"));
    assert_eq!((again.status, again.header("etag")), (200, Some("\"2\"")));
    let third = one(&server, "PUT", "a", &[("If-Match", "\"7\", \"2\"")], &document("3"));
    assert_eq!(third.header("etag"), Some("\"3\""));
    let error =
        one(&server, "DELETE", "a", &[("If-Match", "\"2\"")], "").error(412, "version_conflict");
    assert_eq!(error["current"], 3);
    one(&server, "DELETE", "a", &[("If-Match", "\"3\"")], "").ok();
    let gone = one(&server, "DELETE", "a", &[("If-Match", "*")], "").error(412, "version_conflict");
    assert_eq!(gone["current"], 0);
    one(&server, "DELETE", "a", &[], "").error(404, "document_not_found");
    // The same content later is another version.
    one(&server, "PUT", "a", &none, &document("3"));
    assert_eq!(read(&server, "a").unwrap().0, 5);
    for (headers, body, status, code) in [
        (&[("If-Match", "5")][..], document("x"), 400, "invalid_value"),
        (&[("If-None-Match", "\"5\"")], document("x"), 400, "invalid_value"),
        (&[("Idempotency-Key", "a b")], document("x"), 400, "invalid_value"),
        (&[], r#"{"id": "b", "text": "t"}"#.to_owned(), 400, "invalid_value"),
        (&[], "[]".to_owned(), 400, "invalid_value"),
        (&[], "{".to_owned(), 400, "invalid_json"),
        (&[], r#"{"text": "no vector"}"#.to_owned(), 422, "invalid_document"),
        (&[], r#"{"text": 7}"#.to_owned(), 422, "invalid_document"),
    ] {
        one(&server, "PUT", "a", headers, &body).error(status, code);
    }
    assert_eq!(
        one(&server, "PUT", "a", &[], &format!("{{\"id\":\"a\",{}", &document("4")[1..])).status,
        200
    );
}

/// What would be passed over is refused: a condition in the wrong place.
#[test]
fn conditions_have_their_places() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    let batched = listed("a", "1", Some(7)).to_string();
    for (method, body) in [("PUT", batched.as_str()), ("PATCH", "{\"if_version\": 7}")] {
        let refused = one(&server, method, "a", &[], body);
        assert_eq!(refused.status, 400, "{method}: {}", refused.text());
        assert!(refused.text().contains("If-Match"), "{}", refused.text());
    }
    assert_eq!(one(&server, "PUT", "a", &[], &document("1")).status, 201);
    for (path, body) in [
        ("", json!([listed("b", "1", None)])),
        ("/delete", json!({"ids": ["a"]})),
        ("/patch", json!({"ids": ["a"], "patch": {"x": 1}})),
    ] {
        for name in ["If-Match", "If-None-Match"] {
            let headers = [JSON, (name, "*")];
            let path = format!("/docs/documents{path}");
            let refused = server.send("POST", &path, &headers, &body.to_string());
            assert_eq!(refused.status, 400, "{path} {name}: {}", refused.text());
        }
    }
    assert_eq!(read(&server, "a"), Some((1, "1".to_owned())));
}

#[test]
fn documents_of_a_batch_have_conditions_of_their_own() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    server.put("docs", "", &json!([listed("a", "1", None), listed("b", "1", Some(0))]).to_string());
    let body = json!([
        listed("a", "2", Some(1)),
        listed("b", "2", Some(9)),
        listed("c", "2", Some(0)),
        // The first one of this batch has written it already.
        listed("a", "3", Some(1)),
        listed("a", "4", Some(2)),
        {"id": "d", "text": "t", "vector": {"dog": 1}, "if_version": "1"},
    ]);
    let answer = server.put("docs", "", &body.to_string());
    assert_eq!((&answer["accepted"], &answer["seq"]), (&json!(3), &json!(2)), "{answer}");
    let rejected: Vec<String> = answer["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {} {}", one["line"], one["error"]["code"], one["error"]["current"]))
        .collect();
    let expected =
        ["2 \"version_conflict\" 1", "4 \"version_conflict\" 2", "6 \"invalid_document\" null"];
    assert_eq!(rejected, expected);
    assert_eq!(read(&server, "a"), Some((2, "4".to_owned())));
    assert_eq!(read(&server, "b"), Some((1, "1".to_owned())));
    let fields = one(&server, "GET", "c", &[], "").ok()["fields"].clone();
    assert!(fields.get("if_version").is_none(), "{fields}");
}

#[test]
fn all_documents_are_taken_or_none() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    let put = |body: &Value| {
        server.send("POST", "/docs/documents?atomic=true", &[JSON], &body.to_string())
    };
    assert_eq!(put(&json!([listed("a", "1", None), listed("b", "1", None)])).ok()["accepted"], 2);
    for (bad, code) in [
        (listed("b", "2", Some(7)), "version_conflict"),
        (json!({"id": "c", "text": "no vector"}), "invalid_document"),
        (json!({"id": "c", "text": 7}), "invalid_document"),
    ] {
        let error = put(&json!([listed("a", "2", None), bad, listed("n", "2", None)]));
        let error = error.error(422, "document_rejected");
        let rejected = error["rejected"].as_array().unwrap();
        assert_eq!((rejected.len(), &rejected[0]["line"]), (1, &json!(2)), "{error}");
        assert_eq!(rejected[0]["error"]["code"], code);
        assert_eq!(read(&server, "a"), Some((1, "1".to_owned())));
        assert_eq!(read(&server, "n"), None);
    }
    // What an atomic request that failed met of fields decides nothing.
    let mixed = json!([{"id": "a", "kind": 1, "vector": {"dog": 1}}, listed("b", "2", Some(7))]);
    put(&mixed).error(422, "document_rejected");
    let text = json!([{"id": "a", "text": "2", "kind": "word", "vector": {"dog": 1}}]);
    assert_eq!(put(&text).ok()["seq"], 2);
    let error = server.send("POST", "/docs/documents?atomic=yes", &[JSON], "[]");
    assert_eq!(error.error(400, "invalid_value")["param"], "atomic");
}

#[test]
fn a_request_with_a_key_is_made_once() {
    let data = tempfile::tempdir().unwrap();
    let mut server = start(data.path());
    server.make("docs");
    let key = |key: &'static str| [JSON, ("Idempotency-Key", key)];
    let body = json!([listed("a", "1", Some(0)), listed("b", "1", Some(7))]).to_string();
    let put = |server: &Served, name, body: &str| {
        server.send("POST", "/docs/documents?ack=received", &key(name), body)
    };
    let same = |first: &Reply, again: &Reply| {
        let mut both = [first.json(), again.json()];
        for one in &mut both {
            one["timings_us"] = Value::Null;
            one["request_id"] = Value::Null;
        }
        assert_eq!((both[0].clone(), first.status), (both[1].clone(), again.status));
        assert_eq!(first.header("idempotency-replayed"), None);
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    };
    let first = put(&server, "k1", &body);
    assert_eq!((&first.json()["accepted"], &first.json()["seq"]), (&json!(1), &json!(1)));
    same(&first, &put(&server, "k1", &body));
    let error = put(&server, "k1", "[]").error(409, "idempotency_mismatch");
    assert_eq!(error["param"], "Idempotency-Key");
    // Also what changed nothing, and what was refused.
    let none = json!([listed("a", "2", Some(0))]).to_string();
    let second = put(&server, "k2", &none);
    one(&server, "DELETE", "a", &[], "").ok();
    same(&second, &put(&server, "k2", &none));
    let third = [("Idempotency-Key", "k3"), ("If-Match", "*")];
    let refused = one(&server, "PUT", "a", &third, &document("3"));
    refused.error(412, "version_conflict");
    one(&server, "PUT", "a", &[], &document("3"));
    same(&refused, &one(&server, "PUT", "a", &third, &document("3")));
    let fourth = [("Idempotency-Key", "k4")];
    let deleted = one(&server, "DELETE", "a", &fourth, "");
    same(&deleted, &one(&server, "DELETE", "a", &fourth, ""));
    let ids = r#"{"ids": ["b", "x"]}"#;
    let fifth = server.send("POST", "/docs/documents/delete", &key("k5"), ids);
    same(&fifth, &server.send("POST", "/docs/documents/delete", &key("k5"), ids));
    // Two at the same time.
    let count = |server: &Served| server.send("GET", "/docs", &[], "").ok()["documents"].as_u64();
    let documents: Vec<Value> = (0..50).map(|n| listed(&format!("n{n}"), "t", None)).collect();
    let body = json!(documents).to_string();
    let replayed: Vec<bool> = std::thread::scope(|scope| {
        let send = || put(&server, "k6", &body);
        let all: Vec<_> = (0..6).map(|_| scope.spawn(send)).collect();
        let all = all.into_iter().map(|one| one.join().unwrap());
        all.map(|reply| {
            assert_eq!(reply.json()["accepted"], 50, "{}", reply.text());
            reply.header("idempotency-replayed").is_some()
        })
        .collect()
    });
    assert_eq!(replayed.iter().filter(|replayed| !**replayed).count(), 1);
    assert_eq!(count(&server), Some(50));
    // After a seal and a start as well.
    server.stop();
    let mut server = start(data.path());
    same(&second, &put(&server, "k2", &none));
    same(&fifth, &server.send("POST", "/docs/documents/delete", &key("k5"), ids));
    assert!(data.path().join("docs/requests.json").is_file());
    // A copy has its own; the collection can be removed.
    server.send("PUT", "/copy", &[JSON], r#"{"from": "docs"}"#);
    server.send("DELETE", "/docs", &[], "").ok();
    server.stop();
}

/// What is there: text and version by id.
type State = BTreeMap<String, (u64, String)>;

/// Versions are numbers of changes, whatever happens to the files; they are compared in the order of the changes.
fn step(server: &Served, state: &mut State, (id, kind): (u8, u8), last: &mut u64) {
    let id = format!("d{id}");
    let there = state.get(&id).cloned();
    let current = there.as_ref().map_or(0, |(version, _)| *version);
    let wrong = json!([listed(&id, "no", Some(current + 1))]).to_string();
    assert_eq!(server.put("docs", "?ack=received", &wrong)["accepted"], 0);
    let tag = format!("\"{current}\"");
    if kind == 0 && current > 0 {
        one(server, "DELETE", &id, &[("If-Match", &tag)], "").ok();
        *last += 1;
        state.remove(&id);
        return;
    }
    *last += 1;
    let text = format!("text {last}");
    let right = json!([listed(&id, &text, Some(current))]).to_string();
    assert_eq!(server.put("docs", "?ack=received", &right)["seq"], *last);
    state.insert(id, (*last, text));
}

fn check(server: &Served, state: &State) {
    for id in 0..8 {
        let id = format!("d{id}");
        assert_eq!(read(server, &id), state.get(&id).cloned(), "{id}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn versions_stay_with_their_documents(
        steps in prop::collection::vec((0u8..8, 0u8..4), 40..80),
        restart in 10usize..40,
    ) {
        let data = tempfile::tempdir().unwrap();
        let mut server = start(data.path());
        server.make("docs");
        let (mut state, mut last) = (State::new(), 0);
        for (at, what) in steps.into_iter().enumerate() {
            step(&server, &mut state, what, &mut last);
            if at == restart {
                server.stop();
                server = start(data.path());
            }
        }
        check(&server, &state);
        // Small segments are merged meanwhile; in a copy nothing changes either.
        server.send("PUT", "/copy", &[JSON], r#"{"from": "docs"}"#);
        server.send("DELETE", "/docs", &[], "").ok();
        server.send("PUT", "/docs", &[JSON], r#"{"from": "copy"}"#);
        check(&server, &state);
        server.stop();
        check(&start(data.path()), &state);
    }
}

/// A document that was not written over HTTP has a version too, which no other content gets.
#[test]
fn documents_of_an_index_have_versions() {
    let data = tempfile::tempdir().unwrap();
    drop(crate::index::build(&data.path().join("docs"), crate::index::ALL));
    let server = start(data.path());
    let (version, _) = read(&server, "d1").unwrap();
    assert!((1 << 52..1 << 53).contains(&version), "{version}");
    let tag = format!("\"{version}\"");
    assert_eq!(one(&server, "DELETE", "d1", &[("If-Match", &tag)], "").ok()["deleted"], 1);
    let only = crate::server::Server::start();
    let found = only.get("/v1/collections/c/documents/d1");
    assert_eq!(found.header("etag").unwrap(), format!("\"{}\"", found.json()["version"]));
}
