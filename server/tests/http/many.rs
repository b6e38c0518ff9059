//! Many documents at once: got and deleted by ids or by a filter.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::collections::{Served, start};
use crate::server::Reply;

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Documents `d00` to `d(n-1)`, each with its number as `year`.
fn filled(server: &Served, count: u32) {
    server.make("docs");
    let documents: Vec<Value> = (0..count)
        .map(|at| {
            json!({"id": format!("d{at:02}"), "title": "T", "text": format!("text {at}"), "year": at,
                "vector": {"dog": 1.5}})
        })
        .collect();
    // Of several segments.
    for part in documents.chunks(7) {
        server.put("docs", "", &json!(part).to_string());
    }
}

fn get(server: &Served, body: &Value) -> Reply {
    server.send("POST", "/docs/documents/get", &[JSON], &body.to_string())
}

fn delete(server: &Served, body: &Value) -> Reply {
    server.send("POST", "/docs/documents/delete", &[JSON], &body.to_string())
}

fn ids(of: &Value) -> Vec<&str> {
    of.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

#[test]
fn documents_are_got_by_ids() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    filled(&server, 20);
    let found = get(&server, &json!({"ids": ["d03", "nobody", "d01", "d03"]})).ok();
    assert_eq!(ids(&found["documents"]), ["d03", "d01"]);
    assert_eq!(found["unknown"], json!(["nobody"]));
    let whole = json!({"title": "T", "text": "text 3", "year": 3});
    assert_eq!(found["documents"][0]["fields"], whole);
    assert!(found.get("after").is_none() && found.get("matched").is_none());
    let found = get(&server, &json!({"ids": ["d03"], "fields": ["year", "yaer"]})).ok();
    assert_eq!(found["documents"][0]["fields"], json!({"year": 3}));
    assert_eq!(found["warnings"][0]["names"], json!(["yaer"]));
    let found = get(&server, &json!({"ids": ["d03"], "fields": []})).ok();
    assert_eq!((&found["documents"][0]["fields"], &found["warnings"]), (&json!({}), &json!([])));
    // An id that a URL cannot carry is reached so.
    let long = "x".repeat(200_000);
    let body = json!([{"id": long, "text": "long", "vector": {"dog": 1.0}}]).to_string();
    assert_eq!(server.put("docs", "", &body)["accepted"], 1);
    assert_eq!(
        get(&server, &json!({"ids": [long]})).ok()["documents"][0]["fields"]["text"],
        "long"
    );
    assert_eq!(delete(&server, &json!({"ids": [long]})).ok()["deleted"], 1);
    for (body, code, param) in [
        (json!({}), "invalid_value", "ids"),
        (json!({"ids": []}), "invalid_value", "ids"),
        (json!({"ids": ["a"], "filter": "*"}), "invalid_value", "filter"),
        (json!({"ids": ["a"], "limit": 3}), "invalid_value", "limit"),
        (json!({"ids": vec!["a"; 1001]}), "invalid_value", "ids"),
        (json!({"filter": "*", "limit": 0}), "invalid_value", "limit"),
        (json!({"filter": "*", "limit": 1001}), "invalid_value", "limit"),
        (json!({"filter": ""}), "invalid_value", "filter"),
        (json!({"filter": "nope:1"}), "invalid_value", "filter"),
        (json!({"filter": "year:["}), "invalid_value", "filter"),
        (json!({"id": ["a"]}), "unknown_field", "id"),
    ] {
        assert_eq!(get(&server, &body).error(400, code)["param"], param, "{body}");
    }
}

#[test]
fn pages_of_a_filter_have_each_document_once() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    filled(&server, 30);
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let body =
            json!({"filter": "year:[5 TO 24]", "limit": 6, "after": after, "fields": ["year"]});
        let page = get(&server, &body).ok();
        let found = ids(&page["documents"]).into_iter().map(str::to_owned).collect::<Vec<_>>();
        assert!(found.len() == 6 || page.get("after").is_none());
        seen.extend(found);
        after = page.get("after").map(|after| after.as_str().unwrap().to_owned());
        if after.is_none() {
            break;
        }
        // What changes meanwhile moves no other document.
        assert_eq!(page["matched"], 20);
        let id = seen.first().unwrap().clone();
        let year: u32 = id[1..].parse().unwrap();
        server.put(
            "docs",
            "",
            &json!([{"id": id, "text": "again", "year": year, "vector": {"dog": 2.0}}]).to_string(),
        );
    }
    let wanted: Vec<String> = (5..25).map(|at| format!("d{at:02}")).collect();
    assert_eq!(seen, wanted);
    let all = get(&server, &json!({"filter": "*", "limit": 1000})).ok();
    assert_eq!((&all["matched"], ids(&all["documents"]).len()), (&json!(30), 30));
}

#[test]
fn documents_are_deleted_by_a_filter() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    filled(&server, 20);
    let dry = delete(&server, &json!({"filter": "year:[10 TO *]", "dry_run": true})).ok();
    assert_eq!((&dry["deleted"], &dry["dry_run"]["documents"]), (&json!(0), &json!(10)));
    assert_eq!(dry["dry_run"]["ids"].as_array().unwrap().len(), 10);
    let dry = delete(&server, &json!({"ids": ["d01", "nobody"], "dry_run": true})).ok();
    assert_eq!((&dry["dry_run"]["documents"], &dry["unknown"]), (&json!(1), &json!(["nobody"])));
    let count = || server.send("GET", "/docs", &[], "").ok()["documents"].clone();
    assert_eq!(count(), 20);
    let gone = delete(&server, &json!({"filter": "year:[10 TO *]"})).ok();
    assert_eq!((&gone["deleted"], &gone["unknown"]), (&json!(10), &json!([])));
    assert!(gone["seq"].as_u64() > dry["seq"].as_u64() && gone.get("dry_run").is_none(), "{gone}");
    assert_eq!(count(), 10);
    // What matches nothing changes nothing, and has no number of its own.
    let none = delete(&server, &json!({"filter": "year:[100 TO *]"})).ok();
    assert_eq!((&none["deleted"], &none["seq"]), (&json!(0), &gone["seq"]));
    for (body, param) in [
        (json!({"filter": " "}), "filter"),
        (json!({"filter": "nope:1"}), "filter"),
        (json!({"filter": "*", "ids": ["d01"]}), "filter"),
        (json!({"dry_run": true}), "ids"),
    ] {
        assert_eq!(delete(&server, &body).error(400, "invalid_value")["param"], param, "{body}");
    }
    assert_eq!(count(), 10);
    // All of it has to be said.
    assert_eq!(delete(&server, &json!({"filter": "*"})).ok()["deleted"], 10);
    assert_eq!(count(), 0);
    assert_eq!(delete(&server, &json!({"filter": "*"})).ok()["deleted"], 0);
}

/// A filter is resolved in the turn of its change: what was answered before is among its documents.
#[test]
fn a_filter_sees_every_change_before_it() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    std::thread::scope(|scope| {
        for writer in 0..4u32 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..10 {
                    let id = format!("w{writer}-{round}");
                    let document =
                        json!([{"id": id, "text": "t", "year": writer, "vector": {"dog": 1.0}}]);
                    server.put("docs", "", &document.to_string());
                    let gone = delete(server, &json!({"filter": format!("year:{writer}")})).ok();
                    assert_eq!(gone["deleted"], 1);
                    let body = json!({"ids": [id]});
                    assert_eq!(get(server, &body).ok()["unknown"], json!([id]));
                }
            });
        }
    });
}

#[test]
fn documents_of_these_ids_are_reached() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    let named = ["get", "delete"].map(|id| json!({"id": id, "text": id, "vector": {"dog": 1.0}}));
    server.put("docs", "", &json!(named).to_string());
    for id in ["get", "delete"] {
        let found = server.send("GET", &format!("/docs/documents/{id}"), &[], "").ok();
        assert_eq!(found["fields"]["text"], id);
    }
    let all: BTreeSet<String> = ids(&get(&server, &json!({"filter": "*"})).ok()["documents"])
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(all, BTreeSet::from(["delete".to_owned(), "get".to_owned()]));
}
