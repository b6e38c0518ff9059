//! What is not a model, or not one model, is refused with its own error.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{Toy, bundled, bundled_folder};
use proptest::prelude::*;
use quarry_encoders::{
    EncoderError, Model, ModelManifest, QueryParameters, TermFrequency, TokenTableQuery, Vocabulary,
};
use quarry_vectors::Passage;
use serde_json::json;

const FILES: [&str; 3] = ["tokenizer.json", "query_table.json", "model.onnx"];

#[test]
fn a_missing_file_is_named() {
    for file in ["quarry-model.json"].iter().chain(&FILES) {
        let toy = Toy::new("good");
        fs::remove_file(toy.path(file)).unwrap();
        let error = toy.documents().unwrap_err();
        assert!(
            matches!(&error, EncoderError::Read { path, .. } if path.ends_with(file)),
            "{error}"
        );
    }
}

/// Taken for absent, a settings file that cannot be read would make another model of it.
#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_read_is_not_absent() {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/multivector/colbert-bert");
    for name in ["sentence_bert_config.json", "tokenizer_config.json", "modules.json"] {
        for how in ["dangling", "folder"] {
            let dir = tempfile::tempdir().unwrap();
            for entry in fs::read_dir(&whole).unwrap() {
                let path = entry.unwrap().path();
                fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
            }
            Model::open(dir.path()).unwrap();
            let path = dir.path().join(name);
            drop(fs::remove_file(&path));
            match how {
                "folder" => fs::create_dir(&path).unwrap(),
                _ => std::os::unix::fs::symlink("/nowhere/blob", &path).unwrap(),
            }
            let error = Model::open(dir.path()).unwrap_err().to_string();
            assert!(error.contains(name), "{how}: {error}");
        }
    }
}

#[test]
fn a_changed_file_is_refused_by_its_checksum() {
    for file in FILES {
        let toy = Toy::new("good");
        let mut bytes = fs::read(toy.path(file)).unwrap();
        bytes.push(b'\n');
        toy.replace(file, &bytes);
        let error = toy.documents().unwrap_err();
        assert!(
            matches!(&error, EncoderError::Checksum { path, .. } if path.ends_with(file)),
            "{error}"
        );
    }
}

#[test]
fn a_manifest_of_another_format_is_told_by_its_version() {
    let mut toy = Toy::new("good");
    toy.add("", "a field of the future", json!(1));
    toy.set("/format", json!(2));
    assert!(matches!(toy.open(), Err(EncoderError::ManifestFormat { expected: 1, found: 2, .. })));
}

#[test]
fn manifest_fields_are_checked() {
    let mut toy = Toy::new("good");
    toy.add("/document/parameters", "unknown", json!(1));
    assert!(matches!(toy.open(), Err(EncoderError::Manifest { .. })));
    for (pointer, value) in [
        ("/name", json!("")),
        ("/dimension", json!(0)),
        ("/tokenizer/file", json!("../tokenizer.json")),
        ("/document/file", json!("/model.onnx")),
        ("/query/file", json!("")),
        ("/query/sha256", json!("abc")),
        ("/document/parameters/max_tokens", json!(0)),
    ] {
        let mut toy = Toy::new("good");
        toy.set(pointer, value);
        let error = toy.open().unwrap_err();
        let named = pointer[1..].replace('/', ".");
        assert!(
            matches!(&error, EncoderError::ManifestField { field, .. } if *field == named),
            "{error}"
        );
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let mut toy = Toy::new("good");
    toy.set("/dimension", json!(9));
    assert!(matches!(toy.open(), Err(EncoderError::VocabularySize { expected: 9, found: 8 })));

    let mut toy = Toy::new("good");
    toy.replace("query_table.json", br#"{"marble": 1.0, "basalt": 1.0}"#);
    toy.sign();
    let error = toy.open().unwrap().query_encoder().unwrap_err();
    assert!(
        matches!(&error, EncoderError::QueryTableVocabulary { unknown: 1, example } if example == "basalt")
    );

    let mut toy = Toy::new("good");
    toy.set("/query/parameters/drop_tokens", json!(["[MASK]"]));
    let error = toy.open().unwrap().query_encoder().unwrap_err();
    assert!(matches!(&error, EncoderError::UnknownToken { token, .. } if token == "[MASK]"));

    let mut toy = Toy::new("good");
    toy.replace("query_table.json", br#"{"marble": 0.0, "[CLS]": 1.0}"#);
    toy.sign();
    let error = toy.open().unwrap().query_encoder().unwrap_err();
    assert!(matches!(error, EncoderError::QueryTableWeights { .. }));
}

#[test]
fn a_graph_that_is_not_the_manifests_is_refused() {
    let mut toy = Toy::new("good");
    toy.replace("model.onnx", b"no graph");
    toy.sign();
    assert!(matches!(toy.documents(), Err(EncoderError::Unrecognised { .. })));

    let mut toy = Toy::new("good");
    toy.set("/document/output", json!("logits"));
    assert!(matches!(toy.documents(), Err(EncoderError::GraphSignature { what: "output", .. })));

    let mut toy = Toy::new("nan");
    toy.add("/document/inputs", "token_types", json!("token_type_ids"));
    assert!(matches!(toy.documents(), Err(EncoderError::GraphSignature { what: "inputs", .. })));

    let error = Toy::new("wide").documents().unwrap_err();
    assert!(matches!(error, EncoderError::GraphSignature { what: "output", .. }));
}

#[test]
fn an_output_that_is_no_vector_is_refused() {
    let slice = ["marble", "slate"].map(|text| Passage { title: "", text });
    let error = Toy::new("nan").documents().unwrap().encode(&slice).unwrap_err();
    assert!(
        matches!(&error, EncoderError::OutputValue { term: 6, found, .. } if found.is_nan()),
        "{error}"
    );
    let error = Toy::new("lying").documents().unwrap().encode(&slice).unwrap_err();
    assert!(
        matches!(&error, EncoderError::OutputShape { found, .. } if found == &[2, 9]),
        "{error}"
    );
}

#[test]
fn a_cut_graph_of_the_bundled_model_is_refused() {
    let whole = fs::read(bundled_folder().join("model.onnx")).unwrap();
    let mut toy = Toy::new("good");
    toy.replace("model.onnx", &whole[..whole.len() / 2]);
    toy.sign();
    assert!(matches!(toy.documents(), Err(EncoderError::Unrecognised { .. })));
}

#[test]
fn frequency_and_table_make_the_weight() {
    let query = Toy::new("good").open().unwrap().query_encoder().unwrap();
    // chalk has weight 0, flint is not in the table, [CLS] is dropped, basalt is unknown.
    let vector = query.encode("slate marble marble chalk flint [CLS] basalt").unwrap();
    assert_eq!(vector.terms(), [4, 5]);
    assert_eq!(vector.weights(), [2.0 * (1.0 + 2.0_f32.ln()), 1.0]);
    assert_eq!((query.weight(4), query.weight(2), query.weight(99)), (2.0, 0.0, 0.0));
    assert_eq!(TermFrequency::Presence.factor(5), 1.0);
}

#[test]
fn a_tokenizer_that_the_library_panics_on_is_refused() {
    let json = include_str!("../toy/tokenizer.json");
    let spoilt = json.replace(r#""decoder": null"#, r#""decoder": {"type": nope}"#);
    assert_ne!(spoilt, json);
    // A program's own hook is told that the panic becomes an error, so it stays quiet.
    let (here, told) = (std::thread::current().id(), Arc::new(AtomicU32::new(0)));
    let (before, count) = (std::panic::take_hook(), Arc::clone(&told));
    std::panic::set_hook(Box::new(move |panic| {
        if quarry_vectors::is_guarded() && std::thread::current().id() == here {
            count.fetch_add(1, Ordering::Relaxed);
        } else {
            before(panic);
        }
    }));
    let error = Vocabulary::from_bytes(spoilt.as_bytes()).unwrap_err();
    assert!(matches!(error, EncoderError::Tokenizer { .. }), "{error}");
    assert!(error.to_string().contains("Helper"), "the library's own words: {error}");
    assert_eq!(told.load(Ordering::Relaxed), 1);
    assert!(!quarry_vectors::is_guarded());
}

fn parameters() -> QueryParameters {
    QueryParameters { tf: TermFrequency::OnePlusLn, drop_tokens: Vec::new(), prompt: String::new() }
}

#[test]
fn any_question_has_a_vector() {
    let query = bundled().query_encoder().unwrap();
    proptest!(|(text in any::<String>(), times in 1usize..50)| {
        let vector = query.encode(&text.repeat(times)).unwrap();
        prop_assert!(vector.terms().iter().all(|t| (*t as usize) < query.tokens().len()));
    });
}

#[test]
fn any_passage_has_a_vector() {
    let encoder = Toy::new("good").documents().unwrap();
    proptest!(|(texts in prop::collection::vec(any::<(String, String)>(), 0..8))| {
        let slice: Vec<Passage<'_>> =
            texts.iter().map(|(title, text)| Passage { title, text }).collect();
        prop_assert_eq!(encoder.encode(&slice).unwrap().len(), slice.len());
    });
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_manifest(bytes in any::<Vec<u8>>()) {
        prop_assert!(ModelManifest::parse(&bytes, Path::new("quarry-model.json")).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_no_tokenizer(bytes in any::<Vec<u8>>()) {
        prop_assert!(Vocabulary::from_bytes(&bytes).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_no_query_table(bytes in any::<Vec<u8>>()) {
        let tokenizer = include_bytes!("../toy/tokenizer.json");
        prop_assert!(TokenTableQuery::from_bytes(tokenizer, &bytes, &parameters()).is_err());
    }

    #[test]
    fn a_spoilt_tokenizer_does_not_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = include_bytes!("../toy/tokenizer.json").to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(vocabulary) = Vocabulary::from_bytes(&bytes) {
            let table = br#"{"slate": 1.0}"#;
            if let Ok(query) = TokenTableQuery::new(vocabulary, Some(table.as_slice()), &parameters()) {
                let _ = query.encode("marble and slate");
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_graph(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut toy = Toy::new("good");
        toy.replace("model.onnx", &bytes);
        toy.sign();
        prop_assert!(toy.documents().is_err());
    }
}
