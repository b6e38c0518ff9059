//! Dense vectors: over a toy whose row for token v is `[v, 1, v * v, 8]`, and of tiny folders as sentence-transformers
//! saves them, against the formulas.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::Toy;
use quarry_encoders::{
    DenseEncoder, DenseOptions, DensePooling, DocumentOptions, EncoderError, Family, Model,
    find_runtime,
};
use quarry_vectors::Passage;
use serde_json::{Value, json};
use tempfile::TempDir;

fn toy(change: impl FnOnce(&mut Value)) -> Toy {
    let mut toy = Toy::new("good");
    let graph = include_bytes!("../toy/tokens.onnx");
    toy.replace("tokens.onnx", graph);
    let mut section = json!({
        "file": "tokens.onnx", "sha256": toy.sum("tokens.onnx"), "output": "rows", "width": 4,
        "inputs": { "token_ids": "input_ids", "attention_mask": "attention_mask" },
        "max_positions": 16, "parameters": {
            "dims": 4, "pooling": "mean", "normalize": false, "max_tokens": 8, "separator": " ",
        },
    });
    change(&mut section);
    toy.add("", "dense", section);
    toy
}

fn encoder(toy: &Toy) -> Result<DenseEncoder, EncoderError> {
    let model = toy.open()?.dense_model().unwrap();
    model.encoder(&DenseOptions::default())
}

fn passage(text: &str) -> Passage<'_> {
    Passage { title: "", text }
}

fn vector(change: impl FnOnce(&mut Value), text: &str) -> Vec<f32> {
    let encoder = encoder(&toy(change)).unwrap();
    let alone = encoder.passages(&[passage(text)]).unwrap().remove(0).unwrap();
    // Beside a longer one it has padding behind it, which counts for nothing.
    let texts = [passage("slate slate marble marble chalk"), passage(text), passage(" ")];
    let company = encoder.passages(&texts).unwrap();
    assert_eq!(company[1].as_ref(), Some(&alone));
    assert_eq!(company[2], None, "a blank text has no vector");
    alone.values().to_vec()
}

#[test]
fn a_texts_rows_become_one() {
    // [CLS] 2, chalk 6, flint 7, [SEP] 3.
    let by = |pooling: &'static str| {
        vector(|s| s["parameters"]["pooling"] = json!(pooling), "chalk flint")
    };
    assert_eq!(by("mean"), [4.5, 1.0, (4.0 + 36.0 + 49.0 + 9.0) / 4.0, 8.0]);
    assert_eq!(by("cls"), [2.0, 1.0, 4.0, 8.0]);
    assert_eq!(by("max"), [7.0, 1.0, 49.0, 8.0]);
    assert_eq!(by("last-token"), [3.0, 1.0, 9.0, 8.0]);
    let some = |s: &mut Value| {
        s["columns"] = json!(2);
        s["parameters"]["column"] = json!(1);
        s["parameters"]["dims"] = json!(2);
        s["parameters"]["normalize"] = json!(true);
    };
    let length = 1f32.hypot(24.5);
    let found = vector(some, "chalk flint");
    assert!((found[0] - 1.0 / length).abs() < 1e-6 && (found[1] - 24.5 / length).abs() < 1e-6);
}

#[test]
fn prompts_stand_before_texts_and_long_texts_are_cut() {
    let prompted = |s: &mut Value| {
        s["parameters"]["query_prompt"] = json!("chalk ");
        s["parameters"]["pooling"] = json!("max");
    };
    let encoder = encoder(&toy(prompted)).unwrap();
    let question = encoder.question("slate").unwrap().unwrap();
    let plain = encoder.passages(&[passage("chalk slate")]).unwrap().remove(0).unwrap();
    assert_eq!(question, plain);
    assert_ne!(encoder.passages(&[passage("slate")]).unwrap()[0].as_ref(), Some(&question));
    assert_eq!(encoder.question("  ").unwrap(), None, "a prompt alone is no query");
    assert_eq!(encoder.truncated(), 0);
    let long = "slate ".repeat(20);
    encoder.passages(&[passage(&long)]).unwrap();
    assert_eq!(encoder.truncated(), 1);
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |change: fn(&mut Value)| encoder(&toy(change)).err().unwrap();
    for change in [
        (|s: &mut Value| s["parameters"]["dims"] = json!(0)) as fn(&mut Value),
        |s| s["parameters"]["dims"] = json!(5),
        |s| s["parameters"]["column"] = json!(4),
        |s| s["columns"] = json!(5),
        |s| s["columns"] = json!(0),
        |s| s["parameters"]["max_tokens"] = json!(2),
        |s| s["parameters"]["max_tokens"] = json!(17),
    ] {
        let error = refused(change);
        assert!(matches!(error, EncoderError::Parameter { .. }), "{error}");
    }
    let error = refused(|s| s["parameters"]["pooling"] = json!("in-graph"));
    assert!(matches!(error, EncoderError::GraphSignature { .. }), "{error}");
}

#[test]
fn an_index_keeps_what_decides_the_vectors() {
    let identity = |change: fn(&mut Value)| {
        let model = toy(change).open().unwrap().dense_model().unwrap();
        model.identity(&DenseOptions::default())
    };
    let plain = identity(|_| {});
    assert_eq!(plain, identity(|_| {}));
    for change in [
        (|s: &mut Value| s["parameters"]["pooling"] = json!("cls")) as fn(&mut Value),
        |s| s["parameters"]["normalize"] = json!(true),
        |s| s["parameters"]["query_prompt"] = json!("query: "),
    ] {
        assert_ne!(plain, identity(change));
    }
    let text = serde_json::to_string(&plain).unwrap();
    assert_eq!(serde_json::from_str::<quarry_encoders::DenseIdentity>(&text).unwrap(), plain);
}

/// A published body of the tests of token embeddings, with other modules behind it.
fn published(body: &str, modules: &[(&str, &str, Value)]) -> (TempDir, PathBuf) {
    fn all(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
            if from.is_dir() { all(&from, &to) } else { fs::copy(&from, &to).map(|_| ()).unwrap() }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("model");
    all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/multivector").join(body), &to);
    fs::write(to.join("config_sentence_transformers.json"), "{\"prompts\": {\"query\": \"q: \"}}")
        .unwrap();
    let mut list = vec![json!({"path": "", "type": "sentence_transformers.models.Transformer"})];
    for (class, path, config) in modules {
        fs::create_dir_all(to.join(path)).unwrap();
        fs::write(to.join(path).join("config.json"), config.to_string()).unwrap();
        list.push(json!({"path": path, "type": format!("sentence_transformers.models.{class}")}));
    }
    fs::write(to.join("modules.json"), Value::Array(list).to_string()).unwrap();
    (dir, to)
}

fn pooling(flag: &str) -> (&'static str, &'static str, Value) {
    (
        "Pooling",
        "1_Pooling",
        json!({ (format!("pooling_mode_{flag}")): true, "word_embedding_dimension": 24 }),
    )
}

fn normalize() -> (&'static str, &'static str, Value) {
    ("Normalize", "2_Normalize", json!({}))
}

#[test]
fn folders_are_recognised_by_their_modules() {
    find_runtime().unwrap();
    for (flag, named) in [
        ("mean_tokens", DensePooling::Mean),
        ("cls_token", DensePooling::Cls),
        ("max_tokens", DensePooling::Max),
        ("lasttoken", DensePooling::LastToken),
    ] {
        let (_dir, folder) = published("pylate-bert", &[pooling(flag), normalize()]);
        let model = Model::open(&folder).unwrap();
        let manifest = model.manifest();
        assert_eq!(manifest.family, Some(Family::SentenceTransformer));
        let dense = manifest.dense.as_ref().unwrap();
        assert_eq!((dense.parameters.pooling, dense.parameters.dims), (named, 24));
        assert!(dense.parameters.normalize && dense.built.is_some());
        assert_eq!(
            (dense.parameters.query_prompt.as_str(), dense.parameters.max_tokens),
            ("q: ", 64)
        );
        assert_eq!(model.gives(), "dense vectors");
        let encoder = model.dense_model().unwrap().encoder(&DenseOptions::default()).unwrap();
        let found = encoder.passages(&[passage("the stone"), passage("")]).unwrap();
        let length: f32 = found[0].as_ref().unwrap().values().iter().map(|v| v * v).sum();
        assert!((length - 1.0).abs() < 1e-5 && found[1].is_none());
        // Sparse vectors are another model's, and that is said.
        let error = model.document_encoder(&DocumentOptions::default()).err().unwrap();
        assert!(matches!(error, EncoderError::DenseAlone { .. }), "{error}");
        // The manifest, written down, means the same model.
        fs::write(folder.join("quarry-model.json"), serde_json::to_string(manifest).unwrap())
            .unwrap();
        assert_eq!(Model::open(&folder).unwrap().manifest(), manifest);
    }
}

#[test]
fn modules_that_are_not_known_are_refused() {
    let refused = |modules: &[(&str, &str, Value)], says: &str| {
        let (_dir, folder) = published("pylate-bert", modules);
        let error = Model::open(&folder).unwrap_err();
        assert!(matches!(error, EncoderError::Unrecognised { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    };
    let two = json!({"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true});
    refused(&[("Pooling", "1_Pooling", two)], "mean_tokens");
    refused(&[pooling("weightedmean_tokens")], "weightedmean_tokens");
    let named = json!({"pooling_mode": "sqrt"});
    refused(&[("Pooling", "1_Pooling", named)], "sqrt");
    let no_prompt = json!({"pooling_mode_mean_tokens": true, "include_prompt": false});
    refused(&[("Pooling", "1_Pooling", no_prompt)], "include_prompt");
    refused(&[pooling("mean_tokens"), ("LSTM", "2_LSTM", json!({}))], "Transformer, Pooling, LSTM");
    refused(&[normalize(), pooling("mean_tokens")], "Transformer, Normalize, Pooling");
    let wide = json!({"in_features": 24, "out_features": 3, "bias": false});
    refused(&[pooling("mean_tokens"), ("Dense", "2_Dense", wide)], "model.safetensors");
}
