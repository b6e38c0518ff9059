//! What an index has is kept up by changes, and one without documents is still of its model and channels.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::fs;
use std::path::Path;

use common::{collection, fails, model, names, ok, quarry, said, text, token_model, vectors};
use serde_json::Value;

/// Ids of the hits of an answer in JSON.
fn ids(answer: &Value) -> Vec<String> {
    let hits = answer["hits"].as_array().unwrap();
    hits.iter().map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
}

fn answer(args: &[&str]) -> (Value, String) {
    let output = quarry(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    (serde_json::from_slice(&output.stdout).unwrap(), said(&output))
}

#[test]
fn reranking_outlives_additions_and_merges() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let input = collection(&dir);
    let (sparse, colbert) = (model(&dir, "splade-v3-doc"), token_model(&dir, "colbert-bert"));
    let (sparse, colbert, ix) = (text(&sparse), text(&colbert), at("ix"));
    let ix = text(&ix);
    let with = ["--model", sparse, "--token-model", colbert];
    let build = ["index", text(&input), "--out", ix, "--tokens", "--no-tune"];
    ok(&[&build[..], &with].concat());
    fs::write(at("d.jsonl"), "{\"id\": \"d\", \"text\": \"stone walls of the quarry\"}\n").unwrap();
    fs::write(at("e.jsonl"), "{\"id\": \"e\", \"text\": \"a quarry of stone\"}\n").unwrap();
    let (d, e) = (at("d.jsonl"), at("e.jsonl"));
    let (d, e) = (text(&d), text(&e));
    let search =
        ["search", ix, "stone in the quarry", "--rerank", "--json", "--token-model", colbert];

    // Without the model of the embeddings nothing is added, and the way on is named.
    let before = names(Path::new(ix));
    let error = fails(&["add", ix, d, "--model", sparse], 1);
    assert!(error.contains("--without-tokens") && error.contains("colbert-bert"), "{error}");
    assert_eq!(names(Path::new(ix)), before);
    ok(&[&["add", ix, d][..], &with].concat());
    let (found, notes) = answer(&search);
    assert!(found["warnings"].as_array().unwrap().is_empty() && !notes.contains("note"), "{notes}");
    assert!(ids(&found).contains(&"d".to_owned()));
    for hit in found["hits"].as_array().unwrap() {
        assert!(hit["scores"]["rerank"].is_number(), "{hit}");
    }

    // A part without embeddings: the others are rescored, and it is said who is not.
    ok(&["add", ix, e, "--model", sparse, "--without-tokens"]);
    let (found, notes) = answer(&search);
    assert!(notes.contains("1 document in 1 segment has no token embeddings"), "{notes}");
    let warning = &found["warnings"][0];
    assert_eq!(warning["code"], "no_tokens");
    assert_eq!(warning["names"], serde_json::json!(["e"]));
    assert_eq!(found["rerank"]["without_tokens"], 1);
    let place = ids(&found).iter().position(|id| id == "e").unwrap();
    let without = ["search", ix, "stone in the quarry", "--json"];
    let (first, _) = answer(&without);
    assert_eq!(ids(&first).iter().position(|id| id == "e"), Some(place), "it keeps its place");
    let hits = found["hits"].as_array().unwrap();
    assert!(hits[place]["scores"].get("rerank").is_none(), "{}", hits[place]);
    let scores: Vec<f64> = hits.iter().map(|hit| hit["score"].as_f64().unwrap()).collect();
    assert!(scores.windows(2).all(|w| w[0] >= w[1]), "{scores:?}");
    let maxsim = ["search", ix, "stone", "--channel", "maxsim", "--token-model", colbert];
    assert_eq!(ok(&maxsim).lines().filter(|line| line.contains(". ")).count(), 4);

    // A merge would lose embeddings: it says of which segments, and what to do, which then helps.
    let error = fails(&["merge", ix, "--no-tune"], 5);
    assert!(error.contains("(1 document)") && error.contains("quarry tokens add"), "{error}");
    ok(&["tokens", "add", ix, "--model", colbert]);
    let error = fails(&["tokens", "add", ix, "--model", colbert], 5);
    assert!(error.contains("--replace"), "{error}");
    ok(&["merge", ix, "--no-tune"]);
    let (found, notes) = answer(&search);
    assert!(found["warnings"].as_array().unwrap().is_empty() && !notes.contains("note"), "{notes}");
    assert_eq!(ids(&found).len(), ids(&first).len());
    let shown: Value = serde_json::from_str(&ok(&["inspect", ix, "--json"])).unwrap();
    assert_eq!(shown["segments"].as_array().unwrap().len(), 1);
    assert_eq!(shown["segments"][0]["tokens"]["meta"]["source"]["model_name"], "colbert-bert");
}

/// Options that have nothing to do are refused.
#[test]
fn token_options_need_an_index_with_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    vectors(&at("v.jsonl"), 5, 1);
    let (ix, v) = (at("ix"), at("v.jsonl"));
    ok(&["index", text(&v), "--out", text(&ix)]);
    for more in [&["--without-tokens"][..], &["--token-model", "x/y"]] {
        let error = fails(&[&["add", text(&ix), text(&v)][..], more].concat(), 2);
        assert!(error.contains("has no token embeddings"), "{error}");
    }
}

/// Files of no bytes or of blank lines make an index, of the model and the channels of the command.
#[test]
fn a_collection_without_documents_makes_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (input, sparse) = (collection(&dir), model(&dir, "splade-v3-doc"));
    let (input, sparse) = (text(&input), text(&sparse));
    for (number, content) in ["", "\n\n  \n"].into_iter().enumerate() {
        let (empty, ix) = (at(&format!("empty{number}.jsonl")), at(&format!("ix{number}")));
        fs::write(&empty, content).unwrap();
        let ix = text(&ix);
        let build = ["index", text(&empty), "--out", ix, "--model", sparse];
        let output = quarry(&build).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("warning: no documents"), "{}", said(&output));
        ok(&["inspect", ix]);
        // It is searched and changed as any other is.
        for channel in ["sparse", "bm25"] {
            let output = quarry(&["search", ix, "stone", "--channel", channel]).output().unwrap();
            assert!(output.status.success(), "{channel}: {}", said(&output));
        }
        ok(&["merge", ix]);
        ok(&["delete", ix, "a"]);
        ok(&["add", ix, input, "--model", sparse]);
        let found = |channel: &str| ok(&["search", ix, "stone", "--channel", channel]);
        assert!(found("sparse").contains("  c  ") && found("bm25").contains("  c  "));
        // All of it goes again, and comes again.
        ok(&["delete", ix, "a", "b", "c"]);
        assert_eq!(found("sparse"), "");
        ok(&["merge", ix]);
        assert_eq!(found("bm25"), "");
        ok(&["tune", ix]);
        ok(&["add", ix, input, "--model", sparse]);
        assert!(found("sparse").contains("  c  ") && found("bm25").contains("  c  "));
    }
    // Words alone.
    let (empty, ix) = (at("empty0.jsonl"), at("words"));
    let ix = text(&ix);
    ok(&["index", text(&empty), "--out", ix, "--channel", "bm25"]);
    assert_eq!(ok(&["search", ix, "stone", "--channel", "bm25"]), "");
    ok(&["add", ix, input]);
    assert!(ok(&["search", ix, "stone", "--channel", "bm25"]).contains("  c  "));
    let error = fails(&["search", ix, "stone"], 1);
    assert!(error.contains("no sparse channel"), "{error}");
}

/// `tune` and `export` copy nothing that is damaged, in whichever part.
#[test]
fn what_is_damaged_is_neither_measured_nor_exported() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    vectors(&at("v.jsonl"), 60, 1);
    let (ix, v) = (at("ix"), at("v.jsonl"));
    ok(&["index", text(&v), "--out", text(&ix), "--lists", "impact,seismic,clusters"]);
    ok(&["delete", text(&ix), "d3"]);
    let parts: Vec<String> = names(&ix).into_iter().filter(|n| n.ends_with(".qry")).collect();
    assert!(parts.len() > 6, "{parts:?}");
    for part in &parts {
        let path = ix.join(part);
        let whole = fs::read(&path).unwrap();
        let mut spoilt = whole.clone();
        spoilt[whole.len() / 2] ^= 1;
        fs::write(&path, &spoilt).unwrap();
        let before = names(&ix);
        let out = at("out.jsonl");
        for command in [
            &["tune", text(&ix)][..],
            &["export", text(&ix), "--format", "jsonl", "--out", text(&out)],
            &["merge", text(&ix), "--no-tune"],
        ] {
            let error = fails(command, 3);
            assert!(error.contains(part) && error.contains("damaged"), "{command:?}: {error}");
        }
        assert!(!out.exists());
        assert_eq!(names(&ix), before);
        fs::write(&path, &whole).unwrap();
    }
    fails(&["export", text(&ix), "--format", "jsonl", "--out", "x", "--no-verify"], 2);
}
