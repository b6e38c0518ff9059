//! Inputs as people have them: vectors under other names, records that repeat, tables with a header, folders
//! with other files in them, files of other kinds, questions without words.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::fs;
use std::path::Path;

use common::{fails, ok, quarry, said, text};
use serde_json::Value;

/// Runs to the end; what it printed, and what it said besides.
fn both(args: &[&str]) -> (String, String) {
    let output = quarry(args).output().unwrap();
    assert!(output.status.success(), "quarry {args:?}: {}", said(&output));
    (String::from_utf8(output.stdout.clone()).unwrap(), said(&output))
}

fn documents(index: &Path) -> u64 {
    let json: Value = serde_json::from_str(&ok(&["inspect", text(index), "--json"])).unwrap();
    let segments = json["manifest"]["segments"].as_array().unwrap();
    segments.iter().map(|s| s["documents"].as_u64().unwrap()).sum()
}

#[test]
fn vectors_under_another_name_are_named_or_taken() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let line = |n: usize| {
        let weights: Vec<String> =
            (0..20).map(|t| format!("\"t{}\":{}.5", (n + t) % 40, 1 + (n * t) % 7)).collect();
        format!("{{\"_id\":\"d{n}\",\"text\":\"granite\",\"embedding\":{{{}}}}}", weights.join(","))
    };
    let lines: Vec<String> = (0..30).map(line).collect();
    fs::write(at("docs.jsonl"), lines.join("\n")).unwrap();
    let (docs, index) = (at("docs.jsonl"), at("index"));
    let build = ["index", text(&docs), "--out", text(&index)];
    let error = fails(&build, 4);
    assert!(error.contains("line 1") && error.contains("--vector-field embedding"), "{error}");
    // What the message says works, in the same place.
    ok(&[&build[..], &["--vector-field", "embedding"]].concat());
    let inspected = ok(&["inspect", text(&index)]);
    assert!(inspected.contains("terms       40"), "{inspected}");
    fs::write(at("q.jsonl"), "{\"_id\":\"q\",\"text\":\"x\",\"embedding\":{\"t3\":2}}\n").unwrap();
    let queries = at("q.jsonl");
    let search = ["search", text(&index), "--queries", text(&queries), "-k", "3"];
    let error = fails(&search, 4);
    assert!(error.contains("--vector-field embedding"), "{error}");
    assert_eq!(ok(&[&search[..], &["--vector-field", "embedding"]].concat()).lines().count(), 3);
    fs::write(at("more.jsonl"), line(99)).unwrap();
    let more = at("more.jsonl");
    let add = ["add", text(&index), text(&more)];
    assert!(fails(&add, 4).contains("--vector-field embedding"));
    ok(&[&add[..], &["--vector-field", "embedding"]].concat());
    assert_eq!(documents(&index), 31);
    assert!(fails(&["encode", text(&docs), "--out", text(&at("v"))], 4).contains("embedding"));

    // Kept as a field, it is not searched by, and makes no columns.
    let kept = at("kept");
    let words = ["index", text(&docs), "--out", text(&kept), "--channel", "bm25"];
    ok(&[&words[..], &["--field", "embedding:stored"]].concat());
    let answer = ok(&[
        "search",
        text(&kept),
        "granite",
        "--channel",
        "bm25",
        "--json",
        "--fields",
        "embedding",
    ]);
    assert!(answer.contains("\"t3\""), "{answer}");
    let filtered = ["search", text(&kept), "granite", "--channel", "bm25", "--filter"];
    fails(&[&filtered[..], &["embedding.t3:1.5"]].concat(), 1);

    // By number, as indices and values.
    fs::write(at("n.jsonl"), "{\"id\":\"a\",\"sv\":{\"indices\":[5,3],\"values\":[0.5,0.25]}}\n")
        .unwrap();
    fs::write(at("nq.jsonl"), "{\"id\":\"q\",\"sv\":{\"indices\":[3],\"values\":[2]}}\n").unwrap();
    let (numbers, by_number, asked) = (at("n.jsonl"), at("by-number"), at("nq.jsonl"));
    ok(&["index", text(&numbers), "--out", text(&by_number), "--vector-field", "sv"]);
    let run = ok(&["search", text(&by_number), "--queries", text(&asked), "--vector-field", "sv"]);
    assert_eq!(run, "q Q0 a 1 0.5 quarry-sparse\n");
}

#[test]
fn records_that_repeat_are_harmless_and_others_of_one_id_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("parts")).unwrap();
    let record = |id: &str, words: &str| format!("{{\"id\":\"{id}\",\"contents\":\"{words}\"}}\n");
    let first = record("d1", "granite") + &record("d2", "marble");
    fs::write(at("parts/a.jsonl"), &first).unwrap();
    fs::write(at("parts/b.jsonl"), record("d3", "slate") + &record("d1", "granite")).unwrap();
    let (parts, index) = (at("parts"), at("index"));
    let build = ["index", text(&parts), "--out", text(&index), "--channel", "bm25", "--overwrite"];
    let (_, notes) = both(&build);
    assert!(
        notes.contains("b.jsonl: 1 document was left out, equal to the letter to an earlier one"),
        "{notes}"
    );
    assert!(notes.contains("on line 2"), "{notes}");
    assert_eq!(documents(&index), 3);

    fs::write(at("parts/b.jsonl"), record("d3", "slate") + &record("d1", "basalt")).unwrap();
    let error = fails(&build, 4);
    for part in ["b.jsonl, line 2", "\"d1\"", "a.jsonl, line 1", "--duplicates last"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    both(&[&build[..], &["--duplicates", "last"]].concat());
    let found =
        |word: &str| ok(&["search", text(&index), word, "--channel", "bm25"]).contains("d1");
    assert_eq!((found("basalt"), found("granite"), documents(&index)), (true, false, 3));

    // Added documents go by the same rule; those of the index are replaced.
    fs::write(at("twice.jsonl"), record("d2", "chalk") + &record("d2", "lava")).unwrap();
    let twice = at("twice.jsonl");
    let add = ["add", text(&index), text(&twice)];
    assert!(fails(&add, 4).contains("twice.jsonl, line 2"));
    ok(&[&add[..], &["--duplicates", "last"]].concat());
    assert!(ok(&["search", text(&index), "lava", "--channel", "bm25"]).contains("d2"));
    fs::write(at("twice.jsonl"), record("d2", "chalk") + &record("d2", "chalk")).unwrap();
    let (shown, notes) = both(&add);
    assert!(
        notes.contains("1 document was left out") && shown.contains("1 document added"),
        "{notes}"
    );

    // Queries.
    fs::write(at("q.tsv"), "q1\tchalk\nq1\tchalk\nq2\tslate\n").unwrap();
    let queries = at("q.tsv");
    let search = ["search", text(&index), "--channel", "bm25", "--queries", text(&queries)];
    let (run, notes) = both(&search);
    assert_eq!(run.lines().count(), 2);
    assert!(notes.contains("q.tsv: 1 query was left out"), "{notes}");
    fs::write(at("q.tsv"), "q1\tchalk\n\nq1\tslate\n").unwrap();
    let error = fails(&search, 4);
    assert!(error.contains("q.tsv, line 3") && error.contains("line 1"), "{error}");
}

#[test]
fn headers_folders_and_files_of_other_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let build = |input: &Path, more: &[&str]| {
        let index = at("index");
        let words =
            ["index", text(input), "--out", text(&index), "--channel", "bm25", "--overwrite"];
        both(&[&words[..], more].concat()).1
    };
    fs::write(at("dpr.tsv"), "id\ttext\ttitle\n1\tgranite rock\tStone\n2\tmarble\tOther\n")
        .unwrap();
    let notes = build(&at("dpr.tsv"), &[]);
    assert!(notes.contains("was taken for the names of the columns"), "{notes}");
    assert_eq!(documents(&at("index")), 2);
    let index = at("index");
    let shown = ok(&["search", text(&index), "granite", "--channel", "bm25"]);
    assert!(shown.contains("1  Stone"), "{shown}");
    fs::write(at("q.tsv"), "query_id\tquery\nq\tmarble\n").unwrap();
    let queries = at("q.tsv");
    let (run, notes) =
        both(&["search", text(&index), "--channel", "bm25", "--queries", text(&queries)]);
    assert!(run.starts_with("q Q0 2 1 ") && run.lines().count() == 1, "{run}");
    assert!(notes.contains("names of the columns"), "{notes}");

    let parts = at("parts");
    fs::create_dir_all(parts.join("sub")).unwrap();
    fs::write(parts.join("part-1.jsonl"), "{\"id\":\"a\",\"contents\":\"granite\"}\n").unwrap();
    fs::write(parts.join("part-2.json"), "{\"id\":\"b\",\"contents\":\"slate\"}\n").unwrap();
    fs::write(parts.join("part-3.jsonl"), "").unwrap();
    fs::write(parts.join("._part-1.jsonl"), b"\0\x05\x16\x07resource").unwrap();
    fs::write(parts.join("README.md"), "# no part").unwrap();
    let notes = build(&parts, &[]);
    assert!(notes.contains("not read: \"README.md\", \"sub/\""), "{notes}");
    assert!(!notes.contains("._part"), "{notes}");
    assert_eq!(documents(&at("index")), 2);

    for (name, bytes, want) in [
        ("a.json", &b"[{\"id\": \"a\", \"text\": \"x\"}]"[..], "a JSON array"),
        ("p.json", b"{\n \"id\": \"a\"\n}\n", "several lines"),
        (
            "m.npz",
            b"PK\x03\x04\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0indices.npy",
            ".npz",
        ),
        ("m.npy", b"\x93NUMPY\x01\0v\0{'descr': '<f4'}", ".npy"),
        ("x.parquet", b"PAR1\x15\x04\x15", "Parquet"),
        ("u.jsonl", b"\xff\xfe{\0\"\0i\0d\0\"\0:\0\x31\0}\0\n\0", "iconv -f utf-16"),
        ("._x.jsonl", b"\0\x05\x16\x07resource", "macOS"),
        ("cut.jsonl", b"{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"b\",\"te", "the file is cut"),
        ("latin1.jsonl", b"{\"id\":\"a\",\"text\":\"caf\xe9\"}\n", "iconv -f latin1"),
        ("page.jsonl", b"<!DOCTYPE html><title>404</title>", "HTML"),
    ] {
        fs::write(at(name), bytes).unwrap();
        let (input, out) = (at(name), at("refused"));
        let error = fails(
            &["index", text(&input), "--out", text(&out), "--channel", "bm25", "--overwrite"],
            4,
        );
        assert!(error.contains(want) && error.contains(name), "{name}: {error}");
    }
    fs::write(at("none.tsv"), "\n").unwrap();
    let none = at("none.tsv");
    let error = fails(&["search", text(&index), "--channel", "bm25", "--queries", text(&none)], 4);
    assert!(error.contains("none.tsv: the file is empty"), "{error}");
}

#[test]
fn questions_without_words_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("docs.tsv"), "1\tgranite rock\n2\tmarble\n").unwrap();
    let (docs, index) = (at("docs.tsv"), at("index"));
    ok(&["index", text(&docs), "--out", text(&index), "--tokens"]);
    fs::write(at("q.jsonl"), "{\"_id\":\"q1\",\"text\":\"granite\"}\n{\"_id\":\"q2\",\"text\":\"\"}\n{\"_id\":\"q3\",\"text\":\"  \"}\n").unwrap();
    fs::write(at("q.tsv"), "q1\tgranite\nq2\t\nq3\t  \n").unwrap();
    for file in ["q.jsonl", "q.tsv"] {
        let queries = at(file);
        for channel in ["sparse", "bm25", "maxsim"] {
            let args = ["search", text(&index), "--channel", channel, "--queries", text(&queries)];
            let (run, notes) = both(&args);
            assert!(
                !run.is_empty() && run.lines().all(|l| l.starts_with("q1 ")),
                "{channel}: {run}"
            );
            let want = "2 queries have no words that can match, such as \"q2\"";
            assert!(notes.contains(want), "{file}, {channel}: {notes}");
        }
    }
}
