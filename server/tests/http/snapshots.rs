//! Snapshots: made, listed, given out as archives, and taken in again.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::collections::{JSON, Served, document, start};
use crate::server::{Reply, get, read};

const TAR: (&str, &str) = ("Content-Type", "application/x-tar");

/// Sends bytes.
fn upload(server: &Served, name: &str, bytes: &[u8], length: usize) -> Reply {
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head = format!(
        "PUT /v1/collections/{name} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{}: {}\r\nContent-Length: {length}\r\n\r\n",
        TAR.0, TAR.1
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The answer may come before the end.
    let _ = stream.write_all(bytes);
    if bytes.len() < length {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
    read(&mut stream)
}

fn archive(server: &Served, collection: &str, snapshot: &str) -> Vec<u8> {
    let reply = server.get(&format!("/{collection}/snapshots/{snapshot}"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/x-tar"));
    assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
    reply.body
}

fn made(reply: &Reply) -> Value {
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()
}

/// A server with a collection of two documents, and a snapshot of it.
fn with_snapshot(data: &std::path::Path) -> Served {
    let server = start(data);
    server.make("docs");
    server.put("docs", "", &json!([document("a", "dog"), document("b", "dog")]).to_string());
    let first = server.send("POST", "/docs/snapshots", &[JSON], r#"{"name": "first"}"#);
    let first = made(&first);
    assert_eq!((&first["seq"], &first["documents"]), (&json!(1), &json!(2)), "{first}");
    server
}

#[test]
fn snapshots_are_kept_and_restored() {
    let data = tempfile::tempdir().unwrap();
    let mut server = with_snapshot(data.path());
    server.put("docs", "", &json!([document("a", "cat"), document("c", "dog")]).to_string());
    // Without a name it has the time.
    let second = made(&server.send("POST", "/docs/snapshots", &[], ""));
    let third = made(&server.send("POST", "/docs/snapshots", &[], ""));
    assert_ne!(second["name"], third["name"]);
    let names = |server: &Served| {
        let all = server.get("/docs/snapshots").ok()["snapshots"].clone();
        let all = all.as_array().unwrap().clone();
        all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&server).len(), 3);
    let again = server.send("POST", "/docs/snapshots", &[JSON], r#"{"name": "first"}"#);
    again.error(409, "snapshot_exists");
    server
        .send("POST", "/docs/snapshots", &[JSON], r#"{"name": "../x"}"#)
        .error(400, "invalid_value");
    server.send("POST", "/none/snapshots", &[], "").error(404, "collection_not_found");
    server.get("/none/snapshots").error(404, "collection_not_found");
    server.get("/docs/snapshots/none").error(404, "snapshot_not_found");
    // It stays when its collection goes, and over a start.
    let tar = archive(&server, "docs", "first");
    server.send("DELETE", "/docs", &[], "").ok();
    server.stop();
    let mut server = start(data.path());
    assert_eq!(names(&server).len(), 3);
    assert_eq!(archive(&server, "docs", "first"), tar);
    let body = r#"{"snapshot": {"collection": "docs", "name": "first"}}"#;
    assert_eq!(made(&server.send("PUT", "/back", &[JSON], body))["documents"], 2);
    server.send("PUT", "/back", &[JSON], body).error(409, "collection_exists");
    assert_eq!(server.search("back", "dog"), ["b", "a"]);
    for (body, param) in [
        (r#"{"snapshot": {"collection": "docs", "name": "first"}, "model": null}"#, "snapshot"),
        (r#"{"snapshot": {"collection": "docs", "name": "first"}, "from": "back"}"#, "from"),
        (r#"{"snapshot": {"collection": "../docs", "name": "first"}}"#, "snapshot.collection"),
        (r#"{"snapshot": {"collection": "docs", "name": "a/b"}}"#, "snapshot.name"),
    ] {
        let error = server.send("PUT", "/more", &[JSON], body).error(400, "invalid_value");
        assert_eq!(error["param"], param, "{body}");
    }
    let none = r#"{"snapshot": {"collection": "docs", "name": "none"}}"#;
    server.send("PUT", "/more", &[JSON], none).error(404, "snapshot_not_found");
    // What is restored is a collection like others: changes of it leave the snapshot as it is.
    let seq = server.put("back", "", &json!([document("d", "dog")]).to_string())["seq"].clone();
    assert_eq!(seq, 2);
    server.send("DELETE", "/back/documents/a", &[], "").ok();
    assert_eq!(made(&server.send("PUT", "/again", &[JSON], body))["documents"], 2);
    for name in names(&server) {
        let path = format!("/docs/snapshots/{name}");
        assert_eq!(server.send("DELETE", &path, &[], "").ok(), json!({"removed": name}));
        server.send("DELETE", &path, &[], "").error(404, "snapshot_not_found");
    }
    server.get("/docs/snapshots").error(404, "collection_not_found");
    server.stop();
    let server = start(data.path());
    assert_eq!(server.search("back", "dog"), ["d", "b"]);
    assert_eq!(server.search("again", "dog"), ["b", "a"]);
}

#[test]
fn an_archive_makes_a_collection_elsewhere() {
    let here = tempfile::tempdir().unwrap();
    let there = tempfile::tempdir().unwrap();
    let server = with_snapshot(here.path());
    let tar = archive(&server, "docs", "first");
    // Other programs can read it: `sha256sum -c` agrees.
    let folder = here.path().join("unpacked");
    let mut unpacked = tar::Archive::new(&tar[..]);
    unpacked.unpack(&folder).unwrap();
    if let Ok(checked) = std::process::Command::new("sha256sum")
        .args(["--quiet", "-c", "SHA256SUMS"])
        .current_dir(&folder)
        .status()
    {
        assert!(checked.success());
    }
    fs::remove_dir_all(&folder).unwrap();
    let other = start(there.path());
    let described = made(&upload(&other, "back", &tar, tar.len()));
    assert_eq!((&described["documents"], &described["name"]), (&json!(2), &json!("back")));
    assert_eq!(other.search("back", "dog"), ["b", "a"]);
    assert_eq!(other.put("back", "", &json!([document("c", "dog")]).to_string())["seq"], 2);
    upload(&other, "back", &tar, tar.len()).error(409, "collection_exists");
    // What is cut or damaged leaves nothing.
    for spoilt in [&tar[..0], &tar[..100], &tar[..tar.len() / 2], &tar[..tar.len() - 2048]] {
        upload(&other, "more", spoilt, spoilt.len()).error(422, "invalid_archive");
    }
    upload(&other, "more", &tar[..tar.len() / 2], tar.len());
    let mut spoilt = tar.clone();
    // Of a file, not of what fills its last block.
    let is_forward = |block: &[u8]| {
        block[257..262] == *b"ustar" && block[..100].windows(12).any(|name| name == b"-forward.qry")
    };
    let header = tar.chunks_exact(512).position(is_forward).unwrap();
    spoilt[512 * (header + 1) + 16] ^= 1;
    let error = upload(&other, "more", &spoilt, spoilt.len()).error(422, "invalid_archive");
    assert!(error["hint"].as_str().unwrap().contains("nothing of it was kept"), "{error}");
    other.get("/more").error(404, "collection_not_found");
    let left = |data: &std::path::Path| {
        let own = fs::read_dir(data.join(".quarry")).unwrap();
        let names = own.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("new-")).count()
    };
    while left(there.path()) > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(made(&upload(&other, "more", &tar, tar.len()))["documents"], 2);
}

/// A file that is damaged is found when the archive is made, and the archive is seen to be incomplete.
#[test]
fn damage_breaks_an_archive_off() {
    let data = tempfile::tempdir().unwrap();
    let server = with_snapshot(data.path());
    let tar = archive(&server, "docs", "first");
    let folder = data.path().join(".quarry/snapshots/docs/first");
    let part = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("-forward"))
        .unwrap();
    let mut bytes = fs::read(&part).unwrap();
    bytes[40] ^= 1;
    // Another file under the name: the collection's own stays whole.
    fs::remove_file(&part).unwrap();
    fs::write(&part, &bytes).unwrap();
    let mut stream = TcpStream::connect(server.address).unwrap();
    let request =
        "GET /v1/collections/docs/snapshots/first HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.len() < tar.len(), "{} of {}", answer.len(), tar.len());
    let body = r#"{"snapshot": {"collection": "docs", "name": "first"}}"#;
    server.send("PUT", "/back", &[JSON], body).error(500, "internal");
    server.get("/back").error(404, "collection_not_found");
    assert_eq!(server.search("docs", "dog"), ["b", "a"]);
    assert_eq!(get(server.address, "/readyz").json(), json!({"status": "ready"}));
}
