//! Patches: of one document, of many, and what they leave as it is.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::collections::{Served, start};
use crate::server::Reply;

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn patch(server: &Served, id: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let mut all = vec![JSON];
    all.extend(headers);
    server.send("PATCH", &format!("/docs/documents/{id}"), &all, &body.to_string())
}

fn fields(server: &Served, id: &str) -> Value {
    server.send("GET", &format!("/docs/documents/{id}"), &[], "").ok()["fields"].clone()
}

/// Ids, scores and matched tokens of all documents.
fn found(server: &Served, filter: &str) -> Vec<(Value, Value, Value)> {
    let tokens = json!({"dog": 0.37, "cat": 1.0});
    let mut body = json!({"query": {"sparse": {"tokens": tokens}}, "k": 100, "explain": true});
    if filter != "*" {
        body["filter"] = filter.into();
    }
    let found = server.send("POST", "/docs/search", &[JSON], &body.to_string()).ok();
    let hits = found["hits"].as_array().unwrap().iter();
    hits.map(|hit| (hit["id"].clone(), hit["score"].clone(), hit["matched"].clone())).collect()
}

/// Patches make no document larger than one that is sent, and do not hold more at once than there is room for.
#[test]
fn what_patches_make_has_bounds() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    let all: Vec<Value> = (0..90)
        .map(|at| json!({"id": format!("d{at}"), "text": "t", "vector": {"dog": 1.0}}))
        .collect();
    server.put("docs", "", &Value::Array(all).to_string());
    let long = "x".repeat(800_000);
    patch(&server, "d0", &[], &json!({"a": long})).ok();
    patch(&server, "d0", &[], &json!({"b": long})).error(413, "document_too_large");
    assert_eq!(fields(&server, "d0").as_object().unwrap().len(), 2);
    let many = json!({"filter": "*", "patch": {"c": long}}).to_string();
    let refused = server.send("POST", "/docs/documents/patch", &[JSON], &many);
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("patch fewer"), "{}", refused.text());
    assert_eq!(fields(&server, "d5"), json!({"text": "t"}));
}

#[test]
fn a_document_is_patched() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    let document = json!({"id": "a", "title": "T", "text": "t", "year": 1999, "more": {"x": 1, "y": 2}, "vector": {"dog": 0.3}});
    server.put(
        "docs",
        "",
        &json!([document, {"id": "b", "text": "t", "vector": {"cat": 7}}]).to_string(),
    );
    let before = found(&server, "*");
    let reply = patch(
        &server,
        "a",
        &[("If-Match", "\"1\"")],
        &json!({"year": 2001, "more": {"x": null, "z": [3]}, "id": "a"}),
    );
    let patched = reply.ok();
    assert_eq!((&patched["version"], &patched["encoded"]), (&json!(2), &json!(false)), "{patched}");
    assert_eq!(reply.header("etag"), Some("\"2\""));
    let expected = json!({"title": "T", "text": "t", "year": 2001, "more": {"y": 2, "z": [3]}});
    assert_eq!(fields(&server, "a"), expected);
    assert_eq!(found(&server, "*"), before);
    assert_eq!(found(&server, "year:2001").len(), 1);
    assert_eq!(found(&server, "year:1999").len(), 0);
    // A collection whose documents bring vectors makes none of a text.
    assert_eq!(
        patch(&server, "a", &[], &json!({"text": "u", "title": null})).ok()["encoded"],
        false
    );
    assert_eq!(fields(&server, "a")["text"], "u");
    assert_eq!(fields(&server, "a").get("title"), None);
    assert_eq!(found(&server, "*"), before);
    let error =
        patch(&server, "a", &[("If-Match", "\"1\"")], &json!({})).error(412, "version_conflict");
    assert_eq!(error["current"], 3);
    patch(&server, "x", &[], &json!({})).error(404, "document_not_found");
    patch(&server, "x", &[("If-Match", "*")], &json!({})).error(412, "version_conflict");
    for (body, param) in [
        (json!({"id": "b"}), "id"),
        (json!({"vector": {"dog": 1}}), "vector"),
        (json!({"text": 7}), "text"),
    ] {
        assert_eq!(patch(&server, "a", &[], &body).error(400, "invalid_value")["param"], param);
    }
    patch(&server, "a", &[], &json!({"year": "soon"})).error(422, "invalid_document");
    patch(&server, "a", &[], &json!([])).error(400, "invalid_value");
    let form = ("Content-Type", "application/merge-patch+json");
    let path = "/docs/documents/a";
    assert_eq!(server.send("PATCH", path, &[form], r#"{"year": 5}"#).ok()["version"], 4);
    server
        .send("PATCH", path, &[("Content-Type", "text/plain")], "{}")
        .error(415, "unsupported_media_type");
    let key = [("Idempotency-Key", "k")];
    assert_eq!(patch(&server, "a", &key, &json!({"year": 6})).ok()["version"], 5);
    assert_eq!(patch(&server, "a", &key, &json!({"year": 6})).ok()["version"], 5);
}

#[test]
fn many_documents_are_patched() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    let documents: Vec<Value> = (0..10)
        .map(|n| json!({"id": format!("d{n}"), "text": "t", "year": 2000 + n, "vector": {"dog": 1.0 + f64::from(n)}}))
        .collect();
    server.put("docs", "", &json!(documents).to_string());
    let before = found(&server, "*");
    let post =
        |body: &Value| server.send("POST", "/docs/documents/patch", &[JSON], &body.to_string());
    let patch = json!({"seen": true, "year": null});
    let dry = post(&json!({"filter": "year:[2000 TO 2004]", "patch": patch, "dry_run": true})).ok();
    assert_eq!((&dry["patched"], &dry["seq"]), (&json!(5), &json!(1)), "{dry}");
    let made = post(&json!({"filter": "year:[2000 TO 2004]", "patch": patch})).ok();
    assert_eq!(
        (&made["patched"], &made["encoded"], &made["seq"]),
        (&json!(5), &json!(0), &json!(2)),
        "{made}"
    );
    assert_eq!(found(&server, "seen:true").len(), 5);
    assert_eq!(found(&server, "year:*").len(), 5);
    assert_eq!(found(&server, "*"), before);
    let made = post(&json!({"ids": ["d9", "x", "d9"], "patch": {"year": 7}})).ok();
    assert_eq!((&made["patched"], &made["unknown"]), (&json!(1), &json!(["x"])), "{made}");
    for (body, status, code) in [
        (json!({"patch": {}}), 400, "invalid_value"),
        (json!({"ids": ["a"], "filter": "*", "patch": {}}), 400, "invalid_value"),
        (json!({"ids": [], "patch": {}}), 400, "invalid_value"),
        (json!({"ids": ["a"]}), 400, "invalid_value"),
        (json!({"filter": "nosuch:1", "patch": {}}), 400, "invalid_value"),
        (json!({"ids": ["a"], "patch": {"id": "b"}}), 400, "invalid_value"),
    ] {
        post(&body).error(status, code);
    }
    // A filter that nothing matches changes nothing.
    let none = post(&json!({"filter": "year:1", "patch": {"seen": false}})).ok();
    assert_eq!((&none["patched"], &none["seq"]), (&json!(0), &json!(3)), "{none}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    /// Whatever is patched, put and merged in between: scores are those of the vectors that were put, and the fields are the
    /// last ones, also after a start.
    #[test]
    fn patches_leave_vectors_as_they_are(steps in prop::collection::vec((0u8..6, 0u8..3, 1u32..1000), 20..50)) {
        let data = tempfile::tempdir().unwrap();
        let mut server = start(data.path());
        server.make("docs");
        server.make("plain");
        let (mut years, mut weights) = ([0u32; 6], [0u32; 6]);
        for (id, kind, value) in steps {
            let at = usize::from(id);
            if kind == 0 || weights[at] == 0 {
                (years[at], weights[at]) = (value, value);
                let body = json!([{"id": format!("d{id}"), "text": "t", "year": value, "vector": {"dog": f64::from(value) / 7.0}}]);
                server.put("docs", "?ack=received", &body.to_string());
            } else {
                years[at] = value;
                let reply = patch(&server, &format!("d{id}"), &[], &json!({"year": value}));
                prop_assert_eq!(&reply.ok()["encoded"], false);
            }
        }
        let documents: Vec<Value> = (0..6).filter(|at| weights[*at] > 0)
            .map(|at| json!({"id": format!("d{at}"), "text": "t", "year": years[at], "vector": {"dog": f64::from(weights[at]) / 7.0}}))
            .collect();
        for again in [false, true] {
            if again {
                server.stop();
                server = start(data.path());
            }
            let tokens = json!({"dog": 1.0});
            let body = json!({"query": {"sparse": {"tokens": tokens}}, "k": 100}).to_string();
            let hits = server.send("POST", "/docs/search", &[JSON], &body).ok()["hits"].clone();
            prop_assert_eq!(hits.as_array().unwrap().len(), documents.len());
            for hit in hits.as_array().unwrap() {
                let at: usize = hit["id"].as_str().unwrap()[1..].parse().unwrap();
                let (score, weight) = (hit["score"].as_f64().unwrap(), f64::from(weights[at]) / 7.0);
                prop_assert!((score - weight).abs() <= weight * 2e-3, "{} {}", score, weight);
            }
            for (at, year) in years.iter().enumerate().filter(|(at, _)| weights[*at] > 0) {
                prop_assert_eq!(&fields(&server, &format!("d{at}"))["year"], *year);
            }
        }
    }
}
