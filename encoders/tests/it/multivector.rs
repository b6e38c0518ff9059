//! Models of token embeddings, from folders as published to rows as colbert-ai and PyLate give them
//! (`scripts/make_token_models.py`), to 1e-4.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use quarry_encoders::graphs::Precision;
use quarry_encoders::{
    DocumentOptions, EncoderError, Family, Model, TokenEncoder, TokenOptions, find_runtime,
};
use quarry_vectors::{Passage, TokenEmbeddings};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<Text>,
    questions: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Text {
    title: String,
    text: String,
    times: Option<usize>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    family: Family,
    documents: Vec<Vec<Vec<f32>>>,
    queries: Vec<Vec<Vec<f32>>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../multivector/golden.json")).unwrap()
}

fn published(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/multivector").join(name)
}

/// A copy that a test may spoil.
fn copy(name: &str) -> (TempDir, PathBuf) {
    fn all(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
            if from.is_dir() { all(&from, &to) } else { fs::copy(&from, &to).map(|_| ()).unwrap() }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join(name);
    all(&published(name), &to);
    (dir, to)
}

fn encoder(model: &Model) -> TokenEncoder {
    model.token_encoder(&TokenOptions::default()).unwrap()
}

fn assert_close(found: &TokenEmbeddings, want: &[Vec<f32>], what: &str) {
    assert_eq!(found.rows().count(), want.len(), "{what}: rows");
    for (at, (found, want)) in found.rows().zip(want).enumerate() {
        assert_eq!(found.len(), want.len(), "{what}: dimensions");
        for (found, want) in found.iter().zip(want) {
            assert!((found - want).abs() <= 1e-4, "{what}: row {at}: {found}, not {want}");
        }
    }
}

#[test]
fn rows_equal_the_published_codes() {
    find_runtime().unwrap();
    let golden = golden();
    let names: Vec<&str> = golden.cases.iter().map(|c| c.name.as_str()).collect();
    let want = ["colbert-bert", "colbert-distilbert", "colbert-roberta", "pylate-bert"];
    assert!(want.iter().all(|name| names.contains(name)) && names.len() >= 7, "{names:?}");
    let texts: Vec<String> =
        golden.texts.iter().map(|t| t.text.repeat(t.times.unwrap_or(1))).collect();
    let passages: Vec<Passage<'_>> = golden
        .texts
        .iter()
        .zip(&texts)
        .map(|(t, text)| Passage { title: &t.title, text })
        .collect();
    for case in &golden.cases {
        let model = Model::open(&published(&case.name)).unwrap();
        assert_eq!(model.manifest().family, Some(case.family), "{}", case.name);
        let encoder = encoder(&model);
        let together = encoder.passages(&passages).unwrap();
        for (at, (found, want)) in together.iter().zip(&case.documents).enumerate() {
            assert_close(found, want, &format!("{}: document {at}", case.name));
        }
        // Texts 4 and 10 are beyond the longest input.
        assert!(encoder.truncated() >= 2, "{}", case.name);
        for (text, want) in golden.questions.iter().zip(&case.queries) {
            let found = encoder.question(text).unwrap();
            assert_close(&found, want, &format!("{}: question {text:?}", case.name));
        }
        // The manifest, written down, means the same model.
        let (_dir, path) = copy(&case.name);
        let json = serde_json::to_string(model.manifest()).unwrap();
        fs::write(path.join("quarry-model.json"), json).unwrap();
        let written = Model::open(&path).unwrap();
        let options = TokenOptions::default();
        let identity = |model: &Model| model.token_model().unwrap().identity(&options);
        assert_eq!(identity(&written), identity(&model));
    }
}

/// Each setting shows in the rows: with another value they would not be the published code's.
#[test]
fn every_setting_matters() {
    let golden = golden();
    let case = golden.cases.iter().find(|c| c.name == "colbert-bert").unwrap();
    let text = golden.texts[0].text.clone();
    let passage = Passage { title: &golden.texts[0].title, text: &text };
    let rows = |edit: &dyn Fn(&mut Value)| {
        let manifest = Model::manifest_of(&published("colbert-bert"), None).unwrap();
        let mut json = serde_json::to_value(manifest).unwrap();
        edit(&mut json["tokens"]["parameters"]);
        let manifest = serde_json::from_value(json).unwrap();
        let encoder = encoder(&Model::with_manifest(&published("colbert-bert"), manifest).unwrap());
        let document = encoder.passages(&[passage]).unwrap().remove(0);
        (document, encoder.question(&golden.questions[1]).unwrap())
    };
    let same = |found: &TokenEmbeddings, want: &[Vec<f32>]| {
        let close =
            |(a, b): (&[f32], &Vec<f32>)| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
        found.rows().count() == want.len() && found.rows().zip(want).all(close)
    };
    let (documents, questions) = (&case.documents[0], &case.queries[1]);
    let (document, question) = rows(&|_| ());
    assert!(same(&document, documents) && same(&question, questions));
    type Edit = fn(&mut Value);
    let edits: [(Edit, bool, bool); 6] = [
        (|p| p["query_fill"]["attended"] = json!(true), true, false),
        (|p| p["query_fill"]["token"] = json!("[PAD]"), true, false),
        (|p| p["markers"] = json!({"document": "[unused0]", "query": "[unused1]"}), false, false),
        (|p| p["skip_tokens"] = json!([]), false, true),
        (|p| p["max_tokens"] = json!(12), false, true),
        (|p| p["query_max_tokens"] = json!(13), true, false),
    ];
    for (at, (edit, as_document, as_question)) in edits.iter().enumerate() {
        let (document, question) = rows(edit);
        assert_eq!(same(&document, documents), *as_document, "edit {at}");
        assert_eq!(same(&question, questions), *as_question, "edit {at}");
    }
}

#[test]
fn eight_bits_are_near_and_another_model() {
    for name in ["colbert-bert", "pylate-roberta", "pylate-distilbert"] {
        let model = Model::open(&published(name)).unwrap();
        let mut manifest = model.manifest().clone();
        manifest.set_precision(Precision::Int8).unwrap();
        let rough = Model::with_manifest(&published(name), manifest).unwrap();
        let options = TokenOptions::default();
        let identity = |model: &Model| model.token_model().unwrap().identity(&options);
        assert_ne!(identity(&rough).model_sha256, identity(&model).model_sha256);
        let text = "wire saws cut blocks of stone in the quarry";
        let (a, b) =
            (encoder(&model).question(text).unwrap(), encoder(&rough).question(text).unwrap());
        for (a, b) in a.rows().zip(b.rows()) {
            let cosine: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            assert!(cosine > 0.95, "{name}: {cosine}");
        }
        // A text's rows do not depend on what shares its batch.
        let encoder = encoder(&rough);
        let passages = [text, "stone", "marble is a rock"].map(|text| Passage { title: "", text });
        let together = encoder.passages(&passages).unwrap();
        for (passage, found) in passages.iter().zip(together) {
            assert_eq!(encoder.passages(&[*passage]).unwrap(), [found]);
        }
    }
    // A graph as published has its own numbers.
    let mut manifest = Model::manifest_of(&published("pylate-modernbert"), None).unwrap();
    let error = manifest.set_precision(Precision::Int8).unwrap_err();
    assert!(matches!(error, EncoderError::FixedPrecision { .. }), "{error}");
}

#[test]
fn a_model_of_token_embeddings_gives_no_sparse_vectors() {
    let model = Model::open(&published("colbert-bert")).unwrap();
    let options = DocumentOptions::default();
    for error in [
        model.document_encoder(&options).err().unwrap(),
        model.question_encoder(&options).err().unwrap(),
        model.identity(&options).err().unwrap(),
    ] {
        assert!(matches!(error, EncoderError::NoSparse { .. }), "{error}");
        assert!(error.to_string().contains("--token-model"), "{error}");
    }
}

/// Sets a field of a JSON file.
fn set(path: &Path, file: &str, field: &str, value: Value) {
    let file = path.join(file);
    let mut json: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    json[field] = value;
    fs::write(file, json.to_string()).unwrap();
}

#[test]
fn settings_that_are_not_known_are_refused_by_name() {
    let cases = [
        ("colbert-bert", "artifact.metadata", "similarity", json!("l2"), "l2"),
        ("colbert-bert", "artifact.metadata", "interaction", json!("flipr"), "flipr"),
        ("colbert-bert", "artifact.metadata", "dim", json!(7), "linear.weight"),
        ("colbert-bert", "artifact.metadata", "doc_token_id", json!("[none]"), "[none]"),
        ("colbert-bert", "artifact.metadata", "query_maxlen", json!("long"), "query_maxlen"),
        (
            "pylate-bert",
            "config_sentence_transformers.json",
            "query_length",
            json!("x"),
            "query_length",
        ),
        (
            "pylate-bert",
            "config_sentence_transformers.json",
            "skiplist_words",
            json!([1]),
            "skiplist",
        ),
        ("colbert-bert", "config.json", "auto_map", json!({"AutoModel": "own.Model"}), "own.Model"),
        ("colbert-bert", "config.json", "model_type", json!("electra"), "electra"),
        ("pylate-bert", "config_sentence_transformers.json", "query_prefix", json!("[X] "), "[X] "),
        (
            "pylate-bert",
            "1_Dense/config.json",
            "activation_function",
            json!("torch.nn.SiLU"),
            "SiLU",
        ),
        ("pylate-bert", "1_Dense/config.json", "out_features", json!(7), "out_features 7"),
        ("pylate-bert", "1_Dense/config.json", "bias", json!(true), "bias"),
    ];
    for (name, file, field, value, what) in cases {
        let (_dir, path) = copy(name);
        set(&path, file, field, value);
        let error = Model::open(&path).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(what), "{file}, {field}: {error}");
    }
    // Questions longer than the network has positions.
    let (_dir, path) = copy("colbert-bert");
    set(&path, "artifact.metadata", "query_maxlen", json!(65));
    let error = Model::open(&path).unwrap().token_encoder(&TokenOptions::default()).unwrap_err();
    assert!(matches!(error, EncoderError::Parameter { found: 65, .. }), "{error}");
    // A prompt.
    let (_dir, path) = copy("pylate-bert");
    let file = "config_sentence_transformers.json";
    set(&path, file, "prompts", json!({"query": "question: "}));
    assert!(Model::open(&path).is_ok());
    set(&path, file, "default_prompt_name", json!("query"));
    let error = Model::open(&path).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("prompt"), "{error}");
}

#[test]
fn files_that_are_missing_are_named() {
    let refused = |name: &str, file: &str, what: &str| {
        let (_dir, path) = copy(name);
        fs::remove_file(path.join(file)).unwrap();
        let error = Model::open(&path).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(what), "{name} without {file}: {error}");
    };
    refused("colbert-bert", "artifact.metadata", "--family colbert");
    refused("colbert-bert", "model.safetensors", "neither model.onnx");
    refused("colbert-bert", "tokenizer.json", "no tokenizer");
    refused("pylate-bert", "1_Dense/model.safetensors", "1_Dense/model.safetensors");
    // What no graph is built for needs one.
    refused("pylate-modernbert", "model.onnx", "neither model.onnx");
    let (_dir, path) = copy("pylate-modernbert");
    fs::remove_file(path.join("model.onnx")).unwrap();
    fs::copy(published("pylate-bert").join("model.safetensors"), path.join("model.safetensors"))
        .unwrap();
    let error = Model::open(&path).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("modernbert"), "{error}");
    // By name ColBERT's own defaults hold.
    let (_dir, path) = copy("colbert-bert");
    fs::remove_file(path.join("artifact.metadata")).unwrap();
    let error = Model::manifest_of(&path, Some(Family::Colbert)).unwrap_err().to_string();
    assert!(error.contains("[128, 24]"), "{error}");
    // A graph whose rows are hidden states.
    let (_dir, path) = copy("pylate-modernbert");
    set(&path, "1_Dense/config.json", "out_features", json!(8));
    let error = Model::open(&path).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("without the projection"), "{error}");
}

#[test]
fn files_of_a_manifest_are_verified() {
    for (name, file) in [
        ("pylate-bert", "model.safetensors"),
        ("pylate-bert", "1_Dense/model.safetensors"),
        ("pylate-bert", "config.json"),
        ("pylate-modernbert", "model.onnx"),
    ] {
        let (_dir, path) = copy(name);
        let model = Model::open(&path).unwrap();
        let mut bytes = fs::read(path.join(file)).unwrap();
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        fs::write(path.join(file), bytes).unwrap();
        let error = model.token_encoder(&TokenOptions::default()).unwrap_err();
        assert!(matches!(&error, EncoderError::Checksum { .. }), "{name}, {file}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a file of a published folder holds, there is an answer and no panic.
    #[test]
    fn spoilt_files_do_not_panic(name in 0usize..3, file in 0usize..8, at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 1..8), json in any::<bool>()) {
        let (_dir, path) = copy(["colbert-bert", "pylate-roberta", "pylate-modernbert"][name]);
        let files = [
            "artifact.metadata", "config.json", "model.safetensors", "tokenizer_config.json", "modules.json",
            "config_sentence_transformers.json", "1_Dense/config.json", "1_Dense/model.safetensors",
        ];
        let file = path.join(files[file]);
        if let Ok(mut content) = fs::read(&file) {
            if json {
                content = [&b"[]"[..], b"{}", b"null", b"\"a\"", b"[1]"][at.index(5)].to_vec();
            } else {
                let at = at.index(content.len().min(2_000));
                let end = (at + bytes.len()).min(content.len());
                content.splice(at..end, bytes);
            }
            fs::write(&file, content).unwrap();
        }
        if let Ok(model) = Model::open(&path) {
            let _ = model.token_encoder(&TokenOptions::default());
        }
    }
}
