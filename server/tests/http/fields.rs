//! What a collection says of itself, and what requests may not say.

use std::net::TcpStream;

use serde_json::json;

use crate::collections::{Served, config, start, with};
use crate::server::request;
use std::io::Write;

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn described(server: &Served) -> serde_json::Value {
    server.send("GET", "/docs", &[], "").ok()
}

#[test]
fn a_collection_tells_its_fields() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    let made =
        r#"{"model": null, "fields": {"year": "integer", "raw": "stored", "later": "date"}}"#;
    assert_eq!(server.send("PUT", "/docs", &[JSON], made).status, 201);
    let found = described(&server);
    assert_eq!(
        found["fields"][0],
        json!({"name": "later", "type": "date", "kinds": [], "values": 0, "examples": []})
    );
    let documents: Vec<_> = (0..10)
        .map(|at| {
            json!({"id": format!("d{at}"), "text": "t", "year": 2000 + at % 4, "raw": {"x": at}, "tags": ["a", "b"],
                "place": {"city": "Z".repeat(200)}, "a.b": at % 2 == 0, "vector": {"dog": 1.0}})
        })
        .collect();
    server.put("docs", "", &json!(documents).to_string());
    let found = described(&server);
    let field = |name: &str| {
        let fields = found["fields"].as_array().unwrap();
        fields
            .iter()
            .find(|field| field["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {found}"))
            .clone()
    };
    let year = json!({"name": "year", "type": "integer", "kinds": ["number"], "values": 10, "examples": [2000, 2001, 2002]});
    assert_eq!(field("year"), year);
    let tags = json!({"name": "tags", "kinds": ["text"], "values": 20, "examples": ["a", "b"]});
    assert_eq!(field("tags"), tags);
    assert_eq!(field("place.city")["examples"], json!([format!("{}...", "Z".repeat(100))]));
    assert_eq!(
        field("a\\.b"),
        json!({"name": "a\\.b", "kinds": ["boolean"], "values": 10, "examples": [true, false]})
    );
    assert_eq!(field("raw.x")["kinds"], json!([]));
    assert!(found.get("more_fields").is_none());
    // Each name is one that filters take.
    for (name, value) in [("year", "2001"), ("tags", "a"), ("a\\.b", "true")] {
        let body = json!({"filter": format!("{name}:{value}")}).to_string();
        let found = server.send("POST", "/docs/documents/get", &[JSON], &body).ok();
        assert!(found["matched"].as_u64() > Some(0), "{name}");
    }
    // The list of collections has no fields.
    assert!(server.send("GET", "", &[], "").ok()["collections"][0].get("fields").is_none());
    // Many are cut.
    let many: serde_json::Map<String, serde_json::Value> =
        (0..300).map(|at| (format!("f{at:03}"), json!(at))).collect();
    let mut document = json!({"id": "many", "text": "t", "vector": {"dog": 1.0}});
    document.as_object_mut().unwrap().extend(many);
    assert_eq!(server.put("docs", "", &json!([document]).to_string())["rejected"], json!([]));
    let found = described(&server);
    assert_eq!(
        (found["fields"].as_array().unwrap().len(), &found["more_fields"]),
        (256, &json!(true))
    );
}

#[test]
fn what_means_nothing_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    for name in ["id", "_id", "title", "text", "vector"] {
        let body = json!({"model": null, "fields": {name: "keyword"}}).to_string();
        let error = server.send("PUT", "/docs", &[JSON], &body).error(400, "invalid_value");
        assert_eq!(error["param"], format!("fields.{name}"));
    }
    server.make("docs");
    let both = json!([{"id": "a", "_id": "b", "text": "t", "vector": {"dog": 1.0}}]).to_string();
    let rejected = server.put("docs", "", &both)["rejected"].clone();
    assert!(rejected[0]["error"]["message"].as_str().unwrap().contains("both"), "{rejected}");
    // Parameters that a route does not have.
    let one = json!([{"id": "a", "text": "t", "vector": {"dog": 1.0}}]).to_string();
    server.put("docs", "", &one);
    for path in ["", "/docs", "/docs/documents/a", "/docs/documents"] {
        let reply = server.send("GET", &format!("{path}?x=1"), &[], "");
        assert_eq!(reply.error(400, "unknown_field")["param"], "x", "{path}");
    }
    for path in ["/metrics", "/openapi.json", "/v1/keys", "/v1/slow", "/v1/aliases"] {
        let reply = crate::server::get(server.address, &format!("{path}?x=1"));
        reply.error(400, "unknown_field");
    }
}

/// Bodies that arrive slowly keep no other writes out.
#[test]
fn slow_bodies_hold_no_seat() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config();
    config.writes = std::num::NonZeroUsize::MIN;
    config.body_timeout = std::time::Duration::from_secs(600);
    config.request_timeout = std::time::Duration::from_secs(600);
    let server = with(data.path(), config);
    server.make("docs");
    let slow: Vec<TcpStream> = (0..100)
        .map(|at| {
            let path = ["/documents", "/documents/delete"][at % 2];
            let body = "x".repeat(100_000);
            let whole = request("POST", &format!("/v1/collections/docs{path}"), &[JSON], &body);
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(&whole[..whole.len() - 60_000]).unwrap();
            stream
        })
        .collect();
    for at in 0..20 {
        let one =
            json!([{"id": format!("d{at}"), "text": "t", "vector": {"dog": 1.0}}]).to_string();
        assert_eq!(server.put("docs", "", &one)["accepted"], 1);
    }
    drop(slow);
}
