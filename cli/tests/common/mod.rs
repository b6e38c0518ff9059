//! Running the real binary on small collections made here.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

pub(crate) mod asking;
pub(crate) mod served;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A command of the binary under test.
pub(crate) fn quarry(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarry"));
    command.args(args);
    command
}

/// Runs to the end; the test fails with what was said when the command does.
pub(crate) fn ok(args: &[&str]) -> String {
    let output = quarry(args).output().unwrap();
    assert!(output.status.success(), "quarry {args:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with `code`; gives what it said.
pub(crate) fn fails(args: &[&str], code: i32) -> String {
    let output = quarry(args).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "quarry {args:?}: {}", said(&output));
    said(&output)
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Numbers that look random and are always the same.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A collection of `count` documents with token vectors, as JSONL.
pub(crate) fn vectors(path: &Path, count: u64, seed: u64) {
    let mut numbers = Numbers(seed);
    let mut out = String::new();
    for id in 0..count {
        let mut tokens: Vec<u64> = (0..30).map(|_| numbers.below(40) * numbers.below(25)).collect();
        tokens.sort_unstable();
        tokens.dedup();
        let weights: Vec<String> =
            tokens.iter().map(|t| format!("\"t{t}\":{}", 1 + numbers.below(200))).collect();
        writeln!(
            out,
            "{{\"id\":\"d{id}\",\"text\":\"text {}\",\"vector\":{{{}}}}}",
            id % 97,
            weights.join(",")
        )
        .unwrap();
    }
    fs::write(path, out).unwrap();
}

/// Queries for [`vectors`], as JSONL.
pub(crate) fn queries(path: &Path) {
    let mut numbers = Numbers(7);
    let mut out = String::new();
    for id in 0..20 {
        let mut tokens: Vec<u64> = (0..6).map(|_| numbers.below(40) * numbers.below(25)).collect();
        tokens.sort_unstable();
        tokens.dedup();
        let weights: Vec<String> =
            tokens.iter().map(|t| format!("\"t{t}\":{}", 1 + numbers.below(9))).collect();
        writeln!(out, "{{\"id\":\"q{id}\",\"vector\":{{{}}}}}", weights.join(",")).unwrap();
    }
    fs::write(path, out).unwrap();
}

/// The exact run of `queries` over an index.
pub(crate) fn run_of(index: &Path, queries: &Path) -> String {
    ok(&["search", text(index), "--queries", text(queries), "--method", "exact"])
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A line that the test runner does not swallow.
pub(crate) fn note(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// The folder of shared collections, or a line that says what is skipped.
pub(crate) fn shared(what: &str) -> Option<PathBuf> {
    match std::env::var_os("QUARRY_SHARED") {
        Some(folder) => Some(PathBuf::from(folder)),
        None => {
            note(&format!("skipped: {what} needs QUARRY_SHARED, the folder of shared collections"));
            None
        }
    }
}

/// The folder of a toy model of `encoders/tests/families`.
pub(crate) fn model(dir: &TempDir, name: &str) -> PathBuf {
    let families = Path::new(env!("CARGO_MANIFEST_DIR")).join("../encoders/tests/families");
    let golden: Value =
        serde_json::from_slice(&fs::read(families.join("golden.json")).unwrap()).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    let case = cases.iter().find(|case| case["name"] == name).unwrap();
    let folder = dir.path().join(name);
    for (file, part) in case["files"].as_object().unwrap() {
        let to = folder.join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(families.join("parts").join(part.as_str().unwrap()), to).unwrap();
    }
    folder
}

/// The folder of a model of token embeddings, `encoders/tests/multivector`, in a place of its own.
pub(crate) fn token_model(dir: &TempDir, name: &str) -> PathBuf {
    of_tests(dir, "multivector", name)
}

/// The same of a model of dense vectors, `encoders/tests/dense`.
pub(crate) fn dense_model(dir: &TempDir, name: &str) -> PathBuf {
    of_tests(dir, "dense", name)
}

fn of_tests(dir: &TempDir, set: &str, name: &str) -> PathBuf {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let from = entry.unwrap().path();
            let to = to.join(from.file_name().unwrap());
            if from.is_dir() { copy(&from, &to) } else { fs::copy(&from, &to).map(|_| ()).unwrap() }
        }
    }
    let at = dir.path().join(name);
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../encoders/tests").join(set);
    copy(&published.join(name), &at);
    at
}

/// Three documents of text.
pub(crate) fn collection(dir: &TempDir) -> PathBuf {
    let path = dir.path().join("documents.jsonl");
    let lines = [
        r#"{"id": "a", "title": "Marble", "text": "A metamorphic rock."}"#,
        r#"{"id": "b", "title": "Index", "text": "Posting lists of a search engine."}"#,
        r#"{"id": "c", "text": "Wire saws cut blocks of stone in the quarry."}"#,
    ];
    fs::write(&path, lines.join("\n")).unwrap();
    path
}

/// An index of them, encoded by a model.
pub(crate) fn model_index(dir: &TempDir, name: &str, model: &str) -> PathBuf {
    let out = dir.path().join(name);
    let input = collection(dir);
    ok(&["index", text(&input), "--out", text(&out), "--model", model, "--no-tune"]);
    out
}
