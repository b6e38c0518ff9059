//! Collections by name through the whole program: listed, pulled from a server that the test plays, and
//! used where a folder is taken.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};

use common::{quarry, said, text};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use tempfile::TempDir;

const FILES: [(&str, &str); 3] = [
    ("c.tsv", "d0\tA metamorphic rock from the quarry.\nd1\tSweet bread.\nd2\tSalt of the sea.\n"),
    ("q.tsv", "q0\trock of the quarry\nq1\tsea salt\n"),
    ("j.txt", "q0 0 d0 1\nq1 0 d2 1\n"),
];

/// Serves the files until the process ends.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that went away is its own affair.
            let _ = stream.and_then(|stream| answer(&stream));
        }
    });
    address
}

fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut first = String::new();
    BufReader::new(stream).read_line(&mut first)?;
    let name = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let body = FILES.iter().find(|(file, _)| *file == name).map(|(_, body)| *body);
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

struct Case {
    dir: TempDir,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, becomes: &str| {
            let body = FILES.iter().find(|(file, _)| *file == name).unwrap().1;
            json!({
                "address": format!("https://example.invalid/{name}"),
                "bytes": body.len(),
                "md5": format!("{:x}", Md5::digest(body)),
                "becomes": {"file": becomes},
            })
        };
        let toy = json!([{
            "name": "toys/rocks",
            "about": "a toy",
            "documents": 3,
            "splits": ["dev"],
            "licence": "none needed",
            "homepage": "https://example.invalid",
            "files": [
                file("c.tsv", "collection.tsv"),
                file("q.tsv", "queries.dev.tsv"),
                file("j.txt", "qrels.dev.tsv"),
            ],
        }]);
        fs::write(dir.path().join("registry.json"), toy.to_string()).unwrap();
        Self { dir }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = quarry(args);
        command
            .env("QUARRY_DATASETS", self.dir.path().join("cache"))
            .env("QUARRY_DATASETS_REGISTRY", self.dir.path().join("registry.json"))
            .env("QUARRY_DATASETS_BASE", "http://127.0.0.1:9")
            .env("NO_PROXY", "127.0.0.1")
            .current_dir(self.dir.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn fails(&self, args: &[&str], code: i32) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        said(&output)
    }
}

#[test]
fn known_collections_are_listed() {
    let case = Case::new();
    let shown = case.ok(&["dataset", "list"]);
    for want in ["beir/scifact", "msmarco-passage", "dev.small", "toys/rocks", "CC BY-SA 3.0"] {
        assert!(shown.contains(want), "{want}: {shown}");
    }
    let listed: Value = serde_json::from_str(&case.ok(&["dataset", "list", "--json"])).unwrap();
    let all = listed.as_array().unwrap();
    let one = |name: &str| all.iter().find(|c| c["name"] == name).unwrap().clone();
    let scifact = one("beir/scifact");
    assert_eq!(scifact["files"][0]["md5"], "5f7d1de60b170fc8027bb7898e2efca1");
    assert_eq!((&scifact["state"], &scifact["documents"]), (&json!("absent"), &json!(5183)));
    assert_eq!(one("toys/rocks")["files"].as_array().unwrap().len(), 3);
}

#[test]
fn a_name_stands_for_a_folder_once_it_is_pulled() {
    let case = Case::new();
    let index =
        |name: &str| vec!["index".to_owned(), name.to_owned(), "--out".to_owned(), "ix".to_owned()];
    let args = index("toys/rocks");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    for (name, code) in [("toys/rocks", 4), ("beir/scifact", 4)] {
        let args = index(name);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let error = case.fails(&args, code);
        assert!(error.contains(&format!("`quarry dataset pull {name}` fetches it")), "{error}");
    }
    let error = case.fails(&["index", "beir/nonsense", "--out", "ix"], 4);
    assert!(error.contains("quarry dataset list"), "{error}");
    assert!(!case.dir.path().join("ix").exists());

    // Nobody listens: as without a network.
    let error = case.fails(&["dataset", "pull", "toys/rocks"], 1);
    assert!(
        error.contains("Without a network") && error.contains("cache/downloads/c.tsv"),
        "{error}"
    );
    let error = case.fails(&["dataset", "pull", "toys/none"], 4);
    assert!(error.contains("no collection is called"), "{error}");

    let base = serve();
    let said = case.ok(&["dataset", "pull", "toys/rocks", "--base", &base]);
    assert!(said.contains("toys/rocks"), "{said}");
    let report = case.ok(&["dataset", "pull", "toys/rocks", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["was_there"], true);
    assert!(case.ok(&["dataset", "list"]).contains("pulled"));

    case.ok(&args);
    let eval = ["eval", "ix", "--collection", "toys/rocks", "--split", "dev", "--json"];
    let found: Value = serde_json::from_str(&case.ok(&eval)).unwrap();
    assert_eq!(found["queries"], 2);
    let error = case.fails(&["eval", "ix", "--collection", "toys/rocks"], 4);
    assert!(error.contains("there is dev"), "{error}");
    let vectors = case.dir.path().join("v.jsonl");
    case.ok(&["encode", "toys/rocks", "--out", text(&vectors)]);
    assert_eq!(fs::read_to_string(&vectors).unwrap().lines().count(), 3);
    case.ok(&["add", "ix", "toys/rocks"]);

    // A folder of that name is itself.
    let own = case.dir.path().join("toys/rocks");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("corpus.jsonl"), "{\"_id\": \"x\", \"text\": \"mine\"}\n").unwrap();
    let report = case.ok(&["index", "toys/rocks", "--out", "iy", "--json", "--no-tune"]);
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["documents"], 1);
}
