//! Bodies with documents: compressed ones, and those of which nothing is taken.

use std::io::Write;

use quarry_server::Key;
use quarry_server::keys::{KeyFile, KeyRequest, NewKey, Scope};
use serde_json::json;

use crate::collections::{config, start, with};
use crate::server::exchange;

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn packed(encoding: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1/collections/docs/documents HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[test]
fn documents_may_be_compressed_and_bombs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut small = config();
    small.write_bytes = std::num::NonZeroUsize::new(1 << 20).unwrap();
    let server = with(folder.path(), small);
    server.make("docs");
    let body = br#"[{"id": "a", "vector": {"dog": 1}}]"#;
    for (encoding, bytes) in
        [("gzip", gzip(body)), ("zstd", zstd::encode_all(&body[..], 3).unwrap())]
    {
        let answer = exchange(server.address, &packed(encoding, &bytes)).ok();
        assert_eq!(answer["accepted"], 1, "{encoding}");
    }
    // Several members one after another are one body, as they are one file; what follows them is not passed over.
    let parts =
        [&br#"[{"id": "b", "vector": {"dog": 1}},"#[..], br#"{"id": "c", "vector": {"dog": 1}}]"#];
    let zipped = [gzip(parts[0]), gzip(parts[1])].concat();
    let framed = parts.map(|part| zstd::encode_all(part, 3).unwrap()).concat();
    for (encoding, bytes) in [("gzip", &zipped), ("zstd", &framed)] {
        let answer = exchange(server.address, &packed(encoding, bytes)).ok();
        assert_eq!(answer["accepted"], 2, "{encoding}");
        let more = [&bytes[..], b"junk"].concat();
        exchange(server.address, &packed(encoding, &more)).error(400, "invalid_json");
    }
    // How a collection is made may be compressed too.
    let made = gzip(br#"{"model": null}"#);
    let head = format!(
        "PUT /v1/collections/small HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        made.len()
    );
    let reply = exchange(server.address, &[head.as_bytes(), &made].concat());
    assert_eq!(reply.status, 201, "{}", reply.text());
    let spaces = vec![b' '; 64 << 20];
    for (encoding, bytes) in
        [("gzip", gzip(&spaces)), ("zstd", zstd::encode_all(&*spaces, 3).unwrap())]
    {
        exchange(server.address, &packed(encoding, &bytes)).error(413, "body_too_large");
    }
    assert_eq!(server.put("docs", "", "[]")["accepted"], 0, "it goes on");
}

/// As the documentation says: 200, with each document and its fault, and nothing is changed.
#[test]
fn a_request_of_which_nothing_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    server.make("docs");
    let before = server.put("docs", "", r#"[{"id": "a", "vector": {"dog": 1}}]"#);
    let body = r#"[{"id": "b"}, {"vector": {"dog": 1}}, 7, {"id": "c", "vector": {"dog": 1}, "year": "x"}]"#;
    let answer = server.put("docs", "", body);
    assert_eq!((&answer["accepted"], &answer["replaced"]), (&json!(0), &json!(0)));
    let rejected = answer["rejected"].as_array().unwrap();
    let lines: Vec<&serde_json::Value> = rejected.iter().map(|one| &one["line"]).collect();
    assert_eq!(lines, [1, 2, 3, 4]);
    assert!(rejected.iter().all(|one| one["error"]["code"] == "invalid_document"), "{answer}");
    assert_eq!(answer["index"], before["index"], "no generation is made of nothing");
    let described = server.send("GET", "/docs", &[], "").ok();
    assert_eq!(described["documents"], 1);
}

/// Writes and collections by keys of their own.
#[test]
fn keys_write_where_they_may() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::new(folder.path().join("keys.json"));
    let key = |scope, collection: &str| {
        let made = NewKey::make(KeyRequest {
            name: String::new(),
            scopes: vec![scope],
            collections: vec![collection.into()],
            filter: None,
            expires_at: None,
            rate: None,
        });
        let made = made.unwrap();
        file.add(&made).unwrap();
        made.key
    };
    let (write, admin) = (key(Scope::Write, "docs"), key(Scope::Admin, "docs*"));
    let mut keyed = config();
    keyed.keys = Some(file.clone());
    keyed.key = Some(Key::new("owner"));
    let server = with(&folder.path().join("data"), keyed);
    let send = |key: &str, method: &str, path: &str, body: &str| {
        server.send(method, path, &[JSON, ("X-API-Key", key)], body)
    };
    let made = r#"{"model": null}"#;
    send(&write, "PUT", "/docs", made).error(403, "forbidden");
    send(&admin, "PUT", "/other", made).error(403, "forbidden");
    for name in ["/docs", "/docs-2"] {
        assert_eq!(send(&admin, "PUT", name, made).status, 201);
    }
    let documents = r#"[{"id": "a", "vector": {"dog": 1}}, {"id": "b", "vector": {"dog": 2}}]"#;
    assert_eq!(send(&write, "POST", "/docs/documents", documents).ok()["accepted"], 2);
    send(&write, "POST", "/docs-2/documents", documents).error(403, "forbidden");
    assert_eq!(send(&write, "DELETE", "/docs/documents/a", "").status, 200);
    let ids = r#"{"ids": ["b"]}"#;
    assert_eq!(send(&write, "POST", "/docs/documents/delete", ids).ok()["deleted"], 1);
    send(&write, "GET", "/docs/documents/b", "").error(403, "forbidden");
    send(&write, "DELETE", "/docs", "").error(403, "forbidden");
    // A copy is of what the key reaches as well, whether it is there or not.
    assert_eq!(send("owner", "PUT", "/secret", made).status, 201);
    for from in ["secret", "none"] {
        let copy = format!(r#"{{"from": "{from}"}}"#);
        send(&admin, "PUT", "/docs-3", &copy).error(403, "forbidden");
    }
    assert_eq!(send(&admin, "PUT", "/docs-3", r#"{"from": "docs"}"#).status, 201);
    assert_eq!(send("owner", "DELETE", "/docs", "").status, 200);
}
