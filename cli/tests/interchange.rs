//! `quarry export`, and `quarry index` of what it wrote: nothing is lost on the way, or it is said.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{fails, ok, quarry, queries, run_of, said, text, vectors};
use serde_json::Value;

/// An index of two segments, with documents replaced and deleted.
fn changed(at: &dyn Fn(&str) -> PathBuf) -> PathBuf {
    vectors(&at("docs.jsonl"), 300, 1);
    vectors(&at("more.jsonl"), 100, 2);
    queries(&at("queries.jsonl"));
    let index = at("index");
    ok(&["index", text(&at("docs.jsonl")), "--out", text(&index), "--no-tune"]);
    ok(&["add", text(&index), text(&at("more.jsonl"))]);
    ok(&["delete", text(&index), "d5", "d7", "d200"]);
    index
}

fn exported(index: &Path, format: &str, out: &Path, more: &[&str]) -> Value {
    let args = ["export", text(index), "--format", format, "--out", text(out), "--json"];
    serde_json::from_str(&ok(&[&args[..], more].concat())).unwrap()
}

#[test]
fn every_format_is_read_back_to_the_same_answers() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let index = changed(&at);
    let asked = at("queries.jsonl");
    let want = run_of(&index, &asked);
    for (format, end) in [
        ("ciff", ""),
        ("ciff", ".gz"),
        ("csr", ""),
        ("csr", ".zst"),
        ("seismic", ".gz"),
        ("jsonl", ""),
    ] {
        let file = at(&format!("x.{format}{end}"));
        let report = exported(
            &index,
            format,
            &file,
            if format == "ciff" { &["--memory", "16KiB", "--overwrite"] } else { &["--overwrite"] },
        );
        assert_eq!(report["documents"], 297, "{report}");
        let back = at(&format!("back-{format}{end}"));
        let (ids, vocabulary) =
            (at(&format!("x.{format}.ids.txt")), at(&format!("x.{format}.vocab.txt")));
        let args = ["index", text(&file), "--out", text(&back), "--no-tune"];
        let named = ["--doc-ids", text(&ids), "--vocab", text(&vocabulary)];
        let named: &[&str] = if ids.exists() { &named } else { &[] };
        assert_eq!(named.is_empty(), matches!(format, "ciff" | "jsonl"));
        ok(&[&args[..], named].concat());
        assert_eq!(run_of(&back, &asked), want, "{format}{end}");
        if format == "ciff" {
            assert!(report["passages"].is_null() && report["max_error"] == 0.0, "{report}");
            assert!(report["passes"].as_u64().unwrap() > 4, "{report}");
            let described = report["description"].as_str().unwrap();
            assert!(described.contains("8 bits, weight = impact / 1"), "{described}");
        }
    }
    // Texts come along where there is room for them; they are other fields' place, too.
    let file = at("texts.jsonl");
    exported(&index, "jsonl", &file, &["--texts"]);
    let line: Value =
        serde_json::from_str(fs::read_to_string(&file).unwrap().lines().last().unwrap()).unwrap();
    assert!(line["text"].as_str().unwrap().starts_with("text "), "{line}");
    // Fewer bits lose something, and say how much; the stated scale brings weights back.
    let report = exported(&index, "ciff", &at("coarse.ciff"), &["--bits", "4"]);
    let scale = report["scale"].as_f64().unwrap();
    assert!((scale - 15.0 / 200.0).abs() < 0.001, "{report}");
    assert!(report["max_error"].as_f64().unwrap() > 0.0);
    let back = at("coarse");
    let (coarse, scale) = (at("coarse.ciff"), scale.to_string());
    ok(&["index", text(&coarse), "--out", text(&back), "--scale", &scale, "--no-tune"]);
    let score = |run: &str| -> f64 {
        run.lines().next().unwrap().split(' ').nth(4).unwrap().parse().unwrap()
    };
    let (was, is) = (score(&want), score(&run_of(&back, &asked)));
    assert!((was - is).abs() < 0.1 * was, "{was}, {is}");
}

#[test]
fn queries_are_exported_by_the_terms_of_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let index = changed(&at);
    let asked = at("queries.jsonl");
    let want = run_of(&index, &asked);
    let lines = at("q.jsonl");
    exported(&index, "jsonl", &lines, &["--queries", text(&asked)]);
    assert_eq!(run_of(&index, &lines), want);
    let file = at("q.bin");
    exported(&index, "seismic", &file, &["--queries", text(&asked)]);
    // Vectors of .bin have no names: only these differ.
    let plain = |run: &str| -> Vec<String> {
        run.lines().map(|l| l.split_once(' ').unwrap().1.to_owned()).collect()
    };
    let names = at("q.bin.vocab.txt");
    let found = ["search", text(&index), "--queries", text(&file), "--method", "exact"];
    assert_eq!(plain(&ok(&[&found[..], &["--vocab", text(&names)]].concat())), plain(&want));
    assert_eq!(fs::read_to_string(at("q.bin.ids.txt")).unwrap().lines().next(), Some("q0"));
    let export = ["export", text(&index), "--out", text(&at("no")), "--queries", text(&asked)]
        .map(str::to_owned);
    let export: Vec<&str> = export.iter().map(String::as_str).collect();
    assert!(fails(&[&export[..], &["--format", "ciff"]].concat(), 2).contains("holds documents"));
}

#[test]
fn what_cannot_be_exported_is_said_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let index = changed(&at);
    let out = at("out/x.ciff");
    fs::create_dir(at("out")).unwrap();
    let export = |more: &[&str], code: i32| {
        let args = ["export", text(&index), "--out", text(&out)];
        fails(&[&args[..], more].concat(), code)
    };
    assert!(export(&["--format", "ciff", "--bits", "1"], 2).contains("2 to 24"));
    let message = export(&["--format", "ciff", "--scale", "2"], 1);
    assert!(message.contains("exceeds the largest impact, 255"), "{message}");
    assert!(export(&["--format", "csr", "--texts"], 2).contains("only documents as jsonl"));
    assert!(common::names(&at("out")).is_empty(), "{:?}", common::names(&at("out")));
    #[cfg(unix)]
    {
        // A disk that takes no more: 1 block of a file.
        let output = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"])
            .arg(env!("CARGO_BIN_EXE_quarry"))
            .args(["export", text(&index), "--format", "jsonl", "--out", text(&out)])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let message = said(&output);
        assert!(message.contains("x.ciff: File too large"), "{message}");
        assert!(common::names(&at("out")).is_empty(), "{:?}", common::names(&at("out")));
    }
    let made = ["export", text(&index), "--format", "ciff", "--out", text(&out)];
    ok(&made);
    assert!(fails(&made, 5).contains("--overwrite"));
    ok(&[&made[..], &["--overwrite"]].concat());
    assert!(quarry(&["search", text(&index), "--queries", text(&out)]).output().is_ok());
    let message = fails(&["search", text(&index), "--queries", text(&out)], 4);
    assert!(message.contains("CIFF, which holds documents"), "{message}");

    // Ids that are no line, and an index without vectors.
    let odd = at("odd.jsonl");
    fs::write(&odd, "{\"id\":\"a\\nb\",\"vector\":{\"x\":1}}\n").unwrap();
    ok(&["index", text(&odd), "--out", text(&at("odd")), "--no-tune"]);
    let csr = at("out/odd.csr");
    let message = fails(&["export", text(&at("odd")), "--format", "csr", "--out", text(&csr)], 1);
    assert!(message.contains("\"a\\nb\"") && message.contains("jsonl or ciff"), "{message}");
    assert_eq!(common::names(&at("out")), ["x.ciff"]);
    fs::write(&odd, "{\"id\":\"a\",\"text\":\"words\"}\n").unwrap();
    ok(&["index", text(&odd), "--out", text(&at("words")), "--channel", "bm25"]);
    let message = fails(&["export", text(&at("words")), "--format", "csr", "--out", text(&csr)], 1);
    assert!(message.contains("no vectors"), "{message}");
}

#[test]
fn passages_are_exported_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (corpus, index, out) = (at("corpus.jsonl"), at("index"), at("x.jsonl"));
    let long = "glaciers are what this sentence speaks of. ".repeat(24);
    let records = format!(
        "{{\"_id\":\"long\",\"text\":\"{long}\"}}\n{{\"_id\":\"short\",\"text\":\"beetles\"}}\n"
    );
    fs::write(&corpus, &records).unwrap();
    ok(&["index", text(&corpus), "--out", text(&index), "--passages", "64", "--no-tune"]);
    let export = ["export", text(&index), "--format", "jsonl", "--out", text(&out)];
    let message = fails(&export, 1);
    assert!(message.contains("split into passages") && message.contains("ID#0"), "{message}");
    ok(&[&export[..], &["--passages", "--texts"]].concat());
    let lines: Vec<Value> = fs::read_to_string(&out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids: Vec<&str> = lines.iter().map(|l| l["id"].as_str().unwrap()).collect();
    assert!(ids.len() > 3 && ids[..2] == ["long#0", "long#1"], "{ids:?}");
    assert_eq!(ids.last(), Some(&"short"));
    assert!(lines.iter().all(|l| long.contains(l["text"].as_str().unwrap()) || l["id"] == "short"));
    fs::write(&corpus, records.replace("short", "long#1")).unwrap();
    ok(&["add", text(&index), text(&corpus), "--no-merge"]);
    let message = fails(&[&export[..], &["--passages", "--overwrite"]].concat(), 1);
    assert!(message.contains("would be named `long#1`"), "{message}");
}
