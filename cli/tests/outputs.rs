//! Outputs: whole or not there, never in place of another file unless that is wanted, and refused before
//! anything is searched where an id cannot stand in them.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{fails, names, ok, quarry, queries, said, text, vectors};

/// An index of words, of documents with these ids.
fn words(folder: &Path, ids: &[&str]) -> PathBuf {
    let lines: Vec<String> = ids
        .iter()
        .map(|id| serde_json::json!({"_id": id, "text": "granite stone"}).to_string())
        .collect();
    let (input, index) = (folder.join("ids.jsonl"), folder.join("ids"));
    fs::write(&input, lines.join("\n")).unwrap();
    ok(&["index", text(&input), "--out", text(&index), "--channel", "bm25"]);
    fs::write(folder.join("q.jsonl"), "{\"_id\":\"q1\",\"text\":\"granite\"}\n").unwrap();
    index
}

#[test]
fn a_run_is_replaced_when_that_is_wanted_and_by_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("docs.jsonl"), 60, 1);
    queries(&at("queries.jsonl"));
    let (index, queries, run) = (at("index"), at("queries.jsonl"), at("run.trec"));
    ok(&["index", text(&at("docs.jsonl")), "--out", text(&index)]);
    let search = ["search", text(&index), "--queries", text(&queries), "--run", text(&run)];
    fs::write(&run, "the run of last week\n").unwrap();
    let error = fails(&search, 5);
    assert!(error.contains("run.trec: the file is there; --overwrite replaces it"), "{error}");
    assert_eq!(fs::read_to_string(&run).unwrap(), "the run of last week\n");
    ok(&[&search[..], &["--overwrite"]].concat());
    let good = fs::read_to_string(&run).unwrap();
    assert_eq!(good.lines().count(), 200);

    // With an index --run is an output, without one an input; neither is taken for the other.
    fs::write(at("qrels"), "q0 0 d1 1\n").unwrap();
    let qrels = at("qrels");
    let judged = ["--queries", text(&queries), "--qrels", text(&qrels), "--run", text(&run)];
    let eval = [&["eval", text(&index)], &judged[..]].concat();
    let error = fails(&eval, 5);
    assert!(error.contains("with an index, --run is where its run is written"), "{error}");
    let error = fails(&["eval", "--run", text(&run), "--qrels", text(&qrels), "--overwrite"], 2);
    assert!(error.contains("<DIR>"), "{error}");
    let error = fails(&[&eval[..], &["--overwrite", "--compare", text(&run)]].concat(), 2);
    assert!(error.contains("one is written, one is read"), "{error}");
    assert_eq!(fs::read_to_string(&run).unwrap(), good);
    ok(&[&eval[..], &["--overwrite"]].concat());
    ok(&["eval", "--run", text(&run), "--qrels", text(&qrels)]);

    // What is no file is no place for a run.
    for place in [folder.path(), Path::new("/dev/null")] {
        let to = ["search", text(&index), "--queries", text(&queries), "--overwrite", "--run"];
        let error = fails(&[&to[..], &[text(place)]].concat(), 1);
        assert!(error.contains("not a file that could be written"), "{error}");
    }
    assert!(!names(folder.path()).iter().any(|name| name.ends_with(".tmp")));
}

#[test]
fn ids_that_a_run_cannot_hold_are_found_before_the_search() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let index = words(folder.path(), &["a/b", "doc one", " lead", "plain"]);
    let run = at("run");
    fs::write(&run, "a good run\n").unwrap();
    let file = at("q.jsonl");
    let search = |more: &[&str]| {
        let words = ["search", text(&index), "--queries", text(&file), "--channel", "bm25"];
        quarry(&[&words[..], &["--run", text(&run), "--overwrite"], more].concat())
            .output()
            .unwrap()
    };
    let refused = search(&[]);
    assert_eq!(refused.status.code(), Some(4));
    for part in ["2 documents of the index", "\"doc one\"", "--run-format tabs"] {
        assert!(said(&refused).contains(part), "{}", said(&refused));
    }
    assert_eq!(fs::read_to_string(&run).unwrap(), "a good run\n");
    // Each form reads back what it holds.
    fs::write(at("qrels"), "query-id\tcorpus-id\tscore\nq1\tdoc one\t1\nq1\t lead\t1\n").unwrap();
    for form in ["tabs", "msmarco", "jsonl"] {
        assert!(search(&["--run-format", form]).status.success(), "{form}");
        let shown =
            ok(&["eval", "--run", text(&run), "--qrels", text(&at("qrels")), "--measures", "R@10"]);
        assert!(shown.contains("R@10     1.0000"), "{form}: {shown}");
    }
    // Standard output, and queries, too.
    fs::write(at("spaces.jsonl"), "{\"_id\":\"q 1\",\"text\":\"granite\"}\n").unwrap();
    let plain = words(folder.path().join("p").tap_created(), &["plain"]);
    let error = fails(
        &["search", text(&plain), "--channel", "bm25", "--queries", text(&at("spaces.jsonl"))],
        4,
    );
    assert!(error.contains("query \"q 1\""), "{error}");
    let error =
        fails(&["search", text(&index), "--channel", "bm25", "--queries", text(&at("q.jsonl"))], 4);
    assert!(error.contains("white space") && error.contains("--run-format tabs"), "{error}");
    // A deleted document is not in the way, and tabs and lines' ends need JSON.
    ok(&["delete", text(&index), "doc one", " lead"]);
    assert!(search(&[]).status.success());
    let index = words(folder.path().join("t").tap_created(), &["tab\tid", "line\nend", "a b"]);
    let file = folder.path().join("t/q.jsonl");
    let search = ["search", text(&index), "--channel", "bm25", "--queries", text(&file)];
    let never = at("never");
    let error = fails(&[&search[..], &["--run", text(&never)]].concat(), 4);
    assert!(!never.exists());
    assert!(
        error.contains("3 documents") && error.contains("--run-format jsonl takes it"),
        "{error}"
    );
    let run = ok(&[
        "search",
        text(&index),
        "--channel",
        "bm25",
        "--queries",
        text(&file),
        "--run-format",
        "jsonl",
    ]);
    assert!(run.contains(r#""document":"tab\tid""#), "{run}");
}

/// A folder that is made on the way.
trait Created {
    fn tap_created(&self) -> &Path;
}

impl Created for PathBuf {
    fn tap_created(&self) -> &Path {
        fs::create_dir_all(self).unwrap();
        self
    }
}

#[test]
fn other_outputs_are_not_replaced_either() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("docs.jsonl"), 12_000, 1);
    let index = at("index");
    ok(&["index", text(&at("docs.jsonl")), "--out", text(&index)]);
    fs::write(at("mine"), "mine").unwrap();
    let mine = at("mine");
    for command in [
        &["export", text(&index), "--format", "jsonl", "--out", text(&mine)][..],
        &["inspect", text(&index), "--plot", text(&mine)],
        &["encode", text(&at("docs.jsonl")), "--out", text(&mine)],
    ] {
        let error = fails(command, 5);
        assert!(error.contains("--overwrite replaces it"), "{command:?}: {error}");
        assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
    }
    ok(&["inspect", text(&index), "--plot", text(&mine), "--overwrite"]);
    assert!(fs::read_to_string(&mine).unwrap().starts_with("<svg"));
    // The demo writes beside nothing that is not its own.
    let demo = at("demo");
    fs::create_dir_all(demo.join("sample")).unwrap();
    fs::write(demo.join("sample/corpus.jsonl"), "mine").unwrap();
    let error = fails(&["demo", "--out", text(&demo)], 5);
    assert!(error.contains("corpus.jsonl: the file is there"), "{error}");
    assert_eq!(fs::read_to_string(demo.join("sample/corpus.jsonl")).unwrap(), "mine");
    fs::remove_dir_all(demo.join("sample")).unwrap();
    fs::create_dir_all(demo.join("index")).unwrap();
    assert!(fails(&["demo", "--out", text(&demo)], 5).contains("index: the file is there"));
}

/// No command writes over what it reads, by whatever name, nor among an index's files.
#[test]
fn inputs_are_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("docs.jsonl"), 60, 1);
    queries(&at("queries.jsonl"));
    let (index, queries) = (at("index"), at("queries.jsonl"));
    ok(&["index", text(&at("docs.jsonl")), "--out", text(&index)]);
    fs::hard_link(&queries, at("other-name.jsonl")).unwrap();
    let asked = fs::read(&queries).unwrap();
    let current = fs::read(index.join("CURRENT")).unwrap();
    for out in [queries.clone(), at("other-name.jsonl"), index.join("CURRENT"), index.join("run")] {
        for command in [
            &["search", text(&index), "--queries", text(&queries), "--run"][..],
            &["export", text(&index), "--format", "jsonl", "--queries", text(&queries), "--out"],
        ] {
            let error = fails(&[command, &[text(&out), "--overwrite"]].concat(), 5);
            assert!(error.contains("name another"), "{error}");
        }
    }
    let texts = at("texts.jsonl");
    fs::write(&texts, "{\"_id\":\"1\",\"text\":\"granite\"}\n").unwrap();
    let encode = ["encode", text(&texts), "--out", text(&texts), "--overwrite"];
    let error = fails(&encode, 5);
    assert!(error.contains("that is read here"), "{error}");
    assert_eq!(fs::read(&queries).unwrap(), asked);
    assert_eq!(fs::read(index.join("CURRENT")).unwrap(), current);
    assert!(fs::read_to_string(&texts).unwrap().contains("granite"));
}
