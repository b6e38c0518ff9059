//! Figures on real collections, published or computed by others. Each test says when it is skipped.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]
#![allow(clippy::approx_constant, reason = "figures that look like constants")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{note, ok, shared, text};

fn eval(args: &[&str]) -> serde_json::Value {
    let output = ok(&[&["eval"], args, &["--json"]].concat());
    serde_json::from_str(&output).unwrap()
}

fn number(json: &serde_json::Value, name: &str) -> f64 {
    json[name].as_f64().unwrap_or_else(|| panic!("no {name} in {json}"))
}

/// SPLADE-v3's vectors of NFCorpus with queries of four models, against the published nDCG@10 and
/// R@100 of exact search; and Seismic's agreement with it.
#[test]
fn nfcorpus_by_published_vectors() {
    let Some(shared) = shared("nfcorpus_by_published_vectors") else { return };
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    let vectors = shared.join("data/vectors/nfcorpus-splade-v3");
    ok(&[
        "index",
        text(&vectors.join("documents.jsonl")),
        "--out",
        text(&index),
        "--lists",
        "seismic",
    ]);
    let qrels = shared.join("data/beir/nfcorpus/qrels/test.tsv");
    let check = std::fs::read_to_string(vectors.join("check.json")).unwrap();
    let check: serde_json::Value = serde_json::from_str(&check).unwrap();
    for (file, want) in check.as_object().unwrap() {
        let queries = shared.join("data/vectors/anserini-queries").join(file);
        let got = eval(&[
            text(&index),
            "--queries",
            text(&queries),
            "--query-format",
            "anserini",
            "--qrels",
            text(&qrels),
            "--method",
            "exact",
        ]);
        for measure in ["nDCG@10", "R@100"] {
            let (got, want) = (number(&got, measure), number(want, measure));
            assert!((got - want).abs() < 0.000_051, "{file}: {measure} {got}, published {want}");
        }
    }
    let queries = vectors.join("queries.jsonl");
    let seismic = eval(&[
        text(&index),
        "--queries",
        text(&queries),
        "--method",
        "seismic",
        "--against-exact",
        "10",
    ]);
    let overlap = number(&seismic, "overlap@10");
    note(&format!("nfcorpus, splade-v3: overlap@10 {overlap:.4}"));
    assert!(overlap >= 0.97, "{seismic}");
}

/// BM25 on three sets, against another implementation of it.
#[test]
fn bm25_on_real_collections() {
    let Some(shared) = shared("bm25_on_real_collections") else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, want) in [("scifact", 0.676), ("nfcorpus", 0.318), ("cranfield", 0.491)] {
        let index = folder.path().join(name);
        let collection = shared.join("data/beir").join(name);
        ok(&["index", text(&collection), "--out", text(&index), "--channel", "bm25"]);
        let got = number(
            &eval(&[text(&index), "--collection", text(&collection), "--channel", "bm25"]),
            "nDCG@10",
        );
        assert!((got - want).abs() <= 0.015, "{name}: nDCG@10 {got}, reference {want}");
    }
}

/// Seismic at its defaults against exact search on 396,059 real vectors, both query sets, within a
/// memory bound.
#[test]
fn seismic_agrees_with_exact_on_wiki396k() {
    let Some(shared) = shared("seismic_agrees_with_exact_on_wiki396k") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    if !unpack(&shared, folder.path()) {
        return;
    }
    let index = at("index");
    ok(&[
        "index",
        text(&at("documents.bin")),
        "--out",
        text(&index),
        "--lists",
        "seismic",
        "--no-tune",
        "--memory",
        "1GiB",
    ]);
    for set in ["expanded", "inference-free"] {
        let queries = at(&format!("queries-{set}.bin"));
        let got = eval(&[
            text(&index),
            "--queries",
            text(&queries),
            "--only",
            "1-1000",
            "--method",
            "seismic",
            "--against-exact",
            "10",
        ]);
        let overlap = number(&got, "overlap@10");
        note(&format!("wiki396k, {set}: overlap@10 {overlap:.4}"));
        assert!(overlap >= 0.97, "{set}: {got}");
    }
}

/// Unpacks wiki396k with the tool beside it; says what is missing when it cannot.
fn unpack(shared: &Path, out: &Path) -> bool {
    let tool = shared.join("tools/unpack_vectors.py");
    let made = Command::new("python3").arg(tool).arg(out).output();
    let done = made.as_ref().is_ok_and(|o| o.status.success());
    if !done {
        let why = made
            .map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stderr).into_owned());
        note(&format!("skipped: unpacking wiki396k needs python3 with numpy: {why}"));
    }
    done
}
