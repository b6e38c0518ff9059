//! The channel dense on the command line: vectors of files, searched alone and with other channels.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by it")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{fails, ok, quarry, said, text};
use serde_json::Value;

/// Writes an .npy file of fp32.
fn npy(path: &Path, rows: &[[f32; 3]]) {
    let shape = format!("({}, 3)", rows.len());
    let head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let padded = (10 + head.len() + 1).next_multiple_of(64) - 11;
    bytes.extend(u16::try_from(padded + 1).unwrap().to_le_bytes());
    bytes.extend(format!("{head:<padded$}\n").bytes());
    bytes.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
    fs::write(path, bytes).unwrap();
}

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn index(&self) -> String {
        text(&self.at("index")).to_owned()
    }

    /// Five documents about stones and water, of which one has no vector; two queries.
    fn new() -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        let mut lines = String::new();
        for (id, words, weight) in [
            ("a", "hard granite", 3.0),
            ("b", "soft chalk", 2.0),
            ("c", "cold water", 1.0),
            ("d", "warm water", 0.5),
            ("e", "marble", 4.0),
        ] {
            lines += &format!(
                "{{\"id\":\"{id}\",\"text\":\"{words}\",\"even\":{},\"vector\":{{\"rock\":{weight}}}}}\n",
                id < "c"
            );
        }
        fs::write(files.at("docs.jsonl"), lines).unwrap();
        ok(&["index", text(&files.at("docs.jsonl")), "--out", &files.index(), "--no-tune"]);
        // In another order than the documents.
        npy(
            &files.at("docs.npy"),
            &[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0; 3], [0.8, 0.0, 0.6]],
        );
        fs::write(files.at("docs.ids"), "c\na\nd\ne\nb\n").unwrap();
        let queries = "{\"id\":\"q1\",\"text\":\"water\",\"vector\":{\"rock\":1}}\n\
                       {\"id\":\"q2\",\"text\":\"granite\",\"vector\":{\"rock\":1}}\n";
        fs::write(files.at("queries.jsonl"), queries).unwrap();
        npy(&files.at("queries.npy"), &[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]);
        files
    }

    fn add(&self, more: &[&str]) -> Vec<String> {
        let (rows, ids) = (self.at("docs.npy"), self.at("docs.ids"));
        let index = self.index();
        let fixed = ["dense", "add", &index, "--rows", text(&rows), "--ids", text(&ids)];
        fixed.iter().chain(more).map(|word| (*word).to_owned()).collect()
    }
}

fn words(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

/// Query and document of each line of a run.
fn pairs(run: &str) -> Vec<(&str, &str)> {
    run.lines()
        .map(|line| {
            let columns: Vec<&str> = line.split(' ').collect();
            (columns[0], columns[2])
        })
        .collect()
}

#[test]
fn vectors_are_added_and_searched() {
    let files = Files::new();
    let index = files.index();
    let queries = files.at("queries.jsonl");
    let vectors = files.at("queries.npy");
    let search = |more: &[&str]| {
        let dense = ["--dense-queries", text(&vectors), "-k", "3"];
        ok(&[&["search", &index, "--queries", text(&queries)], &dense[..], more].concat())
    };
    for storage in ["int8", "fp16", "fp32"] {
        let said = ok(&words(&files.add(&["--storage", storage, "--replace"])));
        assert!(said.contains("4 vectors of 3 dimensions"), "{said}");
        let run = search(&["--channel", "dense"]);
        let wanted = [("q1", "c"), ("q1", "d"), ("q1", "b"), ("q2", "a"), ("q2", "b"), ("q2", "d")];
        // a and b have no share of q1: equal scores, the larger id first.
        assert_eq!(pairs(&run), wanted, "{storage}: {run}");
        let filtered = search(&["--channel", "dense", "--filter", "even:true"]);
        assert_eq!(pairs(&filtered), [("q1", "b"), ("q1", "a"), ("q2", "a"), ("q2", "b")]);
    }
    let fused = search(&["--channel", "sparse,bm25,dense"]);
    let other = search(&["--channel", "dense,sparse,bm25"]);
    let untagged =
        |run: &str| run.replace("sparse+bm25+dense", "").replace("dense+sparse+bm25", "");
    assert_eq!(untagged(&fused), untagged(&other));
    assert!(pairs(&fused).contains(&("q1", "e")), "of the sparse channel alone: {fused}");
    let alone = search(&["--channel", "sparse,dense", "--weights", "sparse=0"]);
    assert_eq!(pairs(&alone), pairs(&search(&["--channel", "dense"])));
    let shown: Value = serde_json::from_str(&ok(&["inspect", &index, "--json"])).unwrap();
    assert_eq!(shown["segments"][0]["dense"]["meta"]["storage"], "fp32");
    assert_eq!(shown["manifest"]["features"]["dense"]["source"]["file"], "docs.npy");
    assert!(ok(&["inspect", &index]).contains("dense       4 vectors of 3 dimensions"));

    // One query, in words and as JSON, with its one row.
    let one = files.at("one.npy");
    npy(&one, &[[0.0, 1.0, 0.0]]);
    let asked = ["search", &index, "water", "--dense-queries", text(&one), "--channel"];
    let shown = ok(&[&asked[..], &["bm25,dense"]].concat());
    assert!(shown.contains("dense 1.0000 (rank 1)"), "{shown}");
    let json = ok(&[&asked[..], &["bm25,dense", "--json"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["hits"][0]["id"], "c");
    assert_eq!(json["hits"][0]["ranks"]["dense"], 1);
    let json = ok(&[&asked[..], &["dense", "--json", "-k", "1"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["hits"][0]["scores"]["dense"], 1.0);

    // Judged, with more rows than queries, by id.
    let qrels = files.at("qrels");
    fs::write(&qrels, "q1 0 c 1\nq2 0 a 1\n").unwrap();
    let ids = files.at("queries.ids");
    fs::write(&ids, "q0\nq2\nq1\n").unwrap();
    npy(&vectors, &[[0.5, 0.5, 0.5], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
    let eval = |more: &[&str]| {
        let fixed = ["eval", &index, "--queries", text(&queries), "--qrels", text(&qrels)];
        let dense = ["--channel", "dense", "--dense-queries", text(&vectors), "--json"];
        [&fixed[..], &dense, more].concat().iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()
    };
    let named = ok(&words(&eval(&["--dense-query-ids", text(&ids)])));
    let named: Value = serde_json::from_str(&named).unwrap();
    assert_eq!(named["nDCG@10"], 1.0);
    let compared = eval(&["--dense-query-ids", text(&ids), "--against-exact", "2"]);
    let compared = quarry(&words(&compared)).output().unwrap();
    let answer: Value = serde_json::from_slice(&compared.stdout).unwrap();
    assert_eq!(answer["overlap@2"], 1.0);
    assert!(said(&compared).contains("every dense vector"), "{}", said(&compared));
    let error = fails(&words(&eval(&[])), 4);
    assert!(
        error.contains("3 rows for 2 queries") && error.contains("--dense-query-ids"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_is_refused_with_the_way_on() {
    let files = Files::new();
    let index = files.index();
    let vectors = files.at("queries.npy");
    let queries = files.at("queries.jsonl");
    let search = ["search", &index, "--queries", text(&queries)];
    let dense = [&search[..], &["--channel", "dense", "--dense-queries", text(&vectors)]].concat();
    let error = fails(&dense, 1);
    assert!(error.contains("no dense channel") && error.contains("quarry dense add"), "{error}");
    ok(&words(&files.add(&[])));
    ok(&dense);
    let error = fails(&words(&files.add(&[])), 5);
    assert!(error.contains("--replace"), "{error}");
    let error = fails(&[&search[..], &["--channel", "dense"]].concat(), 1);
    assert!(
        error.contains("imported from docs.npy") && error.contains("--dense-queries"),
        "{error}"
    );
    let error = fails(&[&search[..], &["--dense-queries", text(&vectors)]].concat(), 2);
    assert!(error.contains("add --channel dense"), "{error}");
    let error = fails(&[&dense[..], &["--overlap", "0.5"]].concat(), 2);
    assert!(error.contains("searches no sparse vectors"), "{error}");
    let error = fails(&["index", text(&queries), "--out", "x", "--channel", "dense"], 2);
    assert!(error.contains("quarry dense add"), "{error}");
    npy(&vectors, &[[0.0, f32::NAN, 0.0], [1.0, 0.0, 0.0]]);
    let error = fails(&dense, 4);
    assert!(error.contains("row 0 (from 0): value 1 (from 0) is not a finite number"), "{error}");
    npy(&vectors, &[[0.0; 3], [1.0, 0.0, 0.0]]);
    let error = fails(&dense, 4);
    assert!(error.contains("query `q1` is zero"), "{error}");
    // Documents that are added have none: that is said, and the gap is filled.
    npy(&vectors, &[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]);
    let more = files.at("more.jsonl");
    fs::write(&more, "{\"id\":\"f\",\"text\":\"ice\",\"vector\":{\"rock\":9}}\n").unwrap();
    let error = fails(&["add", &index, text(&more)], 5);
    assert!(error.contains("--without-dense"), "{error}");
    ok(&["add", &index, text(&more), "--without-dense"]);
    let output = quarry(&dense).output().unwrap();
    assert!(said(&output).contains("1 document in 1 segment has no dense vectors"));
    let error = fails(&["merge", &index], 5);
    assert!(error.contains("dense vectors would be lost"), "{error}");
    npy(&files.at("docs.npy"), &[[0.0, 0.9, 0.0]]);
    let error = fails(&words(&files.add(&[])), 4);
    assert!(error.contains("5 ids for 1 row"), "{error}");
    fs::write(files.at("docs.ids"), "g\n").unwrap();
    let error = fails(&words(&files.add(&[])), 4);
    assert!(error.contains("1 document of the index not in it, such as `f`"), "{error}");
    fs::write(files.at("docs.ids"), "f\n").unwrap();
    let error = fails(&words(&files.add(&["--storage", "fp32"])), 5);
    assert!(error.contains("as int8") && error.contains("as fp32"), "{error}");
    ok(&words(&files.add(&[])));
    ok(&["merge", &index]);
    assert!(pairs(&ok(&dense)).contains(&("q1", "f")));
}
