//! `quarry serve --data` with little room on the disk or in memory: no documents are taken, and all else goes on.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::asking::{ask, metric, ok};
use common::served::Server;
use common::text;
use serde_json::{Value, json};

const DOCS: &str = "/v1/collections/docs";
const DOCUMENTS: &str = "/v1/collections/docs/documents";

fn ready(server: Server) -> Server {
    while ask(&server.address, "GET", "/readyz", "").is_none_or(|reply| reply.status != 200) {
        sleep(Duration::from_millis(5));
    }
    server
}

fn serve(data: &Path, more: &[&str]) -> Server {
    ready(Server::bound(&[&["--data", text(data)], more].concat()))
}

/// A document whose text does not compress.
fn document(id: usize, bytes: usize) -> Value {
    let mut state = id as u64 + 0x9e37_79b9_7f4a_7c15;
    let noise = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'A' + u8::try_from((state >> 32) % 58).unwrap())
    };
    let text: String = (0..bytes).map(noise).collect();
    let vector = json!({format!("t{}", id % 5): 1.0, "all": 0.5});
    json!({"id": format!("d{id}"), "text": text, "vector": vector})
}

fn count(server: &Server) -> u64 {
    ok(server, "GET", DOCS, &Value::Null)["documents"].as_u64().unwrap()
}

fn found(server: &Server) -> usize {
    let search = json!({"query": {"sparse": {"tokens": {"all": 1.0}}}, "k": 1000});
    ok(server, "POST", &format!("{DOCS}/search"), &search)["hits"].as_array().unwrap().len()
}

/// Below a floor documents are refused, and searches and deletions go on; no right of any kind is needed for this.
#[test]
fn below_a_floor_nothing_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = serve(&data, &["--min-free-disk", "0", "--min-free-memory", "0"]);
    ok(&server, "PUT", DOCS, &json!({"model": null}));
    let five: Vec<Value> = (0..5).map(|id| document(id, 10)).collect();
    ok(&server, "POST", DOCUMENTS, &Value::Array(five));
    assert!(metric(&server, "quarry_read_only") < 1.0);
    drop(server);
    for (option, name) in [("--min-free-disk", "disk"), ("--min-free-memory", "memory")] {
        let server = serve(&data, &[option, "8000000000GiB"]);
        for (method, path, body) in [
            ("POST", DOCUMENTS, json!([document(9, 10)])),
            ("PUT", "/v1/collections/new", json!({"model": null})),
            ("PUT", "/v1/collections/copy", json!({"from": "docs"})),
        ] {
            let refused = ask(&server.address, method, path, &body.to_string()).unwrap();
            let error = refused.json()["error"].clone();
            assert_eq!(
                (refused.status, error["code"].as_str()),
                (503, Some("read_only")),
                "{path}"
            );
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(&format!("bytes of {name} are free")), "{message}");
            assert!(error["hint"].as_str().unwrap().contains(option), "{error}");
        }
        let health = ok(&server, "GET", "/readyz", &Value::Null);
        assert_eq!(health, json!({"status": "ready", "read_only": name}));
        assert!(metric(&server, "quarry_read_only") > 0.0);
        let before = found(&server);
        let gone = before - 1;
        ok(&server, "DELETE", &format!("{DOCUMENTS}/d{gone}"), &Value::Null);
        assert_eq!(found(&server), gone);
    }
    // It ends with the floor.
    let server = serve(&data, &[]);
    ok(&server, "POST", DOCUMENTS, &json!([document(9, 10)]));
    assert_eq!(count(&server), 4);
}

/// A small file system in memory, in a mount namespace of its own.
struct Small {
    holder: Child,
    folder: PathBuf,
}

impl Small {
    /// `None` where the system does not let us.
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        let script = format!(
            "mount -t tmpfs -o size={size} none '{}' && echo there && exec sleep 1000000",
            text(folder)
        );
        let mut holder = Command::new("unshare")
            .args(["-rm", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let out = holder.stdout.take()?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).ok()?;
        if line != "there\n" {
            let _ = holder.wait();
            return None;
        }
        Some(Self { holder, folder: folder.to_owned() })
    }

    /// The file system as it is seen from outside.
    fn outside(&self) -> PathBuf {
        let inside = self.folder.strip_prefix("/").unwrap();
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(inside)
    }

    fn serve(&self, more: &[&str]) -> Server {
        let holder = self.holder.id().to_string();
        let data = self.folder.join("data");
        let enter = ["nsenter", "-t", &holder, "-U", "-m", "--preserve-credentials"];
        ready(Server::bound_by(&enter, &[&["--data", text(&data)], more].concat()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn wait_until_all_is_made(server: &Server) {
    while ok(server, "GET", "/readyz", &Value::Null) != json!({"status": "ready"}) {
        sleep(Duration::from_millis(20));
    }
}

/// Fills the disk but for less than a page.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    let full = std::io::copy(&mut std::io::repeat(1), &mut file).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
}

/// A disk that fills up below a log: nothing half, the collection opens again without room, and catches up with room.
#[test]
fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let Some(small) = Small::mount(&folder, "48m") else {
        common::note("skipped: this system lets us mount nothing");
        return;
    };
    let filler = small.outside().join("filler");
    // Making the changes of a log again takes more room than they did: this is the room that somebody makes later.
    let ballast = small.outside().join("ballast");
    std::fs::write(&ballast, vec![1u8; 24 << 20]).unwrap();
    let server = small.serve(&["--min-free-disk", "6MiB"]);
    ok(&server, "PUT", DOCS, &json!({"model": null}));
    // Until the floor: refused, with room that is left for deletions.
    let mut taken = 0;
    loop {
        let many: Vec<Value> = (taken..taken + 10).map(|id| document(id, 40_000)).collect();
        let reply =
            ask(&server.address, "POST", DOCUMENTS, &Value::Array(many).to_string()).unwrap();
        if reply.status == 503 {
            assert_eq!(reply.json()["error"]["code"], "read_only");
            break;
        }
        assert_eq!(reply.status, 200, "{}", reply.body);
        taken += 10;
    }
    assert!(taken > 0);
    ok(&server, "DELETE", &format!("{DOCUMENTS}/d0"), &Value::Null);
    assert_eq!(found(&server), taken - 1);
    drop(server);
    // Without a floor: the disk is full in the middle of a write. What is logged stays, what is not is not there.
    let server = small.serve(&["--min-free-disk", "0"]);
    let mut known = taken - 1;
    loop {
        let many: Vec<Value> = (taken..taken + 5).map(|id| document(id, 40_000)).collect();
        let reply =
            ask(&server.address, "POST", DOCUMENTS, &Value::Array(many).to_string()).unwrap();
        if reply.status != 200 {
            let code = reply.json()["error"]["code"].clone();
            assert_eq!((reply.status, code.as_str()), (507, Some("disk_full")), "{}", reply.body);
            break;
        }
        (taken, known) = (taken + 5, known + 5);
    }
    assert_eq!(found(&server), known);
    drop(server);
    std::fs::remove_file(&ballast).unwrap();
    // Something in the log and not a byte free: it opens, is searched, and takes nothing.
    let mut at = 10_000;
    let (server, logged) = loop {
        let server = small.serve(&["--min-free-disk", "0"]);
        wait_until_all_is_made(&server);
        ok(&server, "POST", DOCUMENTS, &json!([document(at, 30_000)]));
        let logged = found(&server);
        drop(server);
        fill(&filler);
        let server = small.serve(&["--min-free-disk", "0"]);
        if ok(&server, "GET", "/readyz", &Value::Null)["behind"] == 1 {
            break (server, logged);
        }
        drop(server);
        std::fs::remove_file(&filler).unwrap();
        at += 1;
    };
    assert!(found(&server) < logged);
    assert!(metric(&server, "quarry_changes_unmade{collection=\"docs\"}") > 0.0);
    let refused = ask(&server.address, "DELETE", &format!("{DOCUMENTS}/d1"), "").unwrap();
    let code = refused.json()["error"]["code"].clone();
    assert_eq!((refused.status, code.as_str()), (503, Some("read_only")));
    std::fs::remove_file(&filler).unwrap();
    wait_until_all_is_made(&server);
    assert_eq!(found(&server), logged);
    ok(&server, "POST", DOCUMENTS, &json!([document(3, 100)]));
    let mut server = server;
    server.stop();
}
