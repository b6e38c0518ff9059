//! A folder of collections: made, searched, changed and removed.

use std::path::{Path, PathBuf};
use std::thread::scope;

use quarry_engine::store::{Store, StoreOptions};
use quarry_engine::{OpenOptions, QueryModel};
use quarry_index::IndexError;
use quarry_index::folder::{FolderWriter, claim};
use quarry_server::{ServeError, ServerConfig};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::index::{ALL, build};
use crate::server::{Reply, exchange, get, request, serve_on_thread};

pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");
const LINES: (&str, &str) = ("Content-Type", "application/x-ndjson");
/// Documents bring their vectors: no model is needed.
pub(crate) const VECTORS: &str = r#"{"model": null, "fields": {"year": "integer"}}"#;

pub(crate) struct Served {
    data: PathBuf,
    pub(crate) address: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<Result<(), ServeError>>>,
}

pub(crate) fn config() -> ServerConfig {
    ServerConfig::of_folder("127.0.0.1:0".parse().unwrap())
}

pub(crate) fn start(data: &Path) -> Served {
    with(data, config())
}

pub(crate) fn with(data: &Path, config: ServerConfig) -> Served {
    let (data, folder) = (data.to_path_buf(), data.to_path_buf());
    let (stop, stopped) = oneshot::channel();
    let load = move |address| {
        let mut open = OpenOptions::default();
        // The encoder of an index that is copied here is not one of ours.
        open.queries = QueryModel::None;
        Store::open(&data, StoreOptions { address: format!("http://{address}"), open })
    };
    let (address, thread) = serve_on_thread(config, load, stopped);
    let served = Served { data: folder, address, stop: Some(stop), thread: Some(thread) };
    while get(address, "/readyz").status != 200 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    served
}

impl Served {
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        exchange(self.address, &request(method, &format!("/v1/collections{path}"), headers, body))
    }

    pub(crate) fn make(&self, name: &str) {
        let reply = self.send("PUT", &format!("/{name}"), &[JSON], VECTORS);
        assert_eq!(reply.status, 201, "{}", reply.text());
    }

    pub(crate) fn put(&self, name: &str, more: &str, body: &str) -> Value {
        self.send("POST", &format!("/{name}/documents{more}"), &[JSON], body).ok()
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "")
    }

    pub(crate) fn search(&self, name: &str, token: &str) -> Vec<String> {
        let body = json!({"query": {"sparse": {"tokens": {token: 1.0}}}, "k": 1000}).to_string();
        let found = self.send("POST", &format!("/{name}/search"), &[JSON], &body).ok();
        let hits = found["hits"].as_array().unwrap();
        hits.iter().map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        self.get(&format!("/{name}")).ok()["documents"].as_u64().unwrap()
    }

    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.thread.take().unwrap().join().unwrap().unwrap();
        // What runs on threads of its own may hold the folder a moment longer.
        while !std::fs::read(self.data.join(".quarry/LOCK")).unwrap().is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

pub(crate) fn document(id: &str, token: &str) -> Value {
    json!({"id": id, "title": "T", "text": format!("text of {id}"), "vector": {token: 2.0}})
}

#[test]
fn collections_are_made_and_removed() {
    let data = tempfile::tempdir().unwrap();
    let mut server = start(data.path());
    assert_eq!(get(server.address, "/readyz").json(), json!({"status": "ready"}));
    assert_eq!(server.get("").ok(), json!({"collections": []}));
    server.get("/docs").error(404, "collection_not_found");
    let made = server.send("PUT", "/docs", &[JSON], VECTORS);
    assert_eq!((made.status, &made.json()["documents"]), (201, &json!(0)), "{}", made.text());
    // The same again is the same; anything else is refused.
    assert_eq!(server.send("PUT", "/docs", &[JSON], VECTORS).status, 200);
    let other = r#"{"model": null, "fields": {"year": "float"}}"#;
    let error = server.send("PUT", "/docs", &[JSON], other).error(409, "collection_exists");
    assert_eq!(error["param"], "fields");
    assert_eq!(server.search("docs", "dog"), Vec::<String>::new());
    server.make("other");
    let names = |server: &Served| {
        let all = server.get("").ok()["collections"].clone();
        all.as_array().unwrap().iter().map(|c| c["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&server), ["docs", "other"]);
    assert_eq!(server.send("DELETE", "/other", &[], "").ok(), json!({"removed": "other"}));
    server.get("/other").error(404, "collection_not_found");
    server.send("DELETE", "/other", &[], "").error(404, "collection_not_found");
    assert!(!data.path().join("other").exists());
    // The name is free again, also after the server was started anew.
    server.make("other");
    server.put("other", "", &json!([document("a", "dog")]).to_string());
    server.stop();
    let server = start(data.path());
    assert_eq!(names(&server), ["docs", "other"]);
    assert_eq!(server.search("other", "dog"), ["a"]);
}

#[test]
fn what_is_refused_of_collections() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    let long = "a".repeat(65);
    for name in ["A", "a.b", ".quarry", "%2e%2e", "a%2Fb", "-a", "a%00", &long] {
        let path = format!("/{name}");
        let error = server.send("PUT", &path, &[JSON], "{}").error(400, "invalid_value");
        assert_eq!(error["param"], "collection", "{name}");
        server.get(&path).error(404, "collection_not_found");
        server.send("DELETE", &path, &[], "").error(404, "collection_not_found");
    }
    for (body, status, code, param) in [
        (r#"{"colour": 1}"#, 400, "unknown_field", Some("colour")),
        (r#"{"fields": {"year": "number"}}"#, 400, "invalid_value", Some("fields.year")),
        (r#"{"fields": []}"#, 400, "invalid_value", Some("fields")),
        (r#"{"passages": 0}"#, 400, "invalid_value", Some("passages")),
        (r#"{"model": 7}"#, 400, "invalid_value", Some("model")),
        (r#"{"model": "/etc"}"#, 422, "not_supported", Some("model")),
        (r#"{"model": "no/such"}"#, 422, "not_supported", Some("model")),
        (r#"{"model": null, "provenance": true}"#, 422, "not_supported", Some("provenance")),
        (r#"{"model": null, "dense": true}"#, 422, "not_supported", Some("dense")),
        ("[]", 400, "invalid_value", None),
        ("{", 400, "invalid_json", None),
    ] {
        let error = server.send("PUT", "/docs", &[JSON], body).error(status, code);
        assert_eq!(error["param"].as_str(), param, "{body}");
    }
    server.send("PUT", "/docs", &[], "{}").error(415, "unsupported_media_type");
    server.send("PUT", "/docs?x=1", &[JSON], "{}").error(400, "unknown_field");
    // Nothing was left.
    let mut left: Vec<_> = std::fs::read_dir(data.path().join(".quarry"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["LOCK", "store.json"]);
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 1);
}

#[test]
fn folders_of_others_are_not_touched() {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir(data.path().join("notes")).unwrap();
    drop(build(&data.path().join("copied"), ALL));
    drop(build(&data.path().join("mis.named"), ALL));
    let server = start(data.path());
    assert_eq!(server.count("copied"), 4);
    server.get("/mis.named").error(404, "collection_not_found");
    server.send("DELETE", "/copied", &[], "").error(409, "not_made_here");
    server.send("PUT", "/copied", &[JSON], VECTORS).error(409, "not_made_here");
    server.send("PUT", "/notes", &[JSON], VECTORS).error(409, "not_made_here");
    // Nor is one of ours in which something else lies.
    server.make("docs");
    std::fs::write(data.path().join("docs/notes.txt"), "mine").unwrap();
    let error = server.send("DELETE", "/docs", &[], "").error(409, "not_made_here");
    assert!(error["message"].as_str().unwrap().contains("notes.txt"), "{error}");
    assert_eq!(server.count("docs"), 0);
    // One that comes while the server runs is served; one that goes is not.
    drop(build(&data.path().join("late"), ALL));
    while server.get("/late").status != 200 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::fs::remove_dir_all(data.path().join("late")).unwrap();
    while server.get("/late").status != 404 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// What a person puts in the place of a collection is theirs: it is served, and not removed.
#[test]
fn a_folder_in_the_place_of_a_collection_is_not_removed() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    let folder = data.path().join("docs");
    std::fs::remove_dir_all(&folder).unwrap();
    drop(build(&folder, ALL));
    let refused = server.send("DELETE", "/docs", &[], "");
    assert!([404, 409].contains(&refused.status), "{}", refused.text());
    assert!(folder.join("CURRENT").is_file());
    // It is absent between the two.
    let is_new = |found: &Reply| found.status == 200 && found.json()["documents"] == 4;
    while !is_new(&server.get("/docs")) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    server.send("DELETE", "/docs", &[], "").error(409, "not_made_here");
    // A collection that a server made and that was copied in is one, and made already.
    server.make("other");
    std::fs::create_dir(data.path().join("copy")).unwrap();
    for entry in std::fs::read_dir(data.path().join("other")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() && entry.file_name() != "LOCK" {
            std::fs::copy(entry.path(), data.path().join("copy").join(entry.file_name())).unwrap();
        }
    }
    assert_eq!(server.send("PUT", "/copy", &[JSON], VECTORS).status, 200);
}

#[test]
fn a_collection_that_cannot_be_opened_does_not_stop_the_others() {
    let data = tempfile::tempdir().unwrap();
    drop(build(&data.path().join("good"), ALL));
    drop(build(&data.path().join("bad"), ALL));
    let current = data.path().join("bad/CURRENT");
    let whole = std::fs::read(&current).unwrap();
    std::fs::write(&current, "{}").unwrap();
    let server = start(data.path());
    assert_eq!(server.count("good"), 4);
    server.get("/bad").error(503, "collection_unavailable");
    server.send("DELETE", "/bad", &[], "").error(503, "collection_unavailable");
    assert_eq!(get(server.address, "/readyz").ok(), json!({"status": "ready", "stale": 1}));
    std::fs::write(&current, whole).unwrap();
    while server.get("/bad").status != 200 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(get(server.address, "/readyz").ok(), json!({"status": "ready"}));
}

#[test]
fn the_lock_names_the_server() {
    let data = tempfile::tempdir().unwrap();
    let mut server = start(data.path());
    server.make("docs");
    let folder = data.path().join("docs");
    // Within this process writers take turns, as the server's own do.
    assert!(FolderWriter::open(&folder).is_ok());
    assert!(matches!(claim(&folder, "x"), Err(IndexError::Locked { .. })));
    let address = format!("http://{}/v1/collections/docs", server.address);
    let said = std::fs::read_to_string(folder.join("LOCK")).unwrap();
    assert_eq!(said, format!("quarry serve {address}"));
    server.stop();
    assert_eq!(std::fs::read_to_string(folder.join("LOCK")).unwrap(), "");
}

#[test]
fn documents_are_put_and_deleted() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    let body = json!([document("a", "dog"), document("b", "cat"), document("a/b", "dog")]);
    let answer = server.put("docs", "", &body.to_string());
    assert_eq!((&answer["accepted"], &answer["replaced"]), (&json!(3), &json!(0)), "{answer}");
    assert_eq!(answer["rejected"], json!([]));
    assert_eq!(server.search("docs", "dog"), ["a/b", "a"]);
    let found = server.get("/docs/documents/a%2Fb").ok();
    assert_eq!(found["fields"]["text"], "text of a/b");
    // Lines; one in place of another, one new, one twice.
    let lines = [document("a", "bird"), document("c", "bird"), document("c", "dog")];
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let reply = server.send("POST", "/docs/documents?ack=sealed", &[LINES], &lines.join("\n")).ok();
    assert_eq!((&reply["accepted"], &reply["replaced"]), (&json!(3), &json!(1)), "{reply}");
    assert_eq!(server.search("docs", "bird"), ["a"]);
    assert_eq!(server.search("docs", "dog"), ["c", "a/b"]);
    assert_eq!(server.count("docs"), 4);
    let generation = reply["index"]["generation"].as_u64().unwrap();
    let gone = server.send("DELETE", "/docs/documents/a%2Fb", &[], "").ok();
    assert_eq!((&gone["deleted"], &gone["unknown"]), (&json!(1), &json!([])));
    assert!(gone["index"]["generation"].as_u64().unwrap() > generation);
    server.get("/docs/documents/a%2Fb").error(404, "document_not_found");
    server.send("DELETE", "/docs/documents/a%2Fb", &[], "").error(404, "document_not_found");
    let ids = r#"{"ids": ["a", "no", "c"]}"#;
    let gone = server.send("POST", "/docs/documents/delete", &[JSON], ids).ok();
    assert_eq!((&gone["deleted"], &gone["unknown"]), (&json!(2), &json!(["no"])));
    assert_eq!(server.count("docs"), 1);
    // A document may have the name of an action.
    server.put("docs", "", &json!([document("delete", "dog")]).to_string());
    server.get("/docs/documents/delete").ok();
    server.send("DELETE", "/docs/documents/delete", &[], "").ok();
    // Nothing is something that can be put.
    assert_eq!(server.put("docs", "", "[]")["accepted"], 0);
    assert_eq!(server.send("POST", "/docs/documents", &[LINES], "").ok()["accepted"], 0);
}

#[test]
fn changes_are_numbered_and_waited_for() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    let one = json!([document("a", "dog")]).to_string();
    for (number, ack) in (1..).zip(["?ack=received", "?ack=synced", "?ack=sealed", ""]) {
        assert_eq!(server.put("docs", ack, &one)["seq"], number, "{ack}");
    }
    // What changes nothing has no number of its own.
    assert_eq!(server.put("docs", "", "[]")["seq"], 4);
    let gone = |id: &str| {
        let body = json!({"ids": [id]}).to_string();
        server.send("POST", "/docs/documents/delete?ack=received", &[JSON], &body).ok()
    };
    assert_eq!(gone("no")["seq"], 4);
    assert_eq!(gone("a")["seq"], 5);
    let text = get(server.address, "/metrics").text();
    assert!(text.contains(r#"quarry_change{collection="docs"} 5"#), "{text}");
    let search = |least: u64| {
        let query = json!({"tokens": {"dog": 1}});
        let body = json!({"query": {"sparse": query}, "min_seq": least, "timeout_ms": 200});
        server.send("POST", "/docs/search", &[JSON], &body.to_string())
    };
    assert_eq!(search(5).ok()["hits"], json!([]));
    let error = search(6).error(504, "timeout");
    assert_eq!(error["param"], "min_seq", "{error}");
    // Another client waits for a change that is not made yet.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let query = json!({"tokens": {"cat": 1}});
            let body = json!({"query": {"sparse": query}, "min_seq": 6, "timeout_ms": 60_000});
            server.send("POST", "/docs/search", &[JSON], &body.to_string()).ok()
        });
        server.put("docs", "", &json!([document("b", "cat")]).to_string());
        assert_eq!(waiting.join().unwrap()["hits"][0]["id"], "b");
    });
    let only = crate::server::Server::start();
    let body = r#"{"query":{"sparse":{"tokens":{"dog":1}}},"min_seq":1}"#;
    let error = only.post(body).error(422, "not_supported");
    assert_eq!(error["param"], "min_seq", "{error}");
}

#[test]
fn copies_go_their_own_way() {
    let data = tempfile::tempdir().unwrap();
    let mut server = start(data.path());
    server.make("docs");
    server.put("docs", "", &json!([document("a", "dog"), document("b", "dog")]).to_string());
    let copy = r#"{"from": "docs"}"#;
    assert_eq!(server.send("PUT", "/saved", &[JSON], copy).status, 201);
    server.put("docs", "", &json!([document("a", "cat"), document("c", "dog")]).to_string());
    server.send("DELETE", "/saved/documents/b", &[], "").ok();
    assert_eq!(server.search("docs", "dog"), ["c", "b"]);
    assert_eq!(server.search("saved", "dog"), ["a"]);
    let put = |path: &str, body: &str| server.send("PUT", path, &[JSON], body);
    put("/saved", copy).error(409, "collection_exists");
    put("/more", r#"{"from": "no"}"#).error(404, "collection_not_found");
    let error = put("/more", r#"{"from": "docs", "model": null}"#).error(400, "invalid_value");
    assert_eq!(error["param"], "from");
    put("/more", r#"{"from": "../docs"}"#).error(400, "invalid_value");
    // The original goes; the copy stays, also over a start.
    server.send("DELETE", "/docs", &[], "").ok();
    server.stop();
    let server = start(data.path());
    assert_eq!(server.search("saved", "dog"), ["a"]);
    server.put("saved", "", &json!([document("d", "dog")]).to_string());
    assert_eq!(server.search("saved", "dog"), ["d", "a"]);
}

#[test]
fn modes() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    let body = json!([document("a", "dog"), document("b", "dog"), document("a", "cat")]);
    let answer = server.put("docs", "?mode=insert", &body.to_string());
    let rejected = |answer: &Value| {
        let all = answer["rejected"].as_array().unwrap().iter();
        all.map(|r| format!("{} {} {}", r["line"], r["id"], r["error"]["code"])).collect::<Vec<_>>()
    };
    assert_eq!(answer["accepted"], 2);
    assert_eq!(rejected(&answer), [r#"3 "a" "document_exists""#]);
    let body = json!([document("a", "cat"), document("c", "cat")]).to_string();
    let answer = server.put("docs", "?mode=insert", &body);
    assert_eq!(
        (&answer["accepted"], rejected(&answer)),
        (&json!(1), vec![r#"1 "a" "document_exists""#.into()])
    );
    let body = json!([document("a", "cat"), document("d", "cat")]).to_string();
    let answer = server.put("docs", "?mode=update", &body);
    assert_eq!(answer["accepted"], 1);
    assert_eq!(rejected(&answer), [r#"2 "d" "document_not_found""#]);
    assert_eq!(server.search("docs", "cat"), ["c", "a"]);
    for (query, status, code, param) in [
        ("mode=replace", 400, "invalid_value", "mode"),
        ("mode=insert&mode=insert", 400, "invalid_value", "mode"),
        ("ack=x", 400, "invalid_value", "ack"),
        ("wait=true", 400, "unknown_field", "wait"),
    ] {
        let path = format!("/docs/documents?{query}");
        let error = server.send("POST", &path, &[JSON], "[]").error(status, code);
        assert_eq!(error["param"], param, "{query}");
    }
}

#[test]
fn bad_documents_are_named_and_the_rest_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config();
    config.document_bytes = 200.try_into().unwrap();
    config.write_bytes = 4096.try_into().unwrap();
    let server = with(data.path(), config);
    server.make("docs");
    let long = "x".repeat(200);
    let lines = [
        r#"{"id": "a", "text": "t", "vector": {"dog": 1}, "year": 1998}"#,
        "{",
        r#"{"text": "t", "vector": {"dog": 1}}"#,
        r#"{"id": "b", "text": "t"}"#,
        r#"{"id": "c", "vector": {"indices": [1], "values": [1]}}"#,
        r#"{"id": "d", "vector": {"dog": 1}, "year": "soon"}"#,
        r#"{"id": "e", "vector": {"dog": -1}}"#,
        &format!(r#"{{"id": "f", "text": "{long}", "vector": {{"dog": 1}}}}"#),
        r#"{"id": "g", "vector": {"dog": 1}, "kind": "x", "year": "1999"}"#,
        r#"{"id": "h", "vector": {"dog": 1}, "kind": 7}"#,
        "",
        r#"{"id": "i", "vector": {"cat": 1}, "sv": {"salt": 1, "sea": 2.5}}"#,
    ];
    let answer = server.send("POST", "/docs/documents", &[LINES], &lines.join("\n")).ok();
    assert_eq!(answer["accepted"], 2, "{answer}");
    let found: Vec<String> = answer["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| format!("{} {} {}", r["line"], r["id"], r["error"]["code"].as_str().unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            "2 null invalid_document",
            "3 null invalid_document",
            "4 \"b\" invalid_document",
            "5 \"c\" invalid_document",
            "6 \"d\" invalid_document",
            "7 \"e\" invalid_document",
            "8 null document_too_large",
            "10 \"h\" invalid_document",
            "12 \"i\" invalid_document",
        ]
    );
    let message = answer["rejected"][7]["error"]["message"].as_str().unwrap();
    assert!(message.contains("kind") && !message.contains("--"), "{message}");
    let mut found = server.search("docs", "dog");
    found.sort();
    assert_eq!(found, ["a", "g"]);
    let filtered = json!({"query": {"sparse": {"tokens": {"dog": 1}}}, "filter": "year:1999"});
    let filtered = server.send("POST", "/docs/search", &[JSON], &filtered.to_string()).ok();
    assert_eq!(filtered["hits"][0]["id"], "g");
    // The next request is not judged by what was rejected.
    let answer = server.put("docs", "", r#"[{"id": "j", "vector": {"dog": 1}, "kind": "y"}]"#);
    assert_eq!(answer["accepted"], 1, "{answer}");
    for (headers, body, status, code) in [
        (JSON, "{}", 400, "invalid_value"),
        (JSON, "[{}", 400, "invalid_json"),
        (("Content-Type", "text/plain"), "[]", 415, "unsupported_media_type"),
        (LINES, &*" ".repeat(5000), 413, "body_too_large"),
    ] {
        server.send("POST", "/docs/documents", &[headers], body).error(status, code);
    }
    server.send("POST", "/none/documents", &[JSON], "[]").error(404, "collection_not_found");
    for body in [r#"{"ids": []}"#, r#"{"ids": [7]}"#, r#"{"filter": "x"}"#, "{}"] {
        let reply = server.send("POST", "/docs/documents/delete", &[JSON], body);
        assert_eq!(reply.status, 400, "{body}");
    }
    server.send("POST", "/docs/documents/x", &[JSON], "{}").error(405, "method_not_allowed");
}

#[test]
fn many_writers_and_bounded_segments() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path());
    server.make("docs");
    scope(|scope| {
        for writer in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for at in 0..15 {
                    let id = format!("w{writer}-{at}");
                    let body = json!([document(&id, "dog")]).to_string();
                    assert_eq!(server.put("docs", "", &body)["accepted"], 1);
                    assert!(server.search("docs", "dog").contains(&id), "{id}");
                }
            });
        }
    });
    assert_eq!(server.count("docs"), 60);
    assert_eq!(server.search("docs", "dog").len(), 60);
    let segments = |server: &Served| {
        let text = get(server.address, "/metrics").text();
        let line = r#"quarry_segments{collection="docs"} "#;
        text.lines().find_map(|l| l.strip_prefix(line)?.parse::<u64>().ok()).unwrap()
    };
    while segments(&server) > 8 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn too_many_writes_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config();
    config.writes = 1.try_into().unwrap();
    let server = with(data.path(), config);
    server.make("docs");
    let body = json!([document("a", "dog")]).to_string();
    let replies: Vec<Reply> = scope(|scope| {
        let send = || server.send("POST", "/docs/documents", &[JSON], &body);
        let all: Vec<_> = (0..12).map(|_| scope.spawn(send)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(replies.iter().any(|reply| reply.status == 200));
    let refused: Vec<&Reply> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert!(!refused.is_empty());
    for reply in refused {
        reply.error(429, "ingest_overloaded");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
}

#[test]
fn a_single_index_is_read_only() {
    let server = crate::server::Server::start();
    for (method, path) in [
        ("PUT", "/v1/collections/new"),
        ("DELETE", "/v1/collections/c"),
        ("POST", "/v1/collections/c/documents"),
        ("DELETE", "/v1/collections/c/documents/d1"),
        ("PUT", "/v1/collections/c/documents/d1"),
        ("PATCH", "/v1/collections/c/documents/d1"),
        ("POST", "/v1/collections/c/documents/delete"),
        ("POST", "/v1/collections/c/documents/patch"),
    ] {
        let error = server.send(method, path, &[JSON], "[]").error(405, "method_not_allowed");
        assert!(error["hint"].as_str().unwrap().contains("--data"), "{method} {path}");
    }
}

/// What a server that was killed left is removed, and nothing else.
#[test]
fn leftovers_are_removed_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let mut server = start(data.path());
    server.make("docs");
    server.stop();
    let own = data.path().join(".quarry");
    let id = "0123456789abcdef0123456789abcdef";
    for name in [format!("new-{id}"), format!("gone-{id}"), "new-x".to_owned()] {
        std::fs::create_dir(own.join(&name)).unwrap();
        std::fs::write(own.join(&name).join("LOCK"), "").unwrap();
    }
    let server = start(data.path());
    assert_eq!(server.count("docs"), 0);
    assert!(!own.join(format!("new-{id}")).exists() && !own.join(format!("gone-{id}")).exists());
    assert!(own.join("new-x").exists());
    // A second server is refused, with the address of the first.
    let options = StoreOptions { address: "http://second".into(), open: OpenOptions::default() };
    assert!(Store::open(data.path(), options).is_err());
    // A folder with a `.quarry` of someone else is left alone.
    let foreign = tempfile::tempdir().unwrap();
    std::fs::create_dir(foreign.path().join(".quarry")).unwrap();
    std::fs::write(foreign.path().join(".quarry/mine"), "").unwrap();
    let options = StoreOptions { address: "http://x".into(), open: OpenOptions::default() };
    assert!(Store::open(foreign.path(), options).is_err());
}
