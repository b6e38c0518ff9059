//! Collections made of others with other settings, while these change.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::collections::{JSON, Served, document, start};
use crate::server::{exchange, get, request};
use crate::tasks::ended;

fn with_year(id: &str, year: &Value) -> Value {
    let mut document = document(id, "dog");
    document["year"] = year.clone();
    document
}

fn years(server: &Served, name: &str) -> Vec<(String, Value)> {
    let body = json!({"query": {"sparse": {"tokens": {"dog": 1.0}}}, "k": 1000, "fields": ["year", "text"]});
    let found = server.send("POST", &format!("/{name}/search"), &[JSON], &body.to_string()).ok();
    let mut all: Vec<(String, Value)> = found["hits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hit| (hit["id"].as_str().unwrap().to_owned(), hit["fields"].clone()))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn documents_are_taken_over_by_other_rules() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    let made = r#"{"model": null, "fields": {"year": "keyword"}}"#;
    assert_eq!(server.send("PUT", "/docs", &[JSON], made).status, 201);
    let documents: Vec<Value> = (0..700)
        .map(|at| {
            with_year(
                &format!("d{at}"),
                &json!(if at == 13 { "soon".into() } else { (1900 + at % 100).to_string() }),
            )
        })
        .collect();
    server.put("docs", "", &json!(documents).to_string());
    server.send("DELETE", "/docs/documents/d7", &[], "").ok();
    let other = r#"{"from": "docs", "fields": {"year": "integer"}}"#;
    let task = ended(&server, &server.send("POST", "/new", &[JSON], other));
    assert_eq!((&task["state"], &task["kind"]), (&json!("done"), &json!("copy")), "{task}");
    let result = &task["result"];
    assert_eq!((&result["documents"], &result["refused"]), (&json!(698), &json!(1)), "{task}");
    assert_eq!(result["rejected"][0]["id"], "d13", "{task}");
    assert_eq!(result["from_seq"], 2, "{task}");
    let range = json!({"query": {"sparse": {"tokens": {"dog": 1}}}, "k": 1000, "filter": "year:[1990 TO 1991]"});
    let found = server.send("POST", "/new/search", &[JSON], &range.to_string()).ok();
    assert_eq!(found["hits"].as_array().unwrap().len(), 14);
    // The name is taken; nothing else given is a copy as it is.
    server.send("POST", "/new", &[JSON], other).error(409, "collection_exists");
    let same = server.send("POST", "/same", &[JSON], r#"{"from": "docs"}"#);
    assert_eq!((same.status, &same.json()["documents"]), (201, &json!(699)), "{}", same.text());
    assert_eq!(
        server.send("POST", "/more", &[JSON], r#"{"from": "docs", "model": null}"#).status,
        201
    );
    for (body, status, code) in [
        (r#"{"from": "none"}"#, 404, "collection_not_found"),
        (r#"{"from": "docs", "model": "org/none"}"#, 422, "not_supported"),
        (r#"{"from": "docs", "passages": 0}"#, 400, "invalid_value"),
        (r#"{"from": "docs", "passages": 100}"#, 422, "not_supported"),
        (r#"{"from": "docs", "fields": {"year": "date"}, "colour": 1}"#, 400, "unknown_field"),
        ("{}", 400, "invalid_value"),
    ] {
        server.send("POST", "/wrong", &[JSON], body).error(status, code);
    }
    assert!(!data.path().join("wrong").exists());
}

/// While a collection is copied it changes; in the end the copy has what it has, and goes its own way.
#[test]
fn changes_meanwhile_are_taken_over() {
    let data = tempfile::tempdir().unwrap();
    let mut server = start(data.path());
    let made = r#"{"model": null, "fields": {"year": "integer"}}"#;
    assert_eq!(server.send("PUT", "/docs", &[JSON], made).status, 201);
    let documents: Vec<Value> =
        (0..900).map(|at| with_year(&format!("d{at}"), &json!(0))).collect();
    server.put("docs", "", &json!(documents).to_string());
    let ended_all = AtomicBool::new(false);
    let tasks = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut at = 0;
            while !ended_all.load(Ordering::SeqCst) {
                at += 1;
                let some: Vec<Value> = (0..20)
                    .map(|n| with_year(&format!("d{}", (at * 37 + n * 11) % 950), &json!(at)))
                    .collect();
                server.put("docs", "", &json!(some).to_string());
                server
                    .send(
                        "POST",
                        "/docs/documents/delete",
                        &[JSON],
                        &json!({"ids": [format!("d{}", at * 53 % 950)]}).to_string(),
                    )
                    .ok();
            }
        });
        let tasks: Vec<Value> = (0..3)
            .map(|at| {
                let other = r#"{"from": "docs", "fields": {"year": "float"}}"#;
                let task =
                    ended(&server, &server.send("POST", &format!("/new{at}"), &[JSON], other));
                assert_eq!(task["state"], "done", "{task}");
                task
            })
            .collect();
        ended_all.store(true, Ordering::SeqCst);
        writer.join().unwrap();
        tasks
    });
    // One of a collection at rest has exactly what that has.
    let other = r#"{"from": "docs", "fields": {"year": "float"}}"#;
    let last = ended(&server, &server.send("POST", "/last", &[JSON], other));
    let plain = |all: Vec<(String, Value)>| -> Vec<(String, Option<f64>)> {
        all.into_iter().map(|(id, fields)| (id, fields["year"].as_f64())).collect()
    };
    let docs = plain(years(&server, "docs"));
    assert_eq!(plain(years(&server, "last")), docs);
    assert_eq!(last["result"]["documents"], docs.len(), "{last}");
    // The others are as long as they say, and have a change that they name.
    for (at, task) in tasks.iter().enumerate() {
        let copied = years(&server, &format!("new{at}"));
        assert_eq!(task["result"]["documents"], copied.len(), "{task}");
        assert!(task["result"]["from_seq"].as_u64().unwrap() > 0, "{task}");
    }
    server.put("last", "", &json!([with_year("mine", &json!(1.5))]).to_string());
    server.stop();
    let server = start(data.path());
    assert_eq!(years(&server, "last").len(), docs.len() + 1);
    assert_eq!(plain(years(&server, "docs")), docs);
}

#[test]
fn a_copy_that_is_cancelled_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    let documents: Vec<Value> =
        (0..3000).map(|at| with_year(&format!("d{at}"), &json!(0))).collect();
    server.put("docs", "", &json!(documents).to_string());
    let other = r#"{"from": "docs", "fields": {"year": "float"}}"#;
    let begun = server.send("POST", "/new", &[JSON], other);
    let path = format!("/v1/tasks/{}", begun.json()["id"].as_str().unwrap());
    exchange(server.address, &request("DELETE", &path, &[], "")).ok();
    let task = ended(&server, &begun);
    assert!(task["state"] == "cancelled" || task["state"] == "done", "{task}");
    if task["state"] == "cancelled" {
        get(server.address, "/v1/collections/new").error(404, "collection_not_found");
        let own = std::fs::read_dir(data.path().join(".quarry")).unwrap();
        let left: Vec<_> = own.map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("new-")), "{left:?}");
        // The name is free again.
        assert_eq!(ended(&server, &server.send("POST", "/new", &[JSON], other))["state"], "done");
    }
    assert_eq!(server.count("docs"), 3000);
}
