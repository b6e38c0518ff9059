//! Keys of a file: scopes, collections, filters, rates, and their routes.

use quarry_server::keys::{KeyFile, KeyRequest, NewKey, Scope};
use serde_json::{Value, json};

use crate::index::ALL;
use crate::server::{Reply, SEARCH, Server, config};

const DOG: &str = r#"{"query":{"text":"dog sleep"}}"#;

struct Keyed {
    server: Server,
    admin: String,
    _folder: tempfile::TempDir,
    file: KeyFile,
}

impl Keyed {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("keys.json"));
        let admin = NewKey::make(KeyRequest {
            name: "first".into(),
            scopes: vec![Scope::Admin],
            collections: vec!["*".into()],
            filter: None,
            expires_at: None,
            rate: None,
        })
        .unwrap();
        file.add(&admin).unwrap();
        let mut config = config();
        config.keys = Some(file.clone());
        let server = Server::with(config, ALL, true);
        Self { server, admin: admin.key, _folder: folder, file }
    }

    fn ask(&self, key: &str, method: &str, path: &str, body: &str) -> Reply {
        let headers = [("Content-Type", "application/json"), ("X-API-Key", key)];
        self.server.send(method, path, &headers, body)
    }

    /// Makes a key over HTTP.
    fn key(&self, wanted: &Value) -> Value {
        let reply = self.ask(&self.admin, "POST", "/v1/keys", &wanted.to_string());
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()
    }
}

fn ids(reply: &Reply) -> Vec<String> {
    let hits = reply.ok()["hits"].as_array().unwrap().clone();
    hits.iter().map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn keys_do_what_their_scopes_say() {
    let keyed = Keyed::start();
    let search = keyed.key(&json!({"name": "web", "scopes": ["search"]}));
    let metrics = keyed.key(&json!({"scopes": ["metrics"]}));
    let write = keyed.key(&json!({"scopes": ["write"], "collections": ["c*"]}));
    let text = |key: &Value| key["key"].as_str().unwrap().to_owned();
    let (search, metrics, write) = (text(&search), text(&metrics), text(&write));
    let one = "/v1/collections/c";
    for (key, method, path, body, status) in [
        (&search, "POST", SEARCH, DOG, 200),
        (&search, "GET", "/v1/collections/c/search?q=dog", "", 200),
        (&search, "GET", "/v1/collections/c/documents/d1", "", 200),
        (&search, "GET", "/v1/collections", "", 200),
        (&search, "GET", "/openapi.json", "", 200),
        (&search, "GET", "/nowhere", "", 404),
        (&search, "GET", "/metrics", "", 403),
        (&search, "GET", "/v1/keys", "", 403),
        (&search, "POST", "/v1/keys", "{}", 403),
        (&search, "POST", "/v1/collections/c/documents", "[]", 403),
        (&search, "DELETE", one, "", 403),
        (&metrics, "GET", "/metrics", "", 200),
        (&metrics, "POST", SEARCH, DOG, 403),
        // The server only reads, which is said to those who may know.
        (&write, "POST", "/v1/collections/c/documents", "[]", 405),
        (&write, "DELETE", "/v1/collections/c/documents/d1", "", 405),
        (&write, "POST", "/v1/collections/d/documents", "[]", 403),
        (&write, "DELETE", one, "", 403),
        (&write, "POST", SEARCH, DOG, 403),
        (&keyed.admin, "DELETE", one, "", 405),
        (&keyed.admin, "GET", "/metrics", "", 200),
    ] {
        let reply = keyed.ask(key, method, path, body);
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
    }
    for wrong in ["", "qk_", &search[..search.len() - 1], &format!("{search}0")] {
        let reply = keyed.ask(wrong, "POST", SEARCH, DOG);
        reply.error(401, "unauthorized");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    keyed.server.get(SEARCH).error(401, "unauthorized");
    assert_eq!(keyed.server.get("/readyz").status, 200);
}

/// Whatever a key is not for, it cannot tell whether it is there.
#[test]
fn refusals_tell_nothing() {
    let keyed = Keyed::start();
    let made = keyed.key(&json!({"scopes": ["search"], "collections": ["docs-*"]}));
    let key = made["key"].as_str().unwrap();
    for path in ["search?q=dog", "documents/d1", "documents/none"] {
        let there = keyed.ask(key, "GET", &format!("/v1/collections/c/{path}"), "");
        let absent = keyed.ask(key, "GET", &format!("/v1/collections/nope/{path}"), "");
        assert_eq!(there.error(403, "forbidden"), absent.error(403, "forbidden"));
        // However the name is written.
        keyed.ask(key, "GET", &format!("/v1/collections/%63/{path}"), "").error(403, "forbidden");
        keyed.ask(key, "GET", &format!("/v1/collections/%ff/{path}"), "").error(403, "forbidden");
    }
    assert_eq!(keyed.ask(key, "GET", "/v1/collections", "").ok(), json!({"collections": []}));
    keyed.ask(key, "GET", "/v1/collections/docs-1", "").error(404, "collection_not_found");
}

/// The filter of a key holds for every search and document, whatever else is asked for.
#[test]
fn a_key_sees_only_what_its_filter_allows() {
    let keyed = Keyed::start();
    let made = keyed.key(&json!({"scopes": ["search"], "filter": "lang:en"}));
    let key = made["key"].as_str().unwrap();
    assert_eq!(ids(&keyed.ask(&keyed.admin, "POST", SEARCH, DOG)).len(), 3);
    assert_eq!(ids(&keyed.ask(key, "POST", SEARCH, DOG)), ["d1"]);
    // Nor the names of fields that others' documents may have.
    let unknown = keyed.ask(key, "GET", &format!("{SEARCH}?q=dog&filter=nope:1"), "");
    let error = unknown.error(400, "invalid_value");
    assert!(!error["message"].as_str().unwrap().contains("there are"), "{error}");
    for (channel, query) in [("bm25", "sleep"), ("sparse,bm25", "sleep"), ("sparse", "cat")] {
        let path = format!("{SEARCH}?q={query}&channels={channel}&fusion=rrf");
        let path = if channel.contains(',') { path } else { path.replace("&fusion=rrf", "") };
        let found = ids(&keyed.ask(key, "GET", &path, ""));
        assert!(found.iter().all(|id| id == "d1"), "{channel}: {found:?}");
    }
    let filtered = |filter: &str| {
        let body = json!({"query": {"text": "dog cat sleep"}, "filter": filter});
        keyed.ask(key, "POST", SEARCH, &body.to_string())
    };
    assert_eq!(ids(&filtered("lang:de")), [""; 0]);
    assert_eq!(ids(&filtered("lang:en OR lang:de")), ["d1"]);
    assert_eq!(ids(&filtered("NOT lang:de")), ["d1"]);
    // Nothing that the request says reaches beyond its own filter.
    for injected in ["lang:de) OR (lang:de", "lang:de\") OR (\"lang:de", "* OR lang:de"] {
        let reply = filtered(injected);
        assert!(reply.status == 400 || ids(&reply).iter().all(|id| id == "d1"), "{injected}");
    }
    let fed = json!({"query": {"text": "dog"}, "feedback": {"condition": "after"}});
    assert_eq!(ids(&keyed.ask(key, "POST", SEARCH, &fed.to_string())), ["d1"]);
    let document =
        |id: &str| keyed.ask(key, "GET", &format!("/v1/collections/c/documents/{id}"), "");
    assert_eq!(document("d1").status, 200);
    let hidden = document("d2").error(404, "document_not_found");
    let absent = document("d9").error(404, "document_not_found");
    let plain = |error: &Value, id: &str| error.to_string().replace(id, "ID");
    assert_eq!(plain(&hidden, "d2"), plain(&absent, "d9"));
    let many = |body: &Value| {
        let path = "/v1/collections/c/documents/get";
        keyed.ask(key, "POST", path, &body.to_string()).ok()
    };
    let got = |found: &Value| found["documents"].as_array().unwrap().len();
    let found = many(&json!({"ids": ["d1", "d2", "d9"]}));
    assert_eq!((got(&found), &found["unknown"]), (1, &json!(["d2", "d9"])));
    for filter in ["*", "lang:en OR lang:de", "NOT lang:fr"] {
        let found = many(&json!({"filter": filter}));
        assert_eq!((got(&found), &found["matched"]), (1, &json!(1)), "{filter}");
    }
    assert_eq!(got(&many(&json!({"filter": "lang:de"}))), 0);
    let delete = keyed.ask(key, "POST", "/v1/collections/c/documents/delete", "{}");
    delete.error(403, "forbidden");
    // A filter that a collection cannot have finds nothing, for it is refused.
    let other = keyed.key(&json!({"scopes": ["search"], "filter": "tenant:a"}));
    let other = other["key"].as_str().unwrap();
    assert_eq!(keyed.ask(other, "POST", SEARCH, DOG).status, 400);
    assert_eq!(keyed.ask(other, "GET", "/v1/collections/c/documents/d1", "").status, 400);
}

/// Metrics are of every collection.
#[test]
fn a_key_that_could_do_nothing_is_not_made() {
    let keyed = Keyed::start();
    for scopes in [json!(["metrics"]), json!(["search", "metrics"])] {
        let body = json!({"scopes": scopes, "collections": ["c"]}).to_string();
        let reply = keyed.ask(&keyed.admin, "POST", "/v1/keys", &body);
        assert_eq!(reply.error(400, "invalid_value")["param"], "collections");
    }
    keyed.key(&json!({"scopes": ["search", "metrics"], "collections": ["c", "*"]}));
}

#[test]
fn keys_are_made_listed_and_removed() {
    let keyed = Keyed::start();
    let made = keyed.key(&json!({
        "name": "a tenant", "scopes": ["search"], "collections": ["c"], "filter": "lang:en",
        "expires_at": "9000-01-31", "rate": 1000
    }));
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert_eq!(made["expires_at"], "9000-01-31T00:00:00Z");
    let listed = keyed.ask(&keyed.admin, "GET", "/v1/keys", "").ok();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 2);
    assert_eq!(listed["keys"][1]["id"], id);
    assert_eq!(listed["keys"][1]["rate"], 1000);
    assert!(!listed.to_string().contains(key) && !listed.to_string().contains("hash"));
    assert_eq!(keyed.ask(key, "POST", SEARCH, DOG).status, 200);
    let removed = keyed.ask(&keyed.admin, "DELETE", &format!("/v1/keys/{id}"), "").ok();
    assert_eq!(removed, json!({"removed": id}));
    keyed.ask(key, "POST", SEARCH, DOG).error(401, "unauthorized");
    let again = keyed.ask(&keyed.admin, "DELETE", &format!("/v1/keys/{id}"), "");
    again.error(404, "key_not_found");
    for (body, param) in [
        (json!({}), "scopes"),
        (json!({"scopes": ["fly"]}), "scopes[0]"),
        (json!({"scopes": []}), "scopes"),
        (json!({"scopes": ["search"], "collections": ["a/b"]}), "collections"),
        (json!({"scopes": ["write"], "filter": "lang:en"}), "filter"),
        (json!({"scopes": ["search"], "filter": "lang:("}), "filter"),
        (json!({"scopes": ["search"], "expires_at": "soon"}), "expires_at"),
        (json!({"scopes": ["search"], "expires_at": "1999-01-01"}), "expires_at"),
        (json!({"scopes": ["search"], "rate": 0}), "rate"),
    ] {
        let reply = keyed.ask(&keyed.admin, "POST", "/v1/keys", &body.to_string());
        assert_eq!(reply.error(400, "invalid_value")["param"], param, "{body}");
    }
    assert_eq!(keyed.file.read().unwrap().len(), 1, "what was refused is not kept");
    // An admin of some collections manages no keys.
    let some = keyed.key(&json!({"scopes": ["admin"], "collections": ["c"]}));
    keyed.ask(some["key"].as_str().unwrap(), "GET", "/v1/keys", "").error(403, "forbidden");
}

#[test]
fn a_key_asks_as_often_as_it_may() {
    let keyed = Keyed::start();
    let made = keyed.key(&json!({"scopes": ["search"], "rate": 3}));
    let key = made["key"].as_str().unwrap();
    let mut replies: Vec<Reply> = (0..30).map(|_| keyed.ask(key, "POST", SEARCH, DOG)).collect();
    assert!(replies.iter().filter(|reply| reply.status == 200).count() >= 3);
    replies.retain(|reply| reply.status != 200);
    let refused = replies.first().unwrap();
    refused.error(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(keyed.ask(&keyed.admin, "POST", SEARCH, DOG).status, 200);
}

/// Keys that another process adds or removes hold without a restart; a file that is broken changes nothing.
#[test]
fn the_file_is_followed() {
    let keyed = Keyed::start();
    let request = KeyRequest {
        name: String::new(),
        scopes: vec![Scope::Search],
        collections: vec!["*".into()],
        filter: None,
        expires_at: None,
        rate: None,
    };
    let made = NewKey::make(request).unwrap();
    assert_eq!(keyed.ask(&made.key, "POST", SEARCH, DOG).status, 401);
    let until = |status: u16| {
        while keyed.ask(&made.key, "POST", SEARCH, DOG).status != status {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    keyed.file.add(&made).unwrap();
    until(200);
    keyed.file.remove(&made.record.id).unwrap();
    until(401);
}

#[test]
fn the_single_key_goes_on_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::new(folder.path().join("keys.json"));
    let mut config = config();
    config.keys = Some(file.clone());
    config.key = Some(quarry_server::Key::new("secret"));
    std::fs::write(file.path(), r#"{"keys": []}"#).unwrap();
    let server = Server::with(config, ALL, true);
    let bearer = [("Authorization", "Bearer secret")];
    assert_eq!(server.send("GET", "/metrics", &bearer, "").status, 200);
    assert_eq!(server.send("GET", "/v1/keys", &bearer, "").ok(), json!({"keys": []}));
    server
        .send("GET", "/metrics", &[("Authorization", "Bearer secre")], "")
        .error(401, "unauthorized");
}

/// Without a file there is nothing to manage.
#[test]
fn without_a_file() {
    let server = Server::start();
    server.get("/v1/keys").error(422, "not_supported");
}
