//! Long work: begun, waited for, cancelled, and who sees it.

use quarry_server::keys::{KeyFile, KeyRequest, NewKey, Scope};
use serde_json::{Value, json};

use crate::collections::{JSON, Served, VECTORS, config, document, start, with};
use crate::server::{Reply, exchange, get, request};

/// The task that an answer begins, when it has ended.
pub(crate) fn ended(server: &Served, begun: &Reply) -> Value {
    assert_eq!(begun.status, 202, "{}", begun.text());
    let id = begun.json()["id"].as_str().unwrap().to_owned();
    loop {
        let task = get(server.address, &format!("/v1/tasks/{id}?wait_ms=60000")).ok();
        if task["ended_at"].is_string() {
            return task;
        }
    }
}

#[test]
fn a_merge_is_a_task() {
    let data = tempfile::tempdir().unwrap();
    let mut server = start(data.path());
    server.make("docs");
    for at in 0..7 {
        let id = format!("d{at}");
        server.put("docs", "", &json!([document(&id, "dog")]).to_string());
    }
    server.send("DELETE", "/docs/documents/d3", &[], "").ok();
    let task = ended(&server, &server.send("POST", "/docs/merge", &[], ""));
    assert_eq!((&task["state"], &task["kind"]), (&json!("done"), &json!("merge")), "{task}");
    assert_eq!((&task["collection"], &task["error"]), (&json!("docs"), &Value::Null));
    assert_eq!(task["result"]["segments"], 1, "{task}");
    assert_eq!(server.search("docs", "dog"), ["d6", "d5", "d4", "d2", "d1", "d0"]);
    // There is nothing left to merge.
    let again = ended(&server, &server.send("POST", "/docs/merge", &[], ""));
    assert_eq!(again["result"]["merged"], 0, "{again}");
    server.put("docs", "", &json!([document("d3", "dog")]).to_string());
    assert_eq!(server.count("docs"), 7);
    let all = get(server.address, "/v1/tasks").ok();
    assert_eq!(all["tasks"].as_array().unwrap().len(), 2, "{all}");
    assert_eq!(all["tasks"][0]["id"], again["id"]);
    // One that has ended stays as it is; one that is not there is said to be.
    let path = format!("/v1/tasks/{}", task["id"].as_str().unwrap());
    assert_eq!(exchange(server.address, &request("DELETE", &path, &[], "")).ok(), task);
    get(server.address, "/v1/tasks/none").error(404, "task_not_found");
    get(server.address, &format!("{path}?wait_ms=60001")).error(400, "invalid_value");
    get(server.address, &format!("{path}?wait=1")).error(400, "unknown_field");
    server.send("POST", "/none/merge", &[], "").error(404, "collection_not_found");
    // Tasks are known after a start.
    server.stop();
    let server = start(data.path());
    assert_eq!(get(server.address, "/v1/tasks").ok(), all);
    assert_eq!(server.count("docs"), 7);
}

/// Changes go on while all segments are merged, and none is lost.
#[test]
fn a_merge_goes_on_beside_changes() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for at in 0..60 {
                let id = format!("d{}", at % 40);
                server.put("docs", "", &json!([document(&id, "dog")]).to_string());
                if at % 10 == 9 {
                    server.send("DELETE", &format!("/docs/documents/{id}"), &[], "").ok();
                }
            }
        });
        while !writer.is_finished() {
            let task = ended(&server, &server.send("POST", "/docs/merge", &[], ""));
            assert_eq!(task["state"], "done", "{task}");
        }
    });
    // 40 ids, of which d9, d19, d29 and d39 were deleted; d9 and d19 twice, after they had come again.
    assert_eq!(server.count("docs"), 36);
    assert_eq!(server.search("docs", "dog").len(), 36);
}

#[test]
fn a_key_sees_the_tasks_of_its_collections() {
    let data = tempfile::tempdir().unwrap();
    let keys = tempfile::tempdir().unwrap();
    let file = KeyFile::new(keys.path().join("keys.json"));
    let key = |scopes: &[Scope], collections: &str| {
        let made = NewKey::make(KeyRequest {
            name: String::new(),
            scopes: scopes.to_vec(),
            collections: vec![collections.to_owned()],
            filter: None,
            expires_at: None,
            rate: None,
        });
        let made = made.unwrap();
        file.add(&made).unwrap();
        made.key
    };
    let admin = key(&[Scope::Admin], "*");
    let writes = key(&[Scope::Write], "docs");
    let other = key(&[Scope::Write, Scope::Admin], "other");
    let searches = key(&[Scope::Search], "*");
    let mut config = config();
    config.keys = Some(file.clone());
    let server = with(data.path(), config);
    let ask = |key: &str, method: &str, path: &str, body: &str| {
        exchange(server.address, &request(method, path, &[JSON, ("X-API-Key", key)], body))
    };
    for name in ["docs", "other"] {
        let path = format!("/v1/collections/{name}");
        assert_eq!(ask(&admin, "PUT", &path, VECTORS).status, 201);
    }
    let merge = "/v1/collections/docs/merge";
    ask(&searches, "POST", merge, "").error(403, "forbidden");
    ask(&other, "POST", merge, "").error(403, "forbidden");
    let task = ask(&writes, "POST", merge, "").json();
    let path = format!("/v1/tasks/{}", task["id"].as_str().unwrap());
    for (key, seen) in [(&admin, 1), (&writes, 1), (&other, 0)] {
        let all = ask(key, "GET", "/v1/tasks", "").ok();
        assert_eq!(all["tasks"].as_array().unwrap().len(), seen, "{all}");
        assert_eq!(ask(key, "GET", &path, "").status, if seen == 1 { 200 } else { 404 });
    }
    ask(&other, "DELETE", &path, "").error(404, "task_not_found");
    ask(&writes, "DELETE", &path, "").error(403, "forbidden");
    ask(&searches, "GET", "/v1/tasks", "").error(403, "forbidden");
    ask(&admin, "DELETE", &path, "").ok();
}
