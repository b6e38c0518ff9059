//! Published models through the whole program: recognised, fetched, indexed with, searched with, and
//! refused where they do not belong to the index.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::fs;
use std::path::Path;

use common::{collection, fails, model, model_index as index, ok, quarry, said, text, token_model};
use serde_json::Value;

#[test]
fn a_network_for_queries_is_remembered_or_asked_for_and_must_be_the_indexs() {
    let dir = tempfile::tempdir().unwrap();
    let (bert, other) = (model(&dir, "splade-bert"), model(&dir, "splade-distilbert"));
    let at = index(&dir, "ix", text(&bert));
    let error = fails(&["search", text(&at), "stone", "--model", text(&other)], 1);
    assert!(error.contains("would not match"), "{error}");
    // The index remembers the folder, and takes from there what has its checksums, nothing else.
    let by_folder = ok(&["search", text(&at), "stone in the quarry"]);
    assert_eq!(
        ok(&["search", text(&at), "stone in the quarry", "--model", text(&bert)]),
        by_folder
    );
    let away = dir.path().join("away");
    fs::rename(&bert, &away).unwrap();
    let error = fails(&["search", text(&at), "stone in the quarry"], 1);
    assert!(error.contains("--model splade-bert"), "{error}");
    fs::rename(&other, &bert).unwrap();
    let error = fails(&["search", text(&at), "stone in the quarry"], 1);
    assert!(error.contains("would not match"), "{error}");
    fs::rename(&bert, &other).unwrap();
    fs::rename(&away, &bert).unwrap();
    let queries = dir.path().join("queries.jsonl");
    fs::write(
        &queries,
        "{\"_id\": \"1\", \"text\": \"Wire saws cut blocks of stone in the quarry.\"}\n",
    )
    .unwrap();
    let given = ["--model", text(&bert)];
    let run = ok(&[&["search", text(&at), "--queries", text(&queries)][..], &given].concat());
    assert!(run.starts_with("1 Q0 c 1 "), "{run}");

    // What `encode` gives for documents and questions is what the index is searched with.
    let vectors = dir.path().join("vectors.jsonl");
    let encode = ["encode", text(&queries), "--queries", "--out", text(&vectors)];
    ok(&[&encode[..], &given].concat());
    let by_vectors = ok(&["search", text(&at), "--queries", text(&vectors)]);
    assert_eq!(by_vectors, run);

    // Evaluation goes the same way.
    let qrels = dir.path().join("qrels.tsv");
    fs::write(&qrels, "query-id\tcorpus-id\tscore\n1\tc\t1\n").unwrap();
    let eval = [
        "eval",
        text(&at),
        "--queries",
        text(&queries),
        "--qrels",
        text(&qrels),
        "--measures",
        "RR@10",
    ];
    let table = ok(&[&eval[..], &given].concat());
    assert!(table.contains("1.0000"), "{table}");
}

#[test]
fn a_table_for_questions_is_kept_by_the_index() {
    let dir = tempfile::tempdir().unwrap();
    for name in
        ["opensearch-neural-sparse-encoding-doc-v3-toy", "splade-v3-doc", "st-router", "li-lsr-toy"]
    {
        let folder = model(&dir, name);
        let at = index(&dir, &format!("{name}.qry"), text(&folder));
        let with =
            ok(&["search", text(&at), "stone in the quarry", "--model", text(&folder), "--json"]);
        fs::remove_dir_all(&folder).unwrap();
        let without = ok(&["search", text(&at), "stone in the quarry", "--json"]);
        let hits =
            |json: &str| -> Value { serde_json::from_str::<Value>(json).unwrap()["hits"].clone() };
        assert_eq!(hits(&with), hits(&without), "{name}");
    }
}

#[test]
fn two_networks_are_named_as_a_pair() {
    let dir = tempfile::tempdir().unwrap();
    let (documents, questions) = (model(&dir, "efficient"), model(&dir, "splade-bert"));
    let pair = format!("doc={},query={}", text(&documents), text(&questions));
    let at = index(&dir, "ix", &pair);
    let by_pair = ok(&["search", text(&at), "stone", "--model", &pair]);
    // For questions their own network is all that is needed; the documents' is another.
    assert_eq!(ok(&["search", text(&at), "stone", "--model", text(&questions)]), by_pair);
    fails(&["search", text(&at), "stone", "--model", text(&documents)], 1);
    assert_eq!(ok(&["search", text(&at), "stone"]), by_pair);
}

#[test]
fn what_a_folder_is_recognised_as_is_shown_and_can_be_set() {
    let dir = tempfile::tempdir().unwrap();
    let folder = model(&dir, "echo-mistral-splade-toy");
    let shown = ok(&["model", "show", text(&folder)]);
    assert!(shown.contains("family      echo") && shown.contains("text twice"), "{shown}");
    let json: Value =
        serde_json::from_str(&ok(&["model", "show", text(&folder), "--json"])).unwrap();
    assert_eq!(json["document"]["external"][0]["file"], "model.onnx_data");

    let table = model(&dir, "opensearch-neural-sparse-encoding-doc-v2-toy");
    let plain = dir.path().join("plain");
    fs::rename(table, &plain).unwrap();
    let error = fails(&["model", "show", text(&plain)], 1);
    assert!(error.contains("--family"), "{error}");
    ok(&["model", "show", text(&plain), "--family", "opensearch-v3", "--write"]);
    let json: Value =
        serde_json::from_str(&ok(&["model", "show", text(&plain), "--json"])).unwrap();
    assert_eq!(json["document"]["activation"], "log1p-log1p-relu");
    fails(&["model", "show", text(&plain), "--family", "opensearch-v2", "--write"], 5);
}

/// What no file tells is found by a text: a network that gives no numbers.
#[test]
fn a_model_is_tried_when_it_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let toys = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../encoders/tests/toy");
    let config = r#"{"model_type": "bert", "vocab_size": 8, "max_position_embeddings": 16,
        "architectures": ["BertForMaskedLM"]}"#;
    let shown = |graph: &str| {
        let folder = dir.path().join(graph);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.json"), config).unwrap();
        fs::copy(toys.join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
        fs::copy(toys.join(format!("{graph}.onnx")), folder.join("model.onnx")).unwrap();
        quarry(&["model", "show", text(&folder), "--family", "splade"]).output().unwrap()
    };
    for good in ["plain", "half", "fixed", "int32"] {
        let output = shown(good);
        assert!(output.status.success(), "{good}: {}", common::said(&output));
    }
    for (bad, says) in [("nan", "tried on a text"), ("double", "float64")] {
        let output = shown(bad);
        assert_eq!(output.status.code(), Some(1), "{bad}");
        assert!(common::said(&output).contains(says), "{bad}: {}", common::said(&output));
    }
}

#[test]
fn a_name_comes_from_the_cache_and_offline_from_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let folder = model(&dir, "splade-v3-doc");
    let snapshot = dir.path().join("hub/models--org--splade-v3-doc/snapshots/0123");
    fs::create_dir_all(snapshot.parent().unwrap()).unwrap();
    fs::rename(folder, &snapshot).unwrap();
    let refs = dir.path().join("hub/models--org--splade-v3-doc/refs");
    fs::create_dir_all(&refs).unwrap();
    fs::write(refs.join("main"), "0123").unwrap();
    let show = |name: &str| {
        let mut command = quarry(&["model", "show", name]);
        command.env("HF_HOME", dir.path()).env("HF_HUB_OFFLINE", "1").env_remove("HF_HUB_CACHE");
        command.output().unwrap()
    };
    let found = show("org/splade-v3-doc");
    let stdout = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(stdout.contains("name        org/splade-v3-doc"), "{stdout}{}", said(&found));
    assert!(stdout.contains("family      splade-doc"), "{stdout}");
    assert!(said(&show("org/other")).contains("HF_HUB_OFFLINE"));
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bert = model(&dir, "splade-bert");
    let (input, out) = (collection(&dir), dir.path().join("ix"));
    let words =
        ["index", text(&input), "--out", text(&out), "--model", text(&bert), "--device", "cuda"];
    let error = fails(&words, 1);
    assert!(error.contains("CUDA"), "{error}");
    // The same for questions: never a silent run on the processor, also where there is no network.
    let at = index(&dir, "ix2", text(&bert));
    let cuda = ["--encode-device", "cuda"];
    let with_model = [&["--model", text(&bert)][..], &cuda].concat();
    let error = fails(&[&["search", text(&at), "stone"][..], &with_model].concat(), 1);
    assert!(error.contains("CUDA"), "{error}");
    let error = fails(&[&["search", text(&at), "stone"][..], &cuda].concat(), 1);
    assert!(error.contains("CUDA"), "{error}");
    let error =
        fails(&[&["serve", text(&at), "--listen", "127.0.0.1:0"][..], &with_model].concat(), 1);
    assert!(error.contains("CUDA"), "{error}");
    let table = model(&dir, "splade-v3-doc");
    let at = index(&dir, "ix3", text(&table));
    let words = ["search", text(&at), "stone", "--model", text(&table), "--encode-device", "cuda"];
    let error = fails(&words, 2);
    assert!(error.contains("no network"), "{error}");
}

#[test]
fn published_token_models_rerank() {
    let dir = tempfile::tempdir().unwrap();
    let input = collection(&dir);
    let sparse = model(&dir, "splade-v3-doc");
    let (colbert, pylate) = (token_model(&dir, "colbert-bert"), token_model(&dir, "pylate-bert"));
    let at = dir.path().join("ix");
    let build = ["index", text(&input), "--out", text(&at), "--model", text(&sparse), "--no-tune"];
    // A model without token embeddings is refused before anything is built.
    let error = fails(&[&build[..], &["--tokens"]].concat(), 1);
    assert!(error.contains("--token-model") && !at.exists(), "{error}");
    ok(&[&build[..], &["--tokens", "--token-model", text(&colbert)]].concat());

    let question = "stone in the quarry";
    let search = ["search", text(&at), question, "--rerank", "--json"];
    let error = fails(&[&search[..], &["--model", text(&sparse)]].concat(), 1);
    assert!(error.contains("--token-model colbert-bert"), "{error}");
    let error = fails(&[&search[..], &["--token-model", text(&pylate)]].concat(), 1);
    assert!(error.contains("would not match") && error.contains("colbert-bert"), "{error}");
    let found = ok(&[&search[..], &["--token-model", text(&colbert)]].concat());
    let hits = |json: &str| serde_json::from_str::<Value>(json).unwrap()["hits"].clone();
    assert_eq!(hits(&found)[0]["id"], "c", "{found}");

    // Every document is scored by MaxSim with the same rows.
    let maxsim = ["search", text(&at), question, "--channel", "maxsim"];
    let all = ok(&[&maxsim[..], &["--token-model", text(&colbert)]].concat());
    assert_eq!(all.lines().filter(|line| line.contains(". ")).count(), 3, "{all}");

    // By name the same files are the same model.
    let snapshot = dir.path().join("hub/models--org--colbert/snapshots/0123");
    fs::create_dir_all(snapshot.parent().unwrap()).unwrap();
    fs::rename(&colbert, &snapshot).unwrap();
    let refs = dir.path().join("hub/models--org--colbert/refs");
    fs::create_dir_all(&refs).unwrap();
    fs::write(refs.join("main"), "0123").unwrap();
    let mut command = quarry(&[&search[..], &["--token-model", "org/colbert"]].concat());
    command.env("HF_HOME", dir.path()).env("HF_HUB_OFFLINE", "1").env_remove("HF_HUB_CACHE");
    let by_name = command.output().unwrap();
    assert!(by_name.status.success(), "{}", said(&by_name));
    assert_eq!(hits(&String::from_utf8(by_name.stdout).unwrap()), hits(&found));

    // Another index gets its rows later, and words alone are its first stage.
    let words = dir.path().join("words");
    ok(&["index", text(&input), "--out", text(&words), "--channel", "bm25", "--no-tune"]);
    ok(&["tokens", "add", text(&words), "--model", text(&pylate)]);
    let search = ["search", text(&words), "stone", "--channel", "bm25", "--rerank"];
    let found = ok(&[&search[..], &["--token-model", text(&pylate)]].concat());
    assert!(found.contains("  c  "), "{found}");

    // In 8 bits it is another model, which the index refuses.
    ok(&["model", "show", text(&pylate), "--precision", "int8", "--write"]);
    let error = fails(&[&search[..], &["--token-model", text(&pylate)]].concat(), 1);
    assert!(error.contains("would not match"), "{error}");
    ok(&["tokens", "add", text(&words), "--model", text(&pylate), "--replace"]);
    ok(&[&search[..], &["--token-model", text(&pylate)]].concat());
}

#[test]
fn a_token_model_is_described_and_is_no_sparse_one() {
    let dir = tempfile::tempdir().unwrap();
    let colbert = token_model(&dir, "colbert-bert");
    let shown = ok(&["model", "show", text(&colbert)]);
    for what in [
        "family      colbert",
        "documents   no sparse vectors",
        "built in float32, 1 projection",
        "6 dimensions",
        "filled up with [MASK] (not attended)",
        "[unused1]",
    ] {
        assert!(shown.contains(what), "{what}: {shown}");
    }
    let shown = ok(&["model", "show", text(&token_model(&dir, "pylate-roberta"))]);
    assert!(shown.contains("family      pylate") && shown.contains("3 projections"), "{shown}");
    let (input, out) = (collection(&dir), dir.path().join("ix"));
    let error = fails(&["index", text(&input), "--out", text(&out), "--model", text(&colbert)], 1);
    assert!(error.contains("token embeddings alone"), "{error}");
}

#[test]
fn a_sparse_model_of_safetensors_alone_is_indexed_with() {
    let dir = tempfile::tempdir().unwrap();
    let bert = model(&dir, "splade-bert");
    let by_graph = index(&dir, "graph", text(&bert));
    let search = |at: &Path| ok(&["search", text(at), "stone", "--model", text(&bert)]);
    let want = search(&by_graph);
    let parts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../encoders/tests/families/parts/bert");
    fs::remove_file(bert.join("model.onnx")).unwrap();
    fs::copy(parts.join("model.safetensors"), bert.join("model.safetensors")).unwrap();
    fs::copy(parts.join("checkpoint.json"), bert.join("config.json")).unwrap();
    // Other files: another model to the index of the graph.
    let error = fails(&["search", text(&by_graph), "stone", "--model", text(&bert)], 1);
    assert!(error.contains("would not match"), "{error}");
    let built = index(&dir, "built", text(&bert));
    let order = |found: &str| -> Vec<String> {
        found.lines().filter_map(|l| Some(l.split_once("  ")?.1.to_owned())).collect()
    };
    assert_eq!(order(&search(&built)), order(&want));
    let shown = ok(&["model", "show", text(&bert)]);
    assert!(shown.contains("graph built in float32, vocabulary head"), "{shown}");
}
