//! `quarry fuse`: runs of several systems become one.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::fs;

use common::{fails, ok, quarry, said, text};

const A: &str = "1 Q0 x 1 4 a\n1 Q0 y 2 2 a\n2 Q0 x 1 1 a\n";
const B: &str = "1 Q0 z 1 9 b\n1 Q0 y 2 6 b\n";

#[test]
fn runs_become_one() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.run"), dir.path().join("b.run"));
    fs::write(&a, A).unwrap();
    fs::write(&b, B).unwrap();
    let rows = |out: &str| -> Vec<(String, String, f64)> {
        let row = |line: &str| {
            let columns: Vec<&str> = line.split(' ').collect();
            (columns[0].to_owned(), columns[2].to_owned(), columns[4].parse().unwrap())
        };
        out.lines().map(row).collect()
    };
    let wanted = |rows: &[(String, String, f64)], wanted: &[(&str, &str, f64)]| {
        assert_eq!(rows.len(), wanted.len(), "{rows:?}");
        for (found, wanted) in rows.iter().zip(wanted) {
            let same = (found.0.as_str(), found.1.as_str()) == (wanted.0, wanted.1);
            assert!(same && (found.2 - wanted.2).abs() < 1e-6, "{rows:?}");
        }
    };
    let both = ["fuse", text(&a), text(&b)];
    // z and x have 1 each, in runs of one weight both are first: the larger id.
    let max = ok(&both);
    wanted(
        &rows(&max),
        &[("1", "y", 0.5 + 6.0 / 9.0), ("1", "z", 1.0), ("1", "x", 1.0), ("2", "x", 1.0)],
    );
    let note = said(&quarry(&both).output().unwrap());
    assert!(note.contains("b.run has no ranking of 1 of 2 queries"), "{note}");
    let rrf = ok(&[&both[..], &["--fusion", "rrf", "--rrf-k", "0", "--weights", "1,0.5"]].concat());
    wanted(&rows(&rrf), &[("1", "x", 1.0), ("1", "y", 0.75), ("1", "z", 0.5), ("2", "x", 1.0)]);
    // The order of the runs changes nothing, nor does one without weight.
    assert_eq!(
        ok(&["fuse", text(&b), text(&a)]).lines().take(3).collect::<Vec<_>>(),
        max.lines().take(3).collect::<Vec<_>>()
    );
    let alone = ok(&["fuse", text(&a), text(&b), "--weights", "1,0", "-k", "1"]);
    wanted(&rows(&alone), &[("1", "x", 1.0), ("2", "x", 1.0)]);

    let out = dir.path().join("fused.run");
    ok(&[&both[..], &["--run", text(&out)]].concat());
    assert_eq!(fs::read_to_string(&out).unwrap(), max);
}

#[test]
fn what_cannot_be_fused_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.run"), dir.path().join("b.run"));
    fs::write(&a, A).unwrap();
    fs::write(&b, "1 Q0 x 1 -3 logits\n").unwrap();
    let both = ["fuse", text(&a), text(&b)];
    let with = |more: &[&str], code| fails(&[&both[..], more].concat(), code);
    let error = with(&[], 4);
    assert!(error.contains("query `1`") && error.contains("minmax"), "{error}");
    ok(&[&both[..], &["--fusion", "minmax"]].concat());
    for weights in ["1", "1,2,3", "1,-1", "1,NaN", "0,0", "1,inf"] {
        let error = with(&["--weights", weights], 2);
        assert!(error.contains("--weights"), "{weights}: {error}");
    }
    with(&["--rrf-k", "3"], 2);
    with(&["--fusion", "rrf", "--rrf-k", "-1"], 2);
    with(&["--window", "0"], 2);
    for weights in ["1,1e38", "1e-300,1e-301"] {
        with(&["--weights", weights], 2);
    }
    with(&["--fusion", "rrf", "--rrf-k", "1e300"], 2);
    let empty = dir.path().join("empty.run");
    fs::write(&empty, "").unwrap();
    fails(&["fuse", text(&empty), text(&empty)], 4);
    fails(&["fuse", text(&a)], 2);
    // Measures compare 32 bits: equal sums stay apart in them.
    let (c, d) = (dir.path().join("c.run"), dir.path().join("d.run"));
    fs::write(&c, "1 Q0 a 1 4 t\n1 Q0 b 2 3 t\n").unwrap();
    fs::write(&d, "1 Q0 b 1 4 t\n1 Q0 a 2 2 t\n").unwrap();
    let (run, qrels) = (dir.path().join("equal.run"), dir.path().join("qrels.txt"));
    fs::write(&qrels, "1 0 a 1\n").unwrap();
    ok(&["fuse", text(&c), text(&d), "--weights", "1,0.5", "--run", text(&run)]);
    let eval = ["eval", "--run", text(&run), "--qrels", text(&qrels), "--measures", "RR@10"];
    assert!(ok(&eval).contains("1.0000"));
    // No output over an input.
    with(&["--fusion", "rrf", "--run", text(&a), "--overwrite"], 5);
    assert_eq!(fs::read_to_string(&a).unwrap(), A);
}

/// An index's channels fuse to the same as their runs do, whole or with weights; options that do nothing are refused.
#[test]
fn channels_fuse_as_their_runs_do() {
    let dir = tempfile::tempdir().unwrap();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../datasets/sample");
    let index = dir.path().join("ix");
    ok(&["index", sample, "--out", text(&index)]);
    let run = |channels: &str, more: &[&str]| {
        let path = dir.path().join(format!("{channels}{}.run", more.concat()));
        let search = ["search", text(&index), "--queries", sample, "-k", "1000", "--channel"];
        ok(&[&search[..], &[channels, "--run", text(&path)], more].concat());
        path
    };
    let (sparse, bm25) = (run("sparse", &["--method", "exact"]), run("bm25", &[]));
    let lines = |text: &str| -> Vec<(String, String)> {
        let columns = |line: &str| {
            let columns: Vec<&str> = line.split(' ').collect();
            (columns[0].to_owned(), columns[2].to_owned())
        };
        text.lines().map(columns).collect()
    };
    for (fusion, weights) in [("max", ("sparse=1,bm25=0.5", "1,0.5")), ("rrf", ("bm25=2", "1,2"))] {
        let together =
            run("bm25,sparse", &["--method", "exact", "--fusion", fusion, "--weights", weights.0]);
        let of_runs =
            ok(&["fuse", text(&sparse), text(&bm25), "--fusion", fusion, "--weights", weights.1]);
        let together = fs::read_to_string(together).unwrap();
        assert_eq!(lines(&together), lines(&of_runs), "{fusion}");
    }
    let tuned = ok(&["tune", text(&index), "--fusion", "--collection", sample]);
    let rows: Vec<Vec<&str>> = tuned.lines().map(|l| l.split_whitespace().collect()).collect();
    for (row, name) in ["nDCG@10", "sparse", "bm25", "default", "chosen", "left"].iter().enumerate()
    {
        assert_eq!(rows[row][0], *name, "{tuned}");
    }
    let value = |row: usize| rows[row][1].parse::<f64>().unwrap();
    assert!(value(4) >= value(3) && value(4) >= value(1), "{tuned}");
    let left_out = rows[5][2].parse::<f64>().unwrap();
    let advice = match left_out > value(3) {
        true => "use: --channel sparse,bm25 --weights sparse=1,bm25=",
        false => "keep the defaults",
    };
    assert!(tuned.contains("40 judged queries; ") && tuned.contains(advice), "{tuned}");
    for more in [
        &["--collection", sample][..],
        &["--fusion"],
        &["--measure", "RR@10"],
        &["--fusion", "--collection", sample, "--channel", "sparse"],
        &["--fusion", "--collection", sample, "--json"],
    ] {
        fails(&[&["tune", text(&index)], more].concat(), 2);
    }
    // What the run of vectors lacks can be scored with an index alone.
    run("bm25,sparse", &["--fusion", "minmax"]);
    let eval = ["eval", text(&index), "--collection", sample, "--measures", "nDCG@10"];
    let fused = ok(&[&eval[..], &["--channel", "sparse,bm25"]].concat());
    assert!(fused.contains("nDCG@10"), "{fused}");

    let search =
        |more: &[&str], code| fails(&[&["search", text(&index), "bread"][..], more].concat(), code);
    for more in [
        &["--fusion", "rrf"][..],
        &["--window", "5"],
        &["--weights", "bm25=1"],
        &["--channel", "sparse,sparse"],
        &["--channel", "sparse,bm25", "--weights", "maxsim=1"],
        &["--channel", "sparse,bm25", "--weights", "bm25=-1"],
        &["--channel", "sparse,bm25", "--weights", "bm25"],
        &["--channel", "sparse,bm25", "--weights", "sparse=3e38"],
        &["--channel", "sparse,bm25", "--weights", "bm25=1,bm25=2"],
        &["--channel", "sparse,bm25", "--window", "5000", "--json"],
        &["-k", "2000", "--json"],
        &["--channel", "sparse,bm25", "--rrf-k", "3"],
        &["--channel", "sparse,bm25", "--fusion", "rrf", "--rrf-k", "NaN"],
    ] {
        search(more, 2);
    }
    for method in ["exact", "scan"] {
        ok(&["search", text(&index), "bread", "--method", method, "--json"]);
    }
    let shown =
        ok(&["search", text(&index), "why does bread go stale", "--channel", "sparse,bm25"]);
    assert!(shown.contains("(rank 1); bm25"), "{shown}");
}

/// Passages are fused, then each document's best is its hit: both channels' scores are of the passage shown.
#[test]
fn passages_are_fused_before_documents() {
    let dir = tempfile::tempdir().unwrap();
    let (corpus, index) = (dir.path().join("corpus.jsonl"), dir.path().join("ix"));
    let filler = "the river carries sand and mud to the sea every spring ".repeat(6);
    let documents = [
        ("a", format!("bread goes stale {filler} bread bread bread")),
        ("b", format!("{filler} why bread goes stale")),
        ("c", format!("stale stale stale {filler} {filler} bread")),
    ];
    let line = |(id, text): &(&str, String)| format!("{{\"_id\":\"{id}\",\"text\":\"{text}\"}}\n");
    fs::write(&corpus, documents.iter().map(line).collect::<String>()).unwrap();
    ok(&["index", text(&corpus), "--out", text(&index), "--passages", "24", "--no-tune"]);
    let search = ["search", text(&index), "stale bread", "--method", "exact", "-k"];
    let all = |k: &str| {
        let found = ok(&[&search[..], &[k, "--channel", "sparse,bm25", "--json"]].concat());
        serde_json::from_str::<serde_json::Value>(&found).unwrap()["hits"].clone()
    };
    let alone = |channel: &str| {
        let of = ["search", text(&index), "stale bread", "-k", "1", "--channel", channel, "--json"];
        let found = ok(&of);
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        found["hits"][0]["score"].as_f64().unwrap()
    };
    let (sparse, bm25) = (alone("sparse"), alone("bm25"));
    let hits = all("3");
    let hits = hits.as_array().unwrap();
    let mut ids: Vec<&str> = hits.iter().map(|hit| hit["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a", "b", "c"]);
    for hit in hits {
        // Scores of the passage that the hit is, not of another one.
        let part = |name: &str| hit["scores"][name].as_f64().unwrap_or(0.0);
        let wanted = part("sparse") / sparse + 0.3 * part("bm25") / bm25;
        assert!((hit["score"].as_f64().unwrap() - wanted).abs() < 1e-5, "{hit} {wanted}");
    }
    assert_eq!(all("1")[0], hits[0]);
}
