//! Graphs as exporters write them: inputs of 32 bits, sizes that are fixed, outputs of 16 bits. They give
//! what the plain graph gives, or are refused when the model is opened.

use crate::common::Toy;
use quarry_encoders::{DocumentOptions, EncoderError, TokenOptions};
use quarry_vectors::{Passage, SparseVector};
use serde_json::json;

/// Texts of different lengths, one of them empty, one longer than any input.
const TEXTS: [&str; 8] = [
    "marble",
    "slate chalk",
    "",
    "flint slate marble",
    "chalk",
    "marble slate chalk flint marble slate chalk flint",
    "flint flint",
    "slate",
];

fn vectors(toy: &Toy, max_tokens: u32, texts: &[&str]) -> (Vec<SparseVector>, u64) {
    let options = DocumentOptions { max_tokens: Some(max_tokens), ..DocumentOptions::default() };
    let encoder = toy.open().unwrap().document_encoder(&options).unwrap();
    let passages: Vec<_> = texts.iter().map(|text| Passage { title: "", text }).collect();
    (encoder.encode_documents(&passages).unwrap(), encoder.truncated())
}

#[test]
fn exported_graphs_give_what_the_plain_one_gives() {
    let plain = Toy::new("plain");
    for name in ["int32", "half", "fixed-length", "fixed-batch", "fixed"] {
        let toy = Toy::new(name);
        // A fixed length is the longest input, unless less is asked for.
        for max_tokens in [4, 5] {
            let wanted = vectors(&plain, max_tokens, &TEXTS);
            assert_eq!(wanted.1, 1 + u64::from(max_tokens == 4));
            assert_eq!(vectors(&toy, max_tokens, &TEXTS), wanted, "{name}");
            for text in TEXTS {
                assert_eq!(
                    vectors(&toy, max_tokens, &[text]).0,
                    vectors(&plain, max_tokens, &[text]).0,
                    "{name}: {text}"
                );
            }
        }
    }
}

#[test]
fn a_fixed_length_is_the_longest_input() {
    for name in ["fixed", "fixed-length"] {
        let toy = Toy::new(name);
        let model = toy.open().unwrap();
        let encoder = model.onnx_document_encoder(&DocumentOptions::default()).unwrap();
        assert_eq!(encoder.parameters().max_tokens, 5);
        let options = DocumentOptions { max_tokens: Some(6), ..DocumentOptions::default() };
        let error = model.onnx_document_encoder(&options).unwrap_err();
        assert!(
            matches!(error, EncoderError::Parameter { parameter: "max_tokens", found: 6, .. }),
            "{error}"
        );
    }
    assert_eq!(Toy::new("fixed-batch").documents().unwrap().parameters().max_tokens, 6);
}

#[test]
fn other_types_are_refused_when_the_model_is_opened() {
    for (name, words) in [
        ("float-inputs", ["int64 or int32", "float32"]),
        ("double", ["float32 or float16", "float64"]),
    ] {
        let error = Toy::new(name).open().unwrap_err();
        assert!(matches!(error, EncoderError::GraphSignature { .. }), "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{name}: {error}");
        }
    }
    // An input that the manifest does not name.
    let toy = Toy::new("plain");
    toy.replace("model.onnx", include_bytes!("../toy/good.onnx"));
    let mut toy = toy;
    toy.sign();
    let error = toy.open().unwrap_err().to_string();
    assert!(error.contains("token_type_ids"), "{error}");
}

#[test]
fn token_embeddings_of_a_fixed_graph_are_those_of_the_plain_one() {
    let encoder = |graph: &[u8]| {
        let mut toy = Toy::new("plain");
        toy.replace("tokens.onnx", graph);
        let section = json!({
            "file": "tokens.onnx", "sha256": toy.sum("tokens.onnx"), "output": "rows", "width": 4,
            "inputs": { "token_ids": "input_ids", "attention_mask": "attention_mask" },
            "max_positions": 16,
            "parameters": {
                "dims": 3, "max_tokens": 5, "query_max_tokens": 5, "separator": " ", "skip_tokens": [],
            },
        });
        toy.add("", "tokens", section);
        toy.open().unwrap().token_encoder(&TokenOptions::default()).unwrap()
    };
    let plain = encoder(include_bytes!("../toy/tokens.onnx"));
    let fixed = encoder(include_bytes!("../toy/fixed-tokens.onnx"));
    let passages = TEXTS.map(|text| Passage { title: "", text });
    assert_eq!(fixed.passages(&passages).unwrap(), plain.passages(&passages).unwrap());
    for text in TEXTS {
        assert_eq!(fixed.question(text).unwrap(), plain.question(text).unwrap());
    }
}
