//! Input from anybody: text that a terminal would obey, pipes in place of files, expressions that nest.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{fails, note, ok, quarry, said, text};
use tempfile::TempDir;

const ESCAPE: char = '\u{1b}';

/// Documents whose ids, titles, texts and fields hold what a terminal obeys.
fn hostile(dir: &TempDir) -> PathBuf {
    let path = dir.path().join("hostile.jsonl");
    let lines = [
        r#"{"_id": "a\u001b[31m", "title": "red\u001b]0;title\u0007", "text": "rock\u202eevil\u009b2J\n  9. 99.0 forged", "k\u001b[1m": "v"}"#,
        r#"{"_id": "b", "title": "plain", "text": "rock and sea", "year": 1998}"#,
    ];
    fs::write(&path, lines.join("\n")).unwrap();
    path
}

fn index(dir: &TempDir) -> PathBuf {
    let out = dir.path().join("index");
    ok(&["index", text(&hostile(dir)), "--out", text(&out), "--channel", "bm25", "--no-tune"]);
    out
}

fn obeyed(words: &str) -> Option<char> {
    words.chars().find(|c| {
        (c.is_control() && !matches!(c, '\n' | '\t' | '\r')) || matches!(c, '\u{202a}'..='\u{202e}')
    })
}

/// Runs a command with a terminal for its output; none without python3.
fn on_a_terminal(args: &[&str]) -> Option<String> {
    let script = "import pty, sys\nsys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let output = Command::new("python3")
        .args(["-c", script, env!("CARGO_BIN_EXE_quarry")])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn nothing_that_a_terminal_obeys_reaches_it() {
    let dir = tempfile::tempdir().unwrap();
    let index = index(&dir);
    let search = ["search", text(&index), "rock", "--channel", "bm25"];
    let shown = ok(&search);
    assert_eq!(obeyed(&shown.replace(['\u{202e}', '\u{9b}', '\u{7}', ESCAPE], "")), None);
    assert_eq!(shown.lines().count(), 4, "a text on one line: {shown}");
    let json = [&search[..], &["--json", "--fields", "title,text"]].concat();
    for args in [&search[..], &json[..]] {
        let Some(shown) = on_a_terminal(args) else {
            return note("skipped: a terminal needs python3");
        };
        assert!(shown.contains("\\u001b"), "{shown}");
        assert_eq!(obeyed(&shown), None, "{shown}");
    }
    // Errors repeat what was given.
    let words = fails(&[&search[..], &["--filter", "k\u{1b}[1mx:1"]].concat(), 1);
    assert!(words.contains("\\u001b[1m") && obeyed(&words).is_none(), "{words}");
}

#[test]
fn logs_have_no_colours() {
    let dir = tempfile::tempdir().unwrap();
    let index = index(&dir);
    let output =
        quarry(&["delete", text(&index), "b"]).env("QUARRY_LOG", "debug").output().unwrap();
    let words = said(&output);
    assert!(output.status.success() && words.contains("collected"), "{words}");
    assert_eq!(obeyed(&words), None, "{words}");
}

/// Runs a command that must end by itself, and soon.
fn ends(args: &[&str]) -> (Option<i32>, String) {
    let mut child = quarry(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let by = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > by {
            child.kill().unwrap();
            child.wait().unwrap();
            return (None, format!("{args:?} hangs"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), said(&output))
}

#[test]
fn a_pipe_in_place_of_a_file_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let index = index(&dir);
    let pipe = dir.path().join("pipe.jsonl");
    if !Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()) {
        return note("skipped: there is no mkfifo");
    }
    let (out, folder) = (dir.path().join("out"), dir.path().join("model"));
    fs::create_dir(&folder).unwrap();
    fs::rename(&pipe, folder.join("quarry-model.json")).unwrap();
    Command::new("mkfifo").arg(&pipe).status().unwrap();
    let device = Path::new("/dev/zero");
    for args in [
        vec!["index", text(&pipe), "--out", text(&out)],
        vec!["index", text(device), "--out", text(&out)],
        vec!["add", text(&index), text(&pipe)],
        vec!["search", text(&index), "--queries", text(&pipe), "--channel", "bm25"],
        vec!["delete", text(&index), "--ids", text(&pipe)],
        vec!["delete", text(&index), "--ids", text(device)],
        vec!["model", "show", text(&folder)],
    ] {
        let (code, words) = ends(&args);
        assert!(code.is_some_and(|code| code != 0), "{args:?}: {code:?} {words}");
        assert!(!words.contains("panicked"), "{words}");
    }
}

#[test]
fn nested_filters_and_many_threads_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let index = index(&dir);
    for filter in ["(".repeat(60_000), "NOT ".repeat(479) + "year:1998", "-(".repeat(480)] {
        let words =
            fails(&["search", text(&index), "rock", "--channel", "bm25", "--filter", &filter], 1);
        assert!(words.contains("deep") && words.len() < 600, "{words}");
    }
    let words = fails(&["inspect", text(&index), "--threads", "100000"], 2);
    assert!(words.contains("1024"), "{words}");
}
