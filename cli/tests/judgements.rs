//! `quarry eval` says what its figures are of: documents and queries that judgements name and nothing
//! has, collections that cannot be used, and one value for what is reranked.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{fails, ok, quarry, said, text};
use serde_json::Value;

/// A BEIR folder of four documents and two queries.
fn beir(folder: &Path, qrels: &str) -> PathBuf {
    fs::create_dir_all(folder.join("qrels")).unwrap();
    let corpus = "{\"_id\":1,\"text\":\"alpha stone quarry\"}\n{\"_id\":\"01\",\"text\":\"beta granite quarry\"}\n\
         {\"_id\":\"001\",\"text\":\"gamma marble quarry\"}\n{\"_id\":\"x\",\"text\":\"delta slate quarry\"}\n";
    fs::write(folder.join("corpus.jsonl"), corpus).unwrap();
    let queries = "{\"_id\":7,\"text\":\"granite\"}\n{\"_id\":\"07\",\"text\":\"slate\"}\n";
    fs::write(folder.join("queries.jsonl"), queries).unwrap();
    fs::write(folder.join("qrels/test.tsv"), format!("query-id\tcorpus-id\tscore\n{qrels}"))
        .unwrap();
    folder.to_path_buf()
}

const GOOD: &str = "7\t01\t1\n07\tx\t1\n";

/// What `eval` of words prints, and what it says besides.
fn eval(index: &Path, collection: &Path, more: &[&str]) -> (String, String) {
    let words = ["eval", text(index), "--collection", text(collection), "--channel", "bm25"];
    let output = quarry(&[&words[..], more].concat()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    (String::from_utf8(output.stdout.clone()).unwrap(), said(&output))
}

#[test]
fn judged_documents_that_are_not_there_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (good, index) = (beir(&folder.path().join("good"), GOOD), folder.path().join("index"));
    ok(&["index", text(&good), "--out", text(&index), "--channel", "bm25"]);
    let (shown, notes) = eval(&index, &good, &[]);
    assert!(shown.contains("nDCG@10  1.0000") && shown.contains("queries       2"), "{shown}");
    assert!(!notes.contains("note:"), "{notes}");

    let other = beir(&folder.path().join("other"), "7\tS197\t2\n07\tS1b0\t1\n");
    let (shown, notes) = eval(&index, &other, &[]);
    assert!(shown.contains("nDCG@10  0.0000"), "{shown}");
    assert!(
        notes.contains("2 of 2 judged documents are not in the index, such as \"S197\""),
        "{notes}"
    );
    let some = beir(&folder.path().join("some"), "7\t01\t1\n07\tgone\t1\nlost\t1\t1\nnone\t1\t0\n");
    let (_, notes) = eval(&index, &some, &[]);
    for part in [
        "1 of 3 judged documents is not in the index, such as \"gone\"",
        "1 judged query has no relevant document",
        "2 of 4 judged queries have no ranking and count as zero",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    let (json, _) = eval(&index, &some, &["--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["queries"], &json["unanswered"]), (&4.into(), &2.into()));
    assert_eq!(
        (&json["judged_documents"], &json["judged_documents_missing"]),
        (&3.into(), &1.into())
    );
    // A deleted document is not there.
    ok(&["delete", text(&index), "01"]);
    assert!(eval(&index, &good, &[]).1.contains("1 of 2 judged documents"));

    // Means are over the queries that are used.
    let (shown, _) = eval(&index, &good, &["--only", "2-2"]);
    assert!(shown.contains("nDCG@10  1.0000") && shown.contains("queries       1"), "{shown}");
    let nothing = beir(&folder.path().join("nothing"), "");
    let error =
        fails(&["eval", text(&index), "--collection", text(&nothing), "--channel", "bm25"], 4);
    assert!(error.contains("no judgement is in it"), "{error}");
    let split = ["eval", text(&index), "--collection", text(&good), "--split", "dev"];
    assert!(
        fails(&split, 4)
            .contains("dev.tsv: no such file, neither plain nor as .gz or .zst; there is test")
    );
    fs::write(folder.path().join("run"), "7 Q0 y 1 1 t\n").unwrap();
    let qrels = good.join("qrels/test.tsv");
    let run = folder.path().join("run");
    let output = quarry(&["eval", "--run", text(&run), "--qrels", text(&qrels)]).output().unwrap();
    assert!(
        said(&output).contains("none of the 2 judged documents is in the run"),
        "{}",
        said(&output)
    );
}

#[test]
fn pairs_are_left_out_and_ties_stand_as_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let good = beir(&at("good"), "7\t1\t1\n");
    fs::write(good.join("queries.jsonl"), "{\"_id\":7,\"text\":\"granite stone\"}\n").unwrap();
    let index = at("index");
    ok(&["index", text(&good), "--out", text(&index), "--channel", "bm25"]);
    let rr = |more: &[&str]| {
        let (json, _) = eval(&index, &good, &[&["--json", "--measures", "RR@10"], more].concat());
        serde_json::from_str::<Value>(&json).unwrap()["RR@10"].as_f64().unwrap()
    };
    // Equal scores: id descending is trec_eval's order, ascending that of MS MARCO's script.
    assert_eq!((rr(&[]), rr(&["--ties", "msmarco"])), (1.0, 0.5));
    fs::write(good.join("qrels/test.tsv"), "7\t01\t1\n").unwrap();
    assert_eq!(rr(&[]), 0.5);
    fs::write(at("pairs"), "7\t1\n").unwrap();
    assert_eq!(rr(&["--ignore-pairs", text(&at("pairs"))]), 1.0);
}

#[test]
fn sets_that_cannot_be_used_are_named_and_the_others_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (root, dir) = (folder.path().join("beir"), folder.path().join("indexes"));
    for name in ["good", "nodev", "nojudged", "broken", "cqa/x", "cqa/y"] {
        beir(&root.join(name), if name == "nojudged" { "" } else { GOOD });
    }
    beir(&root.join("cqa/y"), "7\tx\t1\n07\tx\t1\n");
    fs::rename(root.join("nodev/qrels/test.tsv"), root.join("nodev/qrels/dev.tsv")).unwrap();
    let mut cut = fs::read_to_string(root.join("broken/corpus.jsonl")).unwrap();
    cut.push_str("{\"_id\":\"z\",\"text\": ");
    fs::write(root.join("broken/corpus.jsonl"), cut).unwrap();
    let sets = ["eval", text(&dir), "--sets", text(&root), "--measures", "RR@10"];
    let run = |more: &[&str]| {
        let output = quarry(&[&sets[..], more].concat()).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        (String::from_utf8(output.stdout.clone()).unwrap(), said(&output))
    };
    let (shown, notes) = run(&[]);
    for part in [
        "note: broken is left out",
        "line 5",
        "note: nodev is left out",
        "there is dev",
        "note: nojudged is left out",
        "no judgement is in it",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    let first = |notes: &str, part: &str| notes.find(part).unwrap_or(usize::MAX);
    assert!(first(&notes, "broken is left out") < first(&notes, ": indexing"), "{notes}");
    let rows: Vec<Vec<&str>> = shown.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["RR@10", "bm25", "sparse", "reranked", "queries"]);
    assert_eq!((rows[1][0], rows[1][1], rows[1][4]), ("cqa", "0.7500", "4"), "{shown}");
    assert_eq!((rows[2][0], rows[2][1]), ("cqa/x", "1.0000"));
    assert_eq!((rows[3][0], rows[3][1]), ("cqa/y", "0.5000"));
    assert_eq!((rows[4][0], rows[4][1]), ("good", "1.0000"));
    assert_eq!((rows[5][0], rows[5][1]), ("mean", "0.8750"));

    // What is there is reused: a run of the same index, queries and settings is not made again.
    let kept = dir.join("runs/good.sparse.trec");
    let written = fs::metadata(&kept).unwrap().modified().unwrap();
    let (again, notes) = run(&[]);
    assert_eq!(again, shown);
    assert!(!notes.contains("indexing"), "{notes}");
    assert_eq!(fs::metadata(&kept).unwrap().modified().unwrap(), written);
    let (json, _) = run(&["--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["cqa"]["bm25"]["RR@10"], 0.75);
    assert_eq!(json["cqa"]["parts"]["cqa/y"]["bm25"]["RR@10"], 0.5);
    assert!(json["skipped"]["nodev"].as_str().unwrap().contains("there is dev"), "{json}");
    // Of other settings, or changed by somebody, it is not replaced unless that is wanted.
    let error = fails(&[&sets[..], &["--rerank-k", "1"]].concat(), 5);
    assert!(error.contains("other settings") && error.contains("--overwrite"), "{error}");
    fs::write(&kept, "7 Q0 1 1 1 mine\n").unwrap();
    // One that cannot be used leaves the others.
    let (others, notes) = run(&[]);
    assert!(notes.contains("good is left out") && notes.contains("good.sparse.trec"), "{notes}");
    assert!(others.contains("cqa/x") && !others.contains("good"), "{others}");
    // An index is no place for others, and collections without documents are named.
    let error = fails(&["eval", text(&dir.join("good")), "--sets", text(&root)], 5);
    assert!(error.contains("is an index"), "{error}");
    fs::create_dir_all(root.join("lacking/qrels")).unwrap();
    beir(&root.join("deep/er/still"), GOOD);
    let (_, notes) = run(&[]);
    for name in ["lacking", "deep/er"] {
        assert!(notes.contains(&format!("{name} is left out")), "{name}: {notes}");
    }
    fs::remove_dir_all(root.join("lacking")).unwrap();
    fs::remove_dir_all(root.join("deep")).unwrap();
    assert_eq!(run(&["--overwrite"]).0, shown);
    // A collection that changed since has an index of before.
    let corpus = root.join("good/corpus.jsonl");
    let grown = fs::read_to_string(&corpus).unwrap() + "{\"_id\":\"n\",\"text\":\"new\"}\n";
    fs::write(&corpus, grown).unwrap();
    let (shown, notes) = run(&[]);
    assert!(notes.contains("good is left out") && !shown.contains("good"), "{notes}");
    assert!(run(&["--overwrite"]).0.contains("good"));
}

/// The demo, the table of many collections and `eval --rerank` measure the same ranking.
#[test]
fn reranked_is_one_value() {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo");
    let shown = ok(&["demo", "--out", text(&demo)]);
    let of_demo: Vec<&str> =
        shown.lines().find(|l| l.starts_with("reranked")).unwrap().split_whitespace().collect();
    let (index, sample) = (demo.join("index"), demo.join("sample"));
    let words =
        ["eval", text(&index), "--collection", text(&sample), "--rerank", "--no-exhaustive"];
    let more = ["--measures", "nDCG@10,RR@10,R@100", "--json"];
    let run = folder.path().join("run");
    let json = ok(&[&words[..], &more, &["--run", text(&run)]].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    let of_eval = |measure: &str| format!("{:.4}", json["reranked"][measure].as_f64().unwrap());
    for (at, measure) in [(1, "nDCG@10"), (2, "RR@10"), (3, "R@100")] {
        assert_eq!(of_demo[at], of_eval(measure), "{measure}");
    }
    // The run that was written has the value, too.
    let qrels = sample.join("qrels/test.tsv");
    let read = ok(&["eval", "--run", text(&run), "--qrels", text(&qrels), "--json"]);
    let read: Value = serde_json::from_str(&read).unwrap();
    assert_eq!(read["nDCG@10"], json["reranked"]["nDCG@10"]);
    let root = folder.path().join("root");
    fs::create_dir_all(&root).unwrap();
    fs::rename(&sample, root.join("sample")).unwrap();
    fs::create_dir_all(folder.path().join("dir")).unwrap();
    fs::rename(&index, folder.path().join("dir/sample")).unwrap();
    let dir = folder.path().join("dir");
    let sets = ok(&["eval", text(&dir), "--sets", text(&root), "--json"]);
    let sets: Value = serde_json::from_str(&sets).unwrap();
    assert_eq!(sets["sample"]["reranked"]["nDCG@10"], json["reranked"]["nDCG@10"]);
}
