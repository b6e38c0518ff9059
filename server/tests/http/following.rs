//! A server that follows another one.

use std::path::Path;
use std::time::{Duration, Instant};

use quarry_server::Leader;
use quarry_server::keys::{KeyFile, KeyRequest, NewKey, Scope};
use serde_json::{Value, json};

use crate::collections::{JSON, Served, VECTORS, config, document, start, with};
use crate::server::{exchange, get, request};

fn follower(data: &Path, address: std::net::SocketAddr, key: Option<&str>) -> Served {
    let mut config = config();
    config.follow = Some(Leader::new(&format!("http://{address}"), key).unwrap());
    with(data, config)
}

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_follower_has_what_its_leader_has() {
    let [here, there] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut leader = start(here.path());
    leader.make("docs");
    leader.put("docs", "", &json!([document("a", "dog"), document("b", "dog")]).to_string());
    let mut replica = follower(there.path(), leader.address, None);
    until("taken", || replica.get("/docs").status == 200);
    until("filled", || replica.search("docs", "dog").len() == 2);
    // What is written is found there within seconds; a search may wait for it.
    let seq = leader.put("docs", "", &json!([document("c", "dog")]).to_string())["seq"].clone();
    let search =
        json!({"query": {"sparse": {"tokens": {"dog": 1}}}, "min_seq": seq, "timeout_ms": 60_000});
    let found = replica.send("POST", "/docs/search", &[JSON], &search.to_string()).ok();
    assert_eq!(found["hits"].as_array().unwrap().len(), 3, "{found}");
    leader.send("DELETE", "/docs/documents/a", &[], "").ok();
    for at in 0..30 {
        leader.put("docs", "", &json!([document(&format!("d{at}"), "cat")]).to_string());
    }
    until("level", || replica.search("docs", "cat").len() == 30);
    assert_eq!(replica.search("docs", "dog"), leader.search("docs", "dog"));
    assert!(replica.get("/docs/documents/a").status == 404);
    // Files that no generation names any more go there too.
    let files = |data: &Path| std::fs::read_dir(data.join("docs")).unwrap().count();
    leader.put("docs", "?ack=sealed", "[]");
    until("tidy", || files(there.path()) <= files(here.path()) + 60);
    // It does not write, and says who does.
    for (method, path, body) in [
        ("POST", "/docs/documents", "[]"),
        ("PUT", "/more", VECTORS),
        ("DELETE", "/docs", ""),
        ("DELETE", "/docs/documents/b", ""),
        ("POST", "/docs/snapshots", ""),
        ("POST", "/docs/merge", ""),
    ] {
        let error = replica.send(method, path, &[JSON], body).error(405, "method_not_allowed");
        let hint = error["hint"].as_str().unwrap();
        assert!(hint.contains(&leader.address.to_string()), "{method} {path}: {error}");
    }
    // Collections come and go.
    leader.make("other");
    until("came", || replica.get("/other").status == 200);
    leader.send("DELETE", "/other", &[], "").ok();
    until("went", || replica.get("/other").status == 404);
    // A name that another index gets.
    leader.send("DELETE", "/docs", &[], "").ok();
    leader.make("docs");
    leader.put("docs", "", &json!([document("new", "dog")]).to_string());
    let is_new = || replica.get("/docs/documents/new").status == 200;
    until("replaced", is_new);
    assert_eq!(replica.search("docs", "dog"), ["new"]);
    // The leader is away: what was fetched is served, also over a start.
    leader.stop();
    until("noticed", || {
        let health = get(replica.address, "/readyz").json();
        health["status"] == "ready" && health["behind_seconds"].as_u64().unwrap() >= 2
    });
    replica.stop();
    let mut replica = follower(there.path(), leader.address, None);
    until("serves", || replica.get("/docs").status == 200);
    assert_eq!(replica.search("docs", "dog"), ["new"]);
    let metrics = get(replica.address, "/metrics").text();
    assert!(metrics.contains("quarry_follow_behind_seconds"), "{metrics}");
    replica.stop();
}

#[test]
fn followers_need_the_scope_admin() {
    let [here, there, keys] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let file = KeyFile::new(keys.path().join("keys.json"));
    let key = |scope: Scope| {
        let request = KeyRequest {
            name: String::new(),
            scopes: vec![scope],
            collections: vec!["docs".to_owned()],
            filter: None,
            expires_at: None,
            rate: None,
        };
        let made = NewKey::make(request).unwrap();
        file.add(&made).unwrap();
        made.key
    };
    let (admin, searches) = (key(Scope::Admin), key(Scope::Search));
    let mut config = config();
    config.keys = Some(file.clone());
    let leader = with(here.path(), config);
    let ask = |key: &str, method: &str, path: &str, body: &str| {
        exchange(leader.address, &request(method, path, &[JSON, ("X-API-Key", key)], body))
    };
    assert_eq!(ask(&admin, "PUT", "/v1/collections/docs", VECTORS).status, 201);
    for path in
        ["/v1/generations", "/v1/collections/docs/generation", "/v1/collections/docs/files/x"]
    {
        ask(&searches, "GET", path, "").error(403, "forbidden");
    }
    let given = ask(&admin, "GET", "/v1/collections/docs/generation", "").ok();
    let name = given["files"][0]["name"].as_str().unwrap();
    let path = format!("/v1/collections/docs/files/{name}");
    assert_eq!(json!(ask(&admin, "GET", &path, "").body.len()), given["files"][0]["bytes"]);
    for other in ["CURRENT", "LOCK", "collection.json", "..%2Fstore.json", "none.qry"] {
        let path = format!("/v1/collections/docs/files/{other}");
        ask(&admin, "GET", &path, "").error(404, "file_not_found");
    }
    let replica = follower(there.path(), leader.address, Some(&admin));
    until("taken", || replica.get("/docs").status == 200);
    for address in ["", "ftp://x", "http://x/y", "http://x?y=1", "x"] {
        assert!(Leader::new(address, None).is_err(), "{address}");
    }
    assert!(Leader::new("http://x", Some("two words")).is_err());
    let all: Value = get(leader.address, "/readyz").json();
    assert_eq!(all, json!({"status": "ready"}));
}
