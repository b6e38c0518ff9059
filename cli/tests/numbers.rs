//! Numbers where an index has names, names where it has numbers, and vectors without ids.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{fails, ok, quarry, run_of, said, text};
use tempfile::tempdir;

/// Seismic's .bin, of these rows.
fn bin(path: &Path, rows: &[&[(u32, f32)]]) {
    let mut out = u32::try_from(rows.len()).unwrap().to_le_bytes().to_vec();
    for row in rows {
        out.extend(u32::try_from(row.len()).unwrap().to_le_bytes());
        row.iter().for_each(|(term, _)| out.extend(term.to_le_bytes()));
        row.iter().for_each(|(_, weight)| out.extend(weight.to_le_bytes()));
    }
    fs::write(path, out).unwrap();
}

fn csr(path: &Path, columns: i64, rows: &[&[(i32, f32)]]) {
    let count = |n: usize| i64::try_from(n).unwrap().to_le_bytes();
    let all: Vec<(i32, f32)> = rows.concat();
    let mut out = [count(rows.len()), columns.to_le_bytes(), count(all.len())].concat();
    out.extend(count(0));
    let mut end = 0;
    for row in rows {
        end += row.len();
        out.extend(count(end));
    }
    all.iter().for_each(|(term, _)| out.extend(term.to_le_bytes()));
    all.iter().for_each(|(_, weight)| out.extend(weight.to_le_bytes()));
    fs::write(path, out).unwrap();
}

fn ids(run: &str) -> Vec<(&str, &str)> {
    run.lines().map(|l| (l.split(' ').next().unwrap(), l.split(' ').nth(2).unwrap())).collect()
}

#[test]
fn a_second_batch_without_ids_replaces_nothing() {
    let dir = tempdir().unwrap();
    let at = |name: &str| -> PathBuf { dir.path().join(name) };
    bin(&at("1.bin"), &[&[(1, 1.0)], &[(1, 2.0)], &[(1, 3.0)], &[(1, 4.0)], &[(1, 5.0)]]);
    bin(&at("2.bin"), &[&[(1, 6.0)], &[(1, 7.0)], &[(1, 8.0)]]);
    csr(&at("3.csr"), 2, &[&[(1, 9.0)], &[(1, 10.0)]]);
    bin(&at("q.bin"), &[&[(1, 1.0)]]);
    let index = at("index");
    ok(&["index", text(&at("1.bin")), "--out", text(&index), "--no-tune"]);
    for (batch, first) in [("2.bin", "5"), ("3.csr", "8")] {
        let output = quarry(&["add", text(&index), text(&at(batch))]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let note = format!("numbered from {first} on");
        assert!(said(&output).contains(&note), "{}", said(&output));
    }
    let run = run_of(&index, &at("q.bin"));
    let found: Vec<&str> = ids(&run).into_iter().map(|(_, id)| id).collect();
    assert_eq!(found, ["9", "8", "7", "6", "5", "4", "3", "2", "1", "0"]);

    // Among names a number is refused, and names are what helps.
    let names = at("names.jsonl");
    fs::write(&names, "{\"id\":\"a\",\"vector\":{\"1\":1.0}}\n").unwrap();
    ok(&["add", text(&index), text(&names)]);
    let refused = fails(&["add", text(&index), text(&at("2.bin"))], 4);
    assert!(refused.contains("`a`") && refused.contains("--doc-ids"), "{refused}");
    fs::write(at("ids.txt"), "x\ny\nz\n").unwrap();
    ok(&["add", text(&index), text(&at("2.bin")), "--doc-ids", text(&at("ids.txt"))]);
}

#[test]
fn numbers_are_not_taken_for_places_among_names() {
    let dir = tempdir().unwrap();
    let at = |name: &str| -> PathBuf { dir.path().join(name) };
    let documents =
        "{\"id\":\"a\",\"vector\":{\"sea\":1.0}}\n{\"id\":\"b\",\"vector\":{\"rock\":2.0}}\n";
    fs::write(at("docs.jsonl"), documents).unwrap();
    let index = at("index");
    ok(&["index", text(&at("docs.jsonl")), "--out", text(&index), "--no-tune"]);
    bin(&at("q.bin"), &[&[(0, 1.0)]]);
    csr(&at("q.csr"), 3, &[&[(0, 1.0)]]);
    fs::write(at("vocab.txt"), "rock\nx\nsea\n").unwrap();
    for queries in ["q.bin", "q.csr"] {
        let queries = at(queries);
        let search = ["search", text(&index), "--queries", text(&queries)];
        assert!(fails(&search, 4).contains("--vocab"));
        let vocab = at("vocab.txt");
        let run = ok(&[&search[..], &["--vocab", text(&vocab)]].concat());
        assert_eq!(ids(&run), [("0", "b")]);
        let out = at("q.jsonl");
        let export = ["export", text(&index), "--format", "jsonl", "--out", text(&out)];
        let export = [&export[..], &["--overwrite", "--queries", text(&queries)]].concat();
        assert!(fails(&export, 4).contains("--vocab"));
        ok(&[&export[..], &["--vocab", text(&vocab)]].concat());
        assert!(fs::read_to_string(&out).unwrap().contains("\"rock\""));
        let refused = fails(&["add", text(&index), text(&queries), "--no-merge"], 4);
        assert!(refused.contains("--doc-ids") || refused.contains("--vocab"), "{refused}");
    }
    // A vocabulary that names nothing is refused.
    fs::write(at("named.jsonl"), "{\"id\":\"q\",\"vector\":{\"sea\":1.0}}\n").unwrap();
    let named = ["search", text(&index), "--queries", text(&at("named.jsonl"))].map(str::to_owned);
    let with = [&named[..], &["--vocab".into(), text(&at("vocab.txt")).into()]].concat();
    let with: Vec<&str> = with.iter().map(String::as_str).collect();
    assert!(fails(&with, 2).contains("leave it out"));
}

/// Hashes as term numbers: rows in any order, the largest number there is, and memory for five terms.
#[test]
fn hashed_terms_are_found_and_exported() {
    let dir = tempdir().unwrap();
    let at = |name: &str| -> PathBuf { dir.path().join(name) };
    let (a, b, c) = (1_479_876_206, 696_618_268, 0xe000_0000);
    bin(
        &at("docs.bin"),
        &[&[(a, 0.5), (b, 0.6)], &[(c, 1.0), (5, 2.0)], &[(u32::MAX, 3.0), (b, 0.1)]],
    );
    bin(
        &at("q.bin"),
        &[&[(b, 2.0), (a, 1.0)], &[(u32::MAX, 1.0)], &[(c, 1.0)], &[(7, 1.0), (5, 1.0)]],
    );
    fs::write(at("q.jsonl"), format!("{{\"id\":\"0\",\"vector\":{{\"{b}\":2.0,\"{a}\":1.0}}}}\n"))
        .unwrap();
    let index = at("index");
    ok(&[
        "index",
        text(&at("docs.bin")),
        "--out",
        text(&index),
        "--lists",
        "impact,seismic,clusters",
    ]);
    let run = run_of(&index, &at("q.bin"));
    assert_eq!(ids(&run), [("0", "0"), ("0", "2"), ("1", "2"), ("2", "1"), ("3", "1")]);
    assert_eq!(ids(&run_of(&index, &at("q.jsonl"))), [("0", "0"), ("0", "2")]);
    let back = at("back.bin");
    ok(&["export", text(&index), "--format", "seismic", "--out", text(&back)]);
    ok(&["index", text(&back), "--out", text(&at("again")), "--no-tune"]);
    assert_eq!(run_of(&at("again"), &at("q.bin")), run);
    let refused =
        fails(&["export", text(&index), "--format", "csr", "--out", text(&at("x.csr"))], 1);
    assert!(refused.contains("i32"), "{refused}");
    // Disk follows the terms, too.
    let bytes: u64 =
        fs::read_dir(&index).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 128 << 20, "{bytes}");
}
