//! Every family of published encoders, from files as published to vectors as transformers,
//! sentence-transformers and torch give them (`scripts/make_family_models.py`), to 1e-4.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use quarry_encoders::graphs::Precision;
use quarry_encoders::{
    DocumentOptions, DocumentSide, EncoderError, Family, Model, QuerySide, find_runtime,
};
use quarry_vectors::{Passage, SparseVector};
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

#[derive(Deserialize, Clone)]
struct Case {
    name: String,
    family: Family,
    /// Where each file of the folder comes from.
    files: BTreeMap<String, String>,
    /// The case whose model encodes the questions.
    questions: Option<String>,
    /// Parameters of the manifest to set, by side.
    document: Option<Value>,
    query: Option<Value>,
    documents: Vec<Vector>,
    queries: Vec<Vector>,
}

#[derive(Deserialize, Clone)]
struct Vector {
    sum: f64,
    components: Vec<(u32, f32)>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../families/golden.json")).unwrap()
}

fn parts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families/parts")
}

/// The folder of a case, below one that goes when it is dropped.
fn folder(case: &Case) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(&case.name);
    for (file, part) in &case.files {
        let to = folder.join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(parts().join(part), to).unwrap();
    }
    (dir, folder)
}

pub(crate) fn case(name: &str) -> (TempDir, PathBuf) {
    folder(golden().cases.iter().find(|case| case.name == name).unwrap())
}

fn assert_close(found: &SparseVector, want: &Vector, what: &str) {
    for &(term, want) in &want.components {
        let at = found.terms().binary_search(&term);
        let found = at.map_or(0.0, |at| found.weights()[at]);
        assert!((found - want).abs() <= 1e-4, "{what}: term {term}: {found}, not {want}");
    }
    // The rest, by its sum: nothing is there that should not be.
    let sum: f64 = found.weights().iter().map(|w| f64::from(*w)).sum();
    assert!(
        (sum - want.sum).abs() <= 1e-3 + 1e-4 * want.sum,
        "{what}: sum {sum}, not {}",
        want.sum
    );
}

/// Opens a case's model as a user would: by its folder, or with an edited manifest.
fn open(golden: &Golden, case: &Case) -> (Vec<TempDir>, Model) {
    let (dir, path) = folder(case);
    let mut model = Model::open(&path).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    assert_eq!(model.manifest().family, Some(case.family), "{}", case.name);
    let mut dirs = vec![dir];
    if case.document.is_some() || case.query.is_some() {
        let mut manifest = serde_json::to_value(model.manifest()).unwrap();
        let edits =
            [("/document/parameters", &case.document), ("/query/graph/parameters", &case.query)];
        for (pointer, edit) in edits {
            for (key, value) in edit.iter().flat_map(|e| e.as_object().unwrap()) {
                manifest.pointer_mut(pointer).unwrap()[key] = value.clone();
            }
        }
        fs::write(path.join("quarry-model.json"), manifest.to_string()).unwrap();
        model = Model::open(&path).unwrap();
    }
    if let Some(questions) = &case.questions {
        let other = golden.cases.iter().find(|c| c.name == *questions).unwrap();
        let (dir, path) = folder(other);
        dirs.push(dir);
        model = model.with_questions(Model::open(&path).unwrap()).unwrap();
    }
    (dirs, model)
}

#[test]
fn vectors_equal_the_published_codes() {
    find_runtime().unwrap();
    let golden = golden();
    assert!(golden.cases.len() >= 18);
    golden.cases.iter().for_each(|case| check(&golden, case));
}

/// The same vectors where a folder has safetensors in place of the graph.
#[test]
fn graphs_are_built_of_checkpoints() {
    find_runtime().unwrap();
    let golden = golden();
    let mut families = Vec::new();
    for case in golden.cases.iter().filter_map(of_checkpoint) {
        check(&golden, &case);
        let (_dirs, mut model) = open(&golden, &case);
        let built = |model: &Model| {
            let Some(DocumentSide::Onnx(document)) = &model.manifest().document else { panic!() };
            assert!(document.built.is_some(), "{}", case.name);
            document.identity_sha256()
        };
        let identity = built(&model);
        families.push((model.manifest().family, identity.clone()));
        // In 8 bits the same components, roughly, and another identity.
        let passage = Passage { title: "", text: "wire saws cut stone" };
        let vector = |model: &Model| {
            let encoder = model.document_encoder(&DocumentOptions::default()).unwrap();
            encoder.encode_documents(&[passage]).unwrap().remove(0)
        };
        let exact = vector(&model);
        let mut manifest = model.manifest().clone();
        manifest.set_precision(Precision::Int8).unwrap();
        let (_dir, path) = folder(&case);
        model = Model::with_manifest(&path, manifest).unwrap();
        assert_ne!(built(&model), identity);
        let rough = vector(&model);
        let cosine = exact.dot(&rough) / (exact.dot(&exact) * rough.dot(&rough)).sqrt();
        assert!(cosine > 0.98, "{}: {cosine}", case.name);
    }
    assert!(families.len() >= 14, "{}", families.len());
}

/// A case with the checkpoint of its graph in place of it; `None` where no graph can be built.
fn of_checkpoint(case: &Case) -> Option<Case> {
    let graph = case.files.iter().find(|(file, _)| file.ends_with(".onnx"))?;
    let (graph, network) = (graph.0.clone(), graph.1.split('/').next()?);
    if !["bert", "distil", "roberta"].contains(&network) {
        return None;
    }
    let mut case = case.clone();
    case.files.remove(&graph);
    let inner = "document_0_Transformer/config.json";
    let module = if case.files.contains_key(inner) { "document_0_Transformer/" } else { "" };
    case.files.insert(format!("{module}model.safetensors"), format!("{network}/model.safetensors"));
    case.files.insert(format!("{module}config.json"), format!("{network}/checkpoint.json"));
    Some(case)
}

fn check(golden: &Golden, case: &Case) {
    let (_dirs, model) = open(golden, case);
    let texts: Vec<String> =
        golden.texts.iter().map(|t| t.text.repeat(t.times.unwrap_or(1))).collect();
    let passages: Vec<Passage<'_>> = golden
        .texts
        .iter()
        .zip(&texts)
        .map(|(t, text)| Passage { title: &t.title, text })
        .collect();
    // Pooled inside where the graph can be changed so, and outside.
    for pool_outside in [false, true] {
        let options = DocumentOptions { pool_outside, ..DocumentOptions::default() };
        let encoder = model.document_encoder(&options).unwrap();
        let vectors = encoder.encode_documents(&passages).unwrap();
        for (at, (found, want)) in vectors.iter().zip(&case.documents).enumerate() {
            assert_close(found, want, &format!("{}: document {at}", case.name));
        }
        let encoder = model.question_encoder(&options).unwrap();
        for (text, want) in golden.questions.iter().zip(&case.queries) {
            let found = encoder.encode_query(text).unwrap();
            assert_close(&found, want, &format!("{}: question {text:?}", case.name));
        }
    }
}

#[test]
fn batches_within_the_memory_give_the_same_vectors() {
    let (_dir, path) = case("splade-bert");
    let model = Model::open(&path).unwrap();
    let texts: Vec<String> = (0..40).map(|n| "stone marble ".repeat(n % 9 + 1)).collect();
    let passages: Vec<Passage<'_>> = texts.iter().map(|text| Passage { title: "", text }).collect();
    let with = |output_memory| DocumentOptions {
        output_memory,
        pool_outside: true,
        ..DocumentOptions::default()
    };
    let want = model.document_encoder(&with(None)).unwrap().encode_documents(&passages).unwrap();
    let longest = u64::from(model.manifest().dimension) * 2 * 4 * 64;
    let bounded = model.document_encoder(&with(Some(longest))).unwrap();
    for (a, b) in bounded.encode_documents(&passages).unwrap().iter().zip(&want) {
        assert_eq!(a.terms(), b.terms());
        assert!(a.weights().iter().zip(b.weights()).all(|(a, b)| (a - b).abs() < 1e-5));
    }
    let error = model.document_encoder(&with(Some(longest - 1))).err().unwrap();
    assert!(matches!(error, EncoderError::OutputMemory { max_tokens: 64, .. }), "{error}");
}

/// In the cache's layout files are links to elsewhere, also those that hold a graph's weights.
#[cfg(unix)]
#[test]
fn a_snapshot_of_links_is_read() {
    let (dir, path) = case("echo-mistral-splade-toy");
    let snapshot = dir.path().join("models--org--echo-toy/snapshots/0123");
    let blobs = dir.path().join("models--org--echo-toy/blobs");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(&blobs).unwrap();
    for (at, entry) in fs::read_dir(&path).unwrap().enumerate() {
        let from = entry.unwrap().path();
        fs::copy(&from, blobs.join(at.to_string())).unwrap();
        let link = snapshot.join(from.file_name().unwrap());
        std::os::unix::fs::symlink(format!("../../blobs/{at}"), link).unwrap();
    }
    let model = Model::open(&snapshot).unwrap();
    assert_eq!(model.manifest().name, "org/echo-toy");
    let encoder = model.question_encoder(&DocumentOptions::default()).unwrap();
    let plain = Model::open(&path).unwrap().question_encoder(&DocumentOptions::default()).unwrap();
    assert_eq!(encoder.encode_query("stone").unwrap(), plain.encode_query("stone").unwrap());
}

#[test]
fn weights_beside_the_graph_are_verified() {
    let (_dir, path) = case("mistral-splade-toy");
    let model = Model::open(&path).unwrap();
    let Some(DocumentSide::Onnx(document)) = &model.manifest().document else { panic!() };
    assert_eq!(document.external.len(), 1);
    assert_ne!(document.identity_sha256(), document.sha256);
    let data = path.join("model.onnx_data");
    let mut bytes = fs::read(&data).unwrap();
    bytes[100] ^= 1;
    fs::write(&data, bytes).unwrap();
    let error = model.document_encoder(&DocumentOptions::default()).err().unwrap();
    assert!(matches!(&error, EncoderError::Checksum { path, .. } if *path == data), "{error}");
}

/// Weights without a checksum are read from nowhere, whatever the current folder has.
#[test]
fn weights_that_the_manifest_does_not_list_are_refused() {
    let (_dir, path) = case("mistral-splade-toy");
    let mut manifest = serde_json::to_value(Model::open(&path).unwrap().manifest()).unwrap();
    let listed = manifest["document"].as_object_mut().unwrap().remove("external");
    assert!(listed.is_some(), "{manifest}");
    fs::write(path.join("quarry-model.json"), manifest.to_string()).unwrap();
    let model = Model::open(&path).unwrap();
    let error = model.document_encoder(&DocumentOptions::default()).err().unwrap().to_string();
    assert!(error.contains("`model.onnx_data`, which the manifest does not list"), "{error}");
}

#[test]
fn what_is_not_certain_is_refused_until_it_is_named() {
    let refused = |path: &Path| match Model::open(path) {
        Err(EncoderError::Unrecognised { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    // A query table, and a name that says nothing of the version.
    let (dir, path) = case("opensearch-neural-sparse-encoding-doc-v2-toy");
    let plain = dir.path().join("plain");
    fs::rename(&path, &plain).unwrap();
    assert!(refused(&plain).contains("--family"), "{}", refused(&plain));
    let manifest = Model::manifest_of(&plain, Some(Family::OpensearchV3)).unwrap();
    fs::write(plain.join("quarry-model.json"), serde_json::to_string(&manifest).unwrap()).unwrap();
    assert_eq!(Model::open(&plain).unwrap().manifest(), &manifest);

    // Any causal language model.
    let (dir, path) = case("echo-mistral-splade-toy");
    let plain = dir.path().join("plain");
    fs::rename(&path, &plain).unwrap();
    assert!(refused(&plain).contains("causal"), "{}", refused(&plain));

    // No graph; no tokenizer; hidden states in place of a vocabulary's weights.
    let (_dir, path) = case("splade-bert");
    fs::rename(path.join("model.onnx"), path.join("pytorch_model.bin")).unwrap();
    assert!(refused(&path).contains("save_pretrained"), "{}", refused(&path));
    fs::rename(path.join("pytorch_model.bin"), path.join("model.safetensors.index.json")).unwrap();
    assert!(refused(&path).contains("one file"), "{}", refused(&path));
    let (_dir, path) = case("splade-bert");
    fs::remove_file(path.join("tokenizer.json")).unwrap();
    assert!(refused(&path).contains("no tokenizer"), "{}", refused(&path));
    let (_dir, path) = case("splade-bert");
    let config = json!({"architectures": ["BertModel"], "model_type": "bert", "vocab_size": 9999});
    fs::write(path.join("config.json"), config.to_string()).unwrap();
    assert!(refused(&path).contains("head"), "{}", refused(&path));

    // Modules of another kind.
    let (_dir, path) = case("st-splade");
    let modules = fs::read_to_string(path.join("modules.json")).unwrap();
    fs::write(path.join("modules.json"), modules.replace("SpladePooling", "WordWeights")).unwrap();
    assert!(refused(&path).contains("WordWeights"), "{}", refused(&path));
    // Those of dense vectors, and a graph that gives logits.
    fs::write(path.join("modules.json"), modules.replace("SpladePooling", "Pooling")).unwrap();
    assert!(refused(&path).contains("hidden state"), "{}", refused(&path));

    // Modules that lie elsewhere.
    for folder in ["../other", "/etc", "a/../../b", "..", "a\\..\\b"] {
        let (_dir, path) = case("st-splade");
        let modules: serde_json::Value =
            serde_json::from_slice(&fs::read(path.join("modules.json")).unwrap()).unwrap();
        for at in 0..modules.as_array().unwrap().len() {
            let mut modules = modules.clone();
            modules[at]["path"] = json!(folder);
            fs::write(path.join("modules.json"), modules.to_string()).unwrap();
            assert!(refused(&path).contains("not below"), "{folder}: {}", refused(&path));
        }
    }
}

/// Prompts and second copies leave less room: every passage is read whole all the same.
#[test]
fn passages_of_a_text_that_stands_twice_are_read_whole() {
    use quarry_vectors::SplitText;
    let (_dir, path) = case("echo-mistral-splade-toy");
    let model = Model::open(&path).unwrap();
    let options = DocumentOptions::default();
    let text = "stone and marble and more stone ".repeat(40);
    let pieces = model.splitter(64, 8, &options).unwrap().split("", &text).unwrap();
    let passages: Vec<Passage<'_>> =
        pieces.iter().map(|piece| Passage { title: "", text: &text[piece.clone()] }).collect();
    assert!(passages.len() > 4);
    let encoder = model.document_encoder(&options).unwrap();
    encoder.encode_documents(&passages).unwrap();
    assert_eq!(encoder.truncated(), 0);
    encoder.encode_documents(&[Passage { title: "", text: &text }]).unwrap();
    assert_eq!(encoder.truncated(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a file of a published folder holds, there is an answer and no panic.
    #[test]
    fn spoilt_files_do_not_panic(name in 0usize..2, file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 1..8), json in any::<bool>()) {
        let (_dir, path) = case(["st-router", "echo-mistral-splade-toy"][name]);
        let golden = golden();
        let case = golden.cases.iter().find(|c| path.ends_with(&c.name)).unwrap();
        let names: Vec<&String> = case.files.keys().collect();
        let file = path.join(names[file.index(names.len())]);
        let mut content = fs::read(&file).unwrap();
        if json {
            content = [&b"[]"[..], b"{}", b"null", b"\"a\"", b"[1]"][at.index(5)].to_vec();
        } else {
            let at = at.index(content.len());
            let end = (at + bytes.len()).min(content.len());
            content.splice(at..end, bytes);
        }
        fs::write(&file, content).unwrap();
        let _ = Model::open(&path);
    }
}

#[test]
fn two_models_of_other_tokens_are_refused() {
    let (_a, bert) = case("splade-bert");
    let (_b, roberta) = case("granite-sparse");
    let error = Model::open(&bert).unwrap().with_questions(Model::open(&roberta).unwrap());
    assert!(matches!(error.err().unwrap(), EncoderError::TwoTokenizers { .. }));

    // A router whose query side has another tokenizer.
    let (_dir, path) = case("st-router");
    let mut inner = fs::read_dir(&path).unwrap().map(|e| e.unwrap().path());
    let query = inner.find(|p| p.join("model.safetensors").is_file()).unwrap();
    let text = fs::read_to_string(query.join("tokenizer.json")).unwrap();
    fs::write(
        query.join("tokenizer.json"),
        text.replace("\"lowercase\":true", "\"lowercase\":false"),
    )
    .unwrap();
    let error = Model::open(&path).err().unwrap();
    assert!(matches!(error, EncoderError::TwoTokenizers { .. }), "{error}");
}

#[test]
fn echo_needs_to_say_which_copy_is_pooled() {
    let (_dir, path) = case("splade-distilbert");
    let mut manifest = Model::manifest_of(&path, None).unwrap();
    let Some(DocumentSide::Onnx(document)) = &mut manifest.document else { panic!() };
    document.parameters.echo = Some(quarry_encoders::Echo::default());
    let model = Model::with_manifest(&path, manifest).unwrap();
    let error = model.document_encoder(&DocumentOptions::default()).err().unwrap();
    assert!(matches!(error, EncoderError::PoolMask { .. }), "{error}");
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    let (_dir, path) = case("splade-bert");
    let options =
        DocumentOptions { device: quarry_encoders::Device::Cuda, ..DocumentOptions::default() };
    let error = Model::open(&path).unwrap().document_encoder(&options).err().unwrap();
    assert!(matches!(&error, EncoderError::Device { .. }), "{error}");
    assert!(error.to_string().contains("nothing was run on the CPU"), "{error}");
}

#[test]
fn an_index_keeps_what_questions_need() {
    let golden = golden();
    for case in &golden.cases {
        let (_dirs, model) = open(&golden, case);
        let identity = model.identity(&DocumentOptions::default()).unwrap();
        let json = serde_json::to_string(&identity).unwrap();
        let identity: quarry_encoders::EncoderIdentity = serde_json::from_str(&json).unwrap();
        let copies = quarry_encoders::TokenTableQuery::from_copies(
            &identity,
            Some(model.tokenizer_json()),
            model.query_table(),
        )
        .unwrap();
        let by_network = matches!(model.manifest().query, Some(QuerySide::Onnx(_)));
        assert_eq!((copies.is_none(), identity.query_graph.is_some()), (by_network, by_network));
        if let Some(copies) = copies {
            for text in &golden.questions {
                assert_eq!(
                    copies.encode(text).unwrap(),
                    model.query_encoder().unwrap().encode(text).unwrap()
                );
            }
        }
    }
}

#[test]
fn what_a_configuration_says_and_no_graph_is_known_for_is_refused_by_name() {
    let golden = golden();
    let case = golden.cases.iter().find(|c| c.name == "splade-bert").unwrap();
    let (_dir, path) = folder(&of_checkpoint(case).unwrap());
    let config: Value =
        serde_json::from_slice(&fs::read(path.join("config.json")).unwrap()).unwrap();
    let says = |field: &str, value: Value, what: &str| {
        let mut config = config.clone();
        config[field] = value;
        fs::write(path.join("config.json"), config.to_string()).unwrap();
        let model = Model::open(&path);
        let error = model.and_then(|m| m.document_encoder(&DocumentOptions::default()).map(|_| ()));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(what), "{field}: {error}");
    };
    says("model_type", json!("modernbert"), "modernbert");
    says("hidden_act", json!("silu"), "silu");
    says("position_embedding_type", json!("relative_key"), "relative_key");
    says("is_decoder", json!(true), "is_decoder");
    says("auto_map", json!({"AutoModel": "modeling.Own"}), "modeling.Own");
    says("quantization_config", json!({"bits": 4}), "quantization_config");
    says("tie_word_embeddings", json!(false), "cls.predictions.decoder.weight");
    says("num_hidden_layers", json!(3), "encoder.layer.2");
    says("num_attention_heads", json!(5), "num_attention_heads");

    // A body without its head is no sparse encoder.
    let multivector = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/multivector/colbert-bert");
    for file in ["config.json", "model.safetensors"] {
        fs::copy(multivector.join(file), path.join(file)).unwrap();
    }
    let config = fs::read_to_string(path.join("config.json")).unwrap();
    fs::write(path.join("config.json"), config.replace("HF_ColBERT", "BertModel")).unwrap();
    let error = Model::open(&path).unwrap_err().to_string();
    assert!(error.contains("no masked-language head"), "{error}");
}
