//! Dense models on the command line: folders as sentence-transformers saves them, remembered by the index, cut to their
//! first dimensions, and as token models.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by it")]

mod common;

use std::fs;

use common::{collection, dense_model, fails, ok, quarry, said, text, token_model};
use serde_json::Value;

/// The description of an index.
fn inspected(index: &str) -> Value {
    serde_json::from_str(&ok(&["inspect", index, "--json"])).unwrap()
}

/// The id of the first hit.
fn first(found: &str) -> String {
    found.split_whitespace().nth(2).unwrap().to_owned()
}

#[test]
fn an_index_remembers_its_dense_model() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (input, mpnet) = (collection(&dir), dense_model(&dir, "mpnet"));
    let ix = at("ix");
    let ix = text(&ix);
    let build = ["index", text(&input), "--out", ix, "--channel", "bm25", "--no-tune", "--dense"];
    ok(&[&build[..], &["--dense-model", text(&mpnet)]].concat());
    let search = ["search", ix, "blocks of stone", "--channel", "dense"];
    let found = ok(&search);
    assert_eq!(found, ok(&[&search[..], &["--dense-model", text(&mpnet)]].concat()));
    // Documents that are added get theirs from it, and what lacks them as well.
    fs::write(at("d.jsonl"), "{\"id\": \"d\", \"text\": \"blocks of stone\"}\n").unwrap();
    ok(&["add", ix, text(&at("d.jsonl"))]);
    assert_eq!(first(&ok(&search)), "d");
    fs::write(at("e.jsonl"), "{\"id\": \"e\", \"text\": \"stone\"}\n").unwrap();
    ok(&["add", ix, text(&at("e.jsonl")), "--without-dense", "--no-merge"]);
    ok(&["dense", "add", ix]);
    ok(&["merge", ix]);
    assert!(ok(&search).contains("  e  "));
    // Another model is refused by name, and so is the bundled one once the folder is gone.
    let other = dense_model(&dir, "bert");
    let error = fails(&[&search[..], &["--dense-model", text(&other)]].concat(), 1);
    assert!(error.contains("`mpnet`") && error.contains("`bert`"), "{error}");
    let moved = at("moved");
    fs::rename(&mpnet, &moved).unwrap();
    let error = fails(&search, 1);
    assert!(error.contains("made by model `mpnet`") && error.contains("--dense-model"), "{error}");
    ok(&[&search[..], &["--dense-model", text(&moved)]].concat());
    // Replaced by the bundled model's there is nothing to remember.
    ok(&["dense", "add", ix, "--model", text(&moved), "--replace"]);
    let from = |index: &str| inspected(index)["manifest"]["build"]["dense_model_from"].clone();
    assert!(from(ix)["documents"].as_str().unwrap().ends_with("moved"), "{}", from(ix));
    fs::remove_dir_all(&moved).unwrap();
    ok(&["dense", "add", ix, "--replace"]);
    assert!(from(ix).is_null());
    ok(&search);
}

#[test]
fn vectors_are_cut_to_their_first_dimensions() {
    let dir = tempfile::tempdir().unwrap();
    let (input, mpnet) = (collection(&dir), dense_model(&dir, "mpnet"));
    let ix = dir.path().join("ix");
    let (ix, mpnet) = (text(&ix), text(&mpnet));
    let build = ["index", text(&input), "--out", ix, "--channel", "bm25", "--no-tune"];
    let dense = [&build[..], &["--dense", "--dense-model", mpnet]].concat();
    for wrong in ["0", "17"] {
        let error = fails(&[&dense[..], &["--dense-dims", wrong]].concat(), 2);
        assert!(error.contains("1 to 16, what the model mpnet gives"), "{error}");
    }
    let error = fails(&[&build[..], &["--dense-dims", "4"]].concat(), 2);
    assert!(error.contains("--dense"), "{error}");
    ok(&[&dense[..], &["--dense-dims", "4"]].concat());
    let kept = |index: &str| inspected(index)["manifest"]["features"]["dense"].clone();
    assert_eq!(kept(ix)["dims"], 4);
    assert_eq!(kept(ix)["source"]["parameters"]["dims"], 4);
    // Queries and new documents have as many.
    let search = ["search", ix, "A metamorphic rock.", "--channel", "dense"];
    assert!(ok(&search).contains("  a  "));
    let more = dir.path().join("d.jsonl");
    fs::write(&more, "{\"id\": \"d\", \"text\": \"A metamorphic rock.\"}\n").unwrap();
    ok(&["add", ix, text(&more)]);
    assert_eq!(first(&ok(&search)), "d");
    // Others beside them are refused, unless all are replaced.
    let add = ["dense", "add", ix, "--model", mpnet, "--dims"];
    let error = fails(&[&add[..], &["17", "--replace"]].concat(), 2);
    assert!(error.contains("1 to 16"), "{error}");
    ok(&[&add[..], &["8", "--replace"]].concat());
    assert_eq!(kept(ix)["dims"], 8);
    ok(&search);
    let error = fails(&["dense", "add", ix, "--dims", "8", "--rows", "x", "--ids", "y"], 2);
    assert!(error.contains("--dims"), "{error}");
}

#[test]
fn a_dense_model_serves_as_token_model() {
    let dir = tempfile::tempdir().unwrap();
    let (input, mpnet) = (collection(&dir), dense_model(&dir, "mpnet"));
    let ix = dir.path().join("ix");
    let (ix, mpnet) = (text(&ix), text(&mpnet));
    let build = ["index", text(&input), "--out", ix, "--no-tune", "--tokens"];
    ok(&[&build[..], &["--token-model", mpnet]].concat());
    let shown = inspected(ix);
    assert_eq!(shown["segments"][0]["tokens"]["meta"]["dims"], 16);
    let search = ["search", ix, "wire saws cut stone", "--rerank", "--json"];
    let found = ok(&[&search[..], &["--token-model", mpnet]].concat());
    let found: Value = serde_json::from_str(&found).unwrap();
    assert!(found["hits"][0]["scores"]["rerank"].is_number(), "{found}");
    // The bundled model's tokens are others; dense vectors of the model are another thing, beside them.
    let error = fails(&search, 1);
    assert!(error.contains("would not match") && error.contains("--token-model"), "{error}");
    let cut = ["tokens", "add", ix, "--model", mpnet, "--dims", "8", "--replace"];
    ok(&cut);
    ok(&["dense", "add", ix, "--model", mpnet]);
    let shown = inspected(ix);
    assert_eq!(shown["segments"][0]["tokens"]["meta"]["dims"], 8);
    ok(&[&search[..], &["--token-model", mpnet, "--channel", "sparse,dense"]].concat());
}

#[test]
fn a_model_of_another_kind_is_named_for_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (input, mpnet) = (collection(&dir), dense_model(&dir, "mpnet"));
    let colbert = token_model(&dir, "colbert-bert");
    let ix = dir.path().join("ix");
    let build = ["index", text(&input), "--out", text(&ix), "--no-tune"];
    let error = fails(&[&build[..], &["--model", text(&mpnet)]].concat(), 1);
    assert!(error.contains("model mpnet gives dense vectors, and sparse ones"), "{error}");
    assert!(
        error.contains("quarry dense add --model") && error.contains("--token-model"),
        "{error}"
    );
    let error = fails(&[&build[..], &["--dense", "--dense-model", text(&colbert)]].concat(), 1);
    let says = "`colbert-bert` gives token embeddings, and no dense vectors";
    assert!(error.contains(says), "{error}");
    assert!(!ix.exists(), "nothing is built first");
    ok(&[&build[..], &["--channel", "bm25"]].concat());
    let error = fails(&["dense", "add", text(&ix), "--model", text(&colbert)], 1);
    assert!(error.contains(says) && error.contains("sentence-transformers"), "{error}");
    let shown = ok(&["model", "show", text(&mpnet)]);
    for what in ["built in float32", "16 dimensions", "mean of the tokens", "those that are pooled"]
    {
        assert!(shown.contains(what), "{what}: {shown}");
    }
}

#[test]
fn rows_that_are_too_wide_are_bad_input() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (input, ix) = (collection(&dir), at("ix"));
    ok(&["index", text(&input), "--out", text(&ix), "--channel", "bm25", "--no-tune"]);
    let head = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4097), }";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(118u16.to_le_bytes());
    bytes.extend(format!("{head:<117}\n").bytes());
    bytes.extend(std::iter::repeat_n(1f32.to_le_bytes(), 3 * 4097).flatten());
    fs::write(at("rows.npy"), bytes).unwrap();
    fs::write(at("ids"), "a\nb\nc\n").unwrap();
    let (rows, ids) = (at("rows.npy"), at("ids"));
    let add = ["dense", "add", text(&ix), "--rows", text(&rows), "--ids", text(&ids)];
    let error = fails(&add, 4);
    assert!(error.contains("4097 dimensions") && error.contains("at most 4096"), "{error}");
    let output = quarry(&["inspect", text(&ix)]).output().unwrap();
    assert!(output.status.success() && !said(&output).contains("unfinished"), "{}", said(&output));
}
