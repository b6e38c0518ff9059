//! Aliases of collections.

use quarry_server::keys::{KeyFile, KeyRequest, NewKey, Scope};
use serde_json::{Value, json};

use crate::collections::{Served, config, start, with};
use crate::server::{Reply, exchange, request};

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn ask(server: &Served, method: &str, key: &str, body: &str) -> Reply {
    let headers = [JSON, ("X-API-Key", key)];
    exchange(server.address, &request(method, "/v1/aliases", &headers, body))
}

fn change(server: &Served, actions: &Value) -> Reply {
    ask(server, "POST", "-", &json!({"actions": actions}).to_string())
}

fn put(server: &Served, name: &str, id: &str) {
    let body = json!([{"id": id, "text": name, "vector": {"dog": 1.0}}]).to_string();
    assert_eq!(server.put(name, "", &body)["accepted"], 1);
}

fn text(server: &Served, name: &str, id: &str) -> Reply {
    server.send("GET", &format!("/{name}/documents/{id}"), &[], "")
}

#[test]
fn an_alias_is_a_name_in_every_path() {
    let data = tempfile::tempdir().unwrap();
    let mut server = start(data.path());
    assert_eq!(ask(&server, "GET", "-", "").ok(), json!({"aliases": []}));
    for name in ["v1", "v2"] {
        server.make(name);
        put(&server, name, "a");
    }
    let made = change(
        &server,
        &json!([{"alias": "docs", "collection": "v1"}, {"alias": "old", "collection": "v1"}]),
    );
    let both = json!({"aliases": [{"alias": "docs", "collection": "v1"}, {"alias": "old", "collection": "v1"}]});
    assert_eq!(made.ok(), both);
    assert_eq!(text(&server, "docs", "a").ok()["fields"]["text"], "v1");
    let described = server.send("GET", "/docs", &[], "").ok();
    assert_eq!(
        (&described["name"], &described["aliases"]),
        (&json!("v1"), &json!(["docs", "old"]))
    );
    let search =
        json!({"query": {"sparse": {"tokens": {"dog": 1.0}}}, "fields": ["text"]}).to_string();
    let found = |name: &str| {
        let found = server.send("POST", &format!("/{name}/search"), &[JSON], &search).ok();
        found["hits"].as_array().unwrap().iter().map(|h| h["id"].clone()).collect::<Vec<_>>()
    };
    put(&server, "docs", "b");
    assert_eq!(text(&server, "v1", "b").status, 200);
    assert_eq!(found("docs"), found("v1"));
    assert_eq!(server.send("GET", "/docs/documents", &[], "").text().lines().count(), 2);
    // Switched and removed at once.
    let switch = json!([{"alias": "docs", "collection": "v2"}, {"remove": "old"}]);
    let after = json!({"aliases": [{"alias": "docs", "collection": "v2"}]});
    assert_eq!(change(&server, &switch).ok(), after);
    assert_eq!(text(&server, "docs", "a").ok()["fields"]["text"], "v2");
    text(&server, "old", "a").error(404, "collection_not_found");
    assert_eq!(server.send("DELETE", "/docs/documents/a?ack=synced", &[], "").ok()["deleted"], 1);
    text(&server, "v2", "a").error(404, "document_not_found");
    // They are kept.
    server.stop();
    let server = start(data.path());
    assert_eq!(ask(&server, "GET", "-", "").ok(), after);
    text(&server, "docs", "a").error(404, "document_not_found");
}

#[test]
fn aliases_that_cannot_be() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("v1");
    server.make("v2");
    change(&server, &json!([{"alias": "docs", "collection": "v1"}])).ok();
    for (actions, status, code) in [
        (json!([]), 400, "invalid_value"),
        (json!([["docs", "v1", null]]), 400, "invalid_value"),
        (json!([{"alias": "docs"}]), 400, "invalid_value"),
        (json!([{"alias": "docs", "collection": "v1", "remove": "docs"}]), 400, "invalid_value"),
        (json!([{"alias": "Docs", "collection": "v1"}]), 400, "invalid_value"),
        (json!([{"alias": "docs", "colection": "v1"}]), 400, "unknown_field"),
        (json!([{"alias": "v2", "collection": "v1"}]), 409, "collection_exists"),
        (json!([{"alias": "other", "collection": "v3"}]), 404, "collection_not_found"),
        (json!([{"alias": "other", "collection": "docs"}]), 404, "collection_not_found"),
        (json!([{"remove": "docs"}, {"remove": "other"}]), 404, "alias_not_found"),
        (
            json!([{"alias": "other", "collection": "v2"}, {"remove": "none"}]),
            404,
            "alias_not_found",
        ),
    ] {
        change(&server, &actions).error(status, code);
    }
    let one = json!({"aliases": [{"alias": "docs", "collection": "v1"}]});
    assert_eq!(ask(&server, "GET", "-", "").ok(), one);
    // What concerns a collection itself takes its own name.
    server.send("PUT", "/docs", &[JSON], r#"{"model": null}"#).error(409, "is_alias");
    server.send("PUT", "/docs", &[JSON], r#"{"from": "v2"}"#).error(409, "is_alias");
    server.send("DELETE", "/docs", &[], "").error(409, "is_alias");
    let error = server.send("DELETE", "/v1", &[], "").error(409, "collection_aliased");
    assert!(error["message"].as_str().unwrap().contains("`docs`"), "{error}");
    server.send("DELETE", "/v2", &[], "").ok();
    change(&server, &json!([{"remove": "docs"}])).ok();
    server.send("DELETE", "/v1", &[], "").ok();
}

/// A key reaches by an alias what it reaches by the collection's own name, and nothing else.
#[test]
fn a_key_is_for_collections_whatever_they_are_called() {
    let data = tempfile::tempdir().unwrap();
    let file = KeyFile::new(data.path().join("keys.json"));
    let key = |scopes: Vec<Scope>, collection: &str| {
        let made = NewKey::make(KeyRequest {
            name: String::new(),
            scopes,
            collections: vec![collection.to_owned()],
            filter: None,
            expires_at: None,
            rate: None,
        });
        let made = made.unwrap();
        file.add(&made).unwrap();
        made.key
    };
    let admin = key(vec![Scope::Admin], "*");
    let own = key(vec![Scope::Search, Scope::Write], "v1");
    let alias = key(vec![Scope::Search, Scope::Write], "docs");
    let mut config = config();
    config.keys = Some(file.clone());
    let server = with(&data.path().join("data"), config);
    let by = |key: &str, method: &str, path: &str, body: &str| {
        server.send(method, path, &[JSON, ("X-API-Key", key)], body)
    };
    for name in ["v1", "v2"] {
        assert_eq!(by(&admin, "PUT", &format!("/{name}"), r#"{"model": null}"#).status, 201);
        let body = json!([{"id": "a", "text": name, "vector": {"dog": 1.0}}]).to_string();
        by(&admin, "POST", &format!("/{name}/documents"), &body).ok();
    }
    let set = |collection: &str| {
        let body = json!({"actions": [{"alias": "docs", "collection": collection}]}).to_string();
        ask(&server, "POST", &admin, &body).ok()
    };
    set("v1");
    let read = |key: &str| by(key, "GET", "/docs/documents/a", "").status;
    let write = |key: &str| by(key, "DELETE", "/docs/documents/none", "").status;
    assert_eq!([read(&own), write(&own)], [200, 404]);
    assert_eq!([read(&alias), write(&alias)], [403, 403]);
    assert_eq!(ask(&server, "GET", &own, "").ok()["aliases"][0]["alias"], "docs");
    assert_eq!(ask(&server, "GET", &alias, "").ok(), json!({"aliases": []}));
    set("v2");
    assert_eq!([read(&own), write(&own), read(&alias)], [403, 403, 403]);
    assert_eq!(ask(&server, "GET", &own, "").ok(), json!({"aliases": []}));
    assert_eq!(by(&own, "GET", "/v1/documents/a", "").status, 200);
    ask(&server, "POST", &own, r#"{"actions": [{"remove": "docs"}]}"#).error(403, "forbidden");
    assert_eq!(read(&admin), 200);
}

/// Requests while an alias is switched are answered by the one collection or by the other.
#[test]
fn a_switch_drops_no_request() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    for name in ["v1", "v2"] {
        server.make(name);
        put(&server, name, "a");
    }
    change(&server, &json!([{"alias": "docs", "collection": "v1"}])).ok();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            for _ in 0..100 {
                let found = text(&server, "docs", "a").ok()["fields"]["text"].clone();
                assert!(found == "v1" || found == "v2", "{found}");
            }
        });
        let mut at = 0;
        while !asking.is_finished() {
            at += 1;
            let collection = format!("v{}", 1 + at % 2);
            change(&server, &json!([{"alias": "docs", "collection": collection}])).ok();
        }
        asking.join().unwrap();
    });
}
