//! Generations that another program commits while the server runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use quarry_index::folder::FolderWriter;
use quarry_index::manifest::Manifest;
use serde_json::json;

use crate::index::ALL;
use crate::server::{Server, config};

const DOG: &str = r#"{"query":{"text":"dog"},"timeout_ms":60000}"#;

/// Commits the current generation again, changed.
fn commit(server: &Server, change: impl FnOnce(&mut Manifest)) {
    let mut writer = FolderWriter::open(&server.index()).unwrap();
    let mut manifest = writer.current().unwrap().clone();
    change(&mut manifest);
    writer.commit(manifest).unwrap();
}

fn generation(server: &Server) -> u64 {
    server.post(DOG).ok()["index"]["generation"].as_u64().unwrap()
}

fn await_generation(server: &Server, wanted: u64) {
    let since = Instant::now();
    while generation(server) != wanted {
        assert!(since.elapsed() < Duration::from_secs(30), "generation {wanted} is not opened");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_newer_generation_is_opened_and_no_request_is_lost() {
    let server = Server::start();
    assert_eq!(generation(&server), 1);
    let done = AtomicBool::new(false);
    scope(|scope| {
        let asking = scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::SeqCst) {
                let found = generation(&server);
                assert!(found >= last, "generation {found} after {last}");
                last = found;
            }
        });
        for wanted in 2..5 {
            commit(&server, |_| {});
            await_generation(&server, wanted);
        }
        done.store(true, Ordering::SeqCst);
        asking.join().unwrap();
    });
    assert_eq!(server.metric(r#"quarry_index_generation{collection="c"}"#), Some(4.0));
    assert_eq!(server.get("/readyz").json(), json!({"status": "ready"}));
}

#[test]
fn a_generation_that_cannot_be_opened_leaves_the_old_one() {
    let config = config();
    let reload = config.reload.clone();
    let server = Server::with(config, ALL, true);
    let mut checksum = "0".repeat(16);
    commit(&server, |manifest| {
        std::mem::swap(&mut manifest.segments[0].parts[0].checksum, &mut checksum);
    });
    let refused = r#"quarry_generation_refused{collection="c"}"#;
    server.await_metric(refused, 1.0);
    assert_eq!(server.get("/readyz").ok(), json!({"status": "ready", "stale": 1}));
    assert_eq!(generation(&server), 1);
    // A repaired one is found though the pause between attempts has grown.
    std::thread::sleep(Duration::from_secs(2));
    commit(&server, |manifest| manifest.segments[0].parts[0].checksum = checksum);
    reload.ask();
    await_generation(&server, 3);
    server.await_metric(refused, 0.0);
    assert_eq!(server.get("/readyz").ok(), json!({"status": "ready"}));
}

/// A backup that is put back has a lower generation, and is served.
#[test]
fn a_backup_is_opened() {
    let server = Server::start();
    let backup = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(server.index()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), backup.path().join(entry.file_name())).unwrap();
    }
    commit(&server, |_| {});
    await_generation(&server, 2);
    for entry in std::fs::read_dir(backup.path()).unwrap() {
        let entry = entry.unwrap();
        let (old, new) = (server.index().join(entry.file_name()), server.index().join("put"));
        std::fs::copy(entry.path(), &new).unwrap();
        std::fs::rename(new, old).unwrap();
    }
    await_generation(&server, 1);
}
