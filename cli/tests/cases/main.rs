//! The inputs that people's reports led to, each with its right value or the refusal that is right.
//! They lie in `cases/` of the folder that QUARRY_SHARED names; without it this is skipped, aloud. What
//! they show is tested elsewhere too, on small inputs of our own.
//!
//! A check is a function that panics when the value is not the right one. Its name begins with the
//! folder that it is about; every folder has a check.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by it")]

#[path = "../common/mod.rs"]
mod common;
mod indexes;
mod judging;
mod models;
mod reading;
mod scripts;
mod security;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{note, said, shared, text};
use serde_json::Value;
use tempfile::TempDir;

/// Checks that fail today, each with the reason after a bar. One that passes must go from there.
const FAILING: &str = include_str!("failing.txt");

/// The checks of one kind of input.
type Checks = &'static [(&'static str, fn(&Case))];

const ALL: [Checks; 6] = [
    judging::CHECKS,
    reading::CHECKS,
    indexes::CHECKS,
    models::CHECKS,
    security::CHECKS,
    scripts::CHECKS,
];

/// A copy of a case's folder, and room beside it.
struct Case {
    files: PathBuf,
    room: TempDir,
}

/// What a command did.
struct Did {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Case {
    fn new(cases: &Path, name: &str) -> Self {
        let room = tempfile::tempdir().unwrap();
        let files = room.path().join(name);
        copy(&cases.join(name), &files);
        Self { files, room }
    }

    /// A file of the case.
    fn file(&self, name: &str) -> String {
        text(&self.files.join(name)).to_owned()
    }

    /// A place for what a check writes.
    fn place(&self, name: &str) -> String {
        text(&self.room.path().join(name)).to_owned()
    }

    /// Writes a file of the check's own.
    fn write(&self, name: &str, content: &str) -> String {
        let at = self.place(name);
        fs::write(&at, content).unwrap();
        at
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        if from.is_dir() { copy(&from, &to) } else { fs::copy(&from, &to).map(|_| ()).unwrap() }
    }
}

/// Runs the program; a panic or a signal is never right, whatever a check is about.
#[track_caller]
fn run(args: &[&str]) -> Did {
    did(&common::quarry(args).output().unwrap(), args)
}

/// The same with at most so much address space, in MiB.
#[track_caller]
fn run_within(memory: u64, args: &[&str]) -> Did {
    let mut command = Command::new("sh");
    let script = format!("ulimit -v {}; exec \"$0\" \"$@\"", memory * 1024);
    command.args(["-c", &script, env!("CARGO_BIN_EXE_quarry")]).args(args);
    did(&command.output().unwrap(), args)
}

#[track_caller]
fn did(output: &Output, args: &[&str]) -> Did {
    let err = said(output);
    assert!(!err.contains("panicked at"), "{args:?}: {err}");
    assert!(
        output.status.code().is_some_and(|code| code < 100),
        "{args:?}: {}: {err}",
        output.status
    );
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    Did { code: output.status.code(), out, err }
}

/// What a command says that must succeed.
#[track_caller]
fn ok(args: &[&str]) -> Did {
    let did = run(args);
    assert_eq!(did.code, Some(0), "{args:?}: {}", did.err);
    did
}

/// What a command says that must be refused for its input.
#[track_caller]
fn refused(args: &[&str]) -> String {
    let did = run(args);
    assert_eq!(did.code, Some(4), "{args:?}: {}{}", did.out, did.err);
    did.err
}

impl Did {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }

    /// The hits of a run on standard output: query, document, score.
    fn hits(&self) -> Vec<(String, String, f64)> {
        let hit = |line: &str| {
            let fields: Vec<&str> = line.split(' ').collect();
            (fields[0].to_owned(), fields[2].to_owned(), fields[4].parse().unwrap())
        };
        self.out.lines().map(hit).collect()
    }

    /// The documents found for a query, in order, with their scores.
    fn of(&self, query: &str) -> Vec<(String, f64)> {
        self.hits().into_iter().filter(|h| h.0 == query).map(|h| (h.1, h.2)).collect()
    }
}

#[track_caller]
fn assert_near(found: f64, want: f64, tolerance: f64) {
    assert!((found - want).abs() <= tolerance * want.abs().max(1e-12), "{found}, expected {want}");
}

/// Documents and scores to three digits.
#[track_caller]
fn assert_hits(found: &[(String, f64)], want: &[(&str, f64)]) {
    assert_eq!(found.len(), want.len(), "{found:?}, expected {want:?}");
    for (found, want) in found.iter().zip(want) {
        assert_eq!(found.0, want.0, "{found:?}, expected {want:?}");
        assert_near(found.1, want.1, 1e-3);
    }
}

#[track_caller]
fn assert_says(said: &str, words: &[&str]) {
    let lower = said.to_lowercase();
    for word in words {
        assert!(lower.contains(&word.to_lowercase()), "`{word}` is not said: {said}");
    }
}

/// A check that cannot be done here; the reason is printed.
fn not_run(what: &str) {
    note(&format!("not run: {what}"));
}

/// Names and reasons of [`FAILING`].
fn failing() -> Vec<(&'static str, &'static str)> {
    let lines = FAILING.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(" | ").unwrap()).collect()
}

fn all(kind: Checks) {
    let Some(shared) = shared("the cases of people's reports") else { return };
    let cases = shared.join("cases");
    if !cases.is_dir() {
        note(&format!("skipped: {} has no folder cases", shared.display()));
        return;
    }
    let mut wrong = Vec::new();
    for (name, check) in kind {
        let folder = name.split(": ").next().unwrap();
        let case = Case::new(&cases, folder);
        let failed = catch_unwind(AssertUnwindSafe(|| check(&case))).is_err();
        match failing().into_iter().find(|known| known.0 == *name) {
            Some((_, why)) if failed => note(&format!("expected to fail: {name}: {why}")),
            Some(_) => {
                wrong.push(format!("{name} passes: take it off the list of those that fail"))
            }
            None if failed => wrong.push(format!("{name} (its message is above)")),
            None => {}
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn judgements_and_runs() {
    all(judging::CHECKS);
}

#[test]
fn documents_and_queries() {
    all(reading::CHECKS);
}

#[test]
fn indexes_and_changes() {
    all(indexes::CHECKS);
}

#[test]
fn models_as_they_are_exported() {
    all(models::CHECKS);
}

#[test]
fn attacks() {
    all(security::CHECKS);
}

#[test]
fn attacks_by_script() {
    all(scripts::CHECKS);
}

#[test]
fn every_folder_has_a_check() {
    let known: Vec<&str> = ALL.iter().flat_map(|kind| kind.iter().map(|check| check.0)).collect();
    for (name, _) in failing() {
        assert!(known.contains(&name), "{name} is the name of no check");
    }
    let Some(shared) = shared("the list of cases") else { return };
    let Ok(cases) = fs::read_dir(shared.join("cases")) else { return };
    for entry in cases {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let checked = known.iter().any(|check| check.split(": ").next() == Some(&name));
        assert!(checked || !entry.path().is_dir(), "the case {name} has no check");
    }
    for name in known {
        let folder = shared.join("cases").join(name.split(": ").next().unwrap());
        assert!(folder.is_dir(), "{name}: there is no {}", folder.display());
    }
}
