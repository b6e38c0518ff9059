//! Token embeddings with a row for the whole text, over a toy whose row for token v is
//! `[v, 1, v * v, 8]`: the first two columns are the tokens', the others the whole's.

use crate::common::Toy;
use quarry_encoders::{EncoderError, TokenOptions};
use quarry_vectors::{Passage, TokenEmbeddings};
use serde_json::{Value, json};

fn toy(whole: Option<Value>) -> Toy {
    let mut toy = Toy::new("good");
    let graph = include_bytes!("../toy/tokens.onnx");
    toy.replace("tokens.onnx", graph);
    let mut parameters = json!({
        "dims": 2, "max_tokens": 8, "query_max_tokens": 8, "separator": " ", "skip_tokens": ["[CLS]"],
    });
    if let Some(whole) = whole {
        parameters["whole"] = whole;
    }
    let section = json!({
        "file": "tokens.onnx", "sha256": toy.sum("tokens.onnx"), "output": "rows", "width": 4,
        "inputs": { "token_ids": "input_ids", "attention_mask": "attention_mask" },
        "max_positions": 16, "parameters": parameters,
    });
    toy.add("", "tokens", section);
    toy
}

fn whole() -> Value {
    json!({
        "column": 2, "query_weight": 0.5, "query_rows": 2, "query_skip_tokens": ["[CLS]", "[SEP]"],
    })
}

fn assert_rows(found: &TokenEmbeddings, wanted: &[[f64; 2]]) {
    assert_eq!(found.len(), wanted.len());
    for (row, want) in found.rows().zip(wanted) {
        for (found, want) in row.iter().zip(want) {
            assert!((f64::from(*found) - want).abs() < 1e-6, "{row:?}, not {want:?}");
        }
    }
}

/// The direction of a vector, `times` as long as one.
fn long([x, y]: [f64; 2], times: f64) -> [f64; 2] {
    let length = x.hypot(y) / times;
    [x / length, y / length]
}

fn passage(text: &str) -> Passage<'_> {
    Passage { title: "", text }
}

#[test]
fn a_document_begins_with_its_whole() {
    let encoder = toy(Some(whole())).open().unwrap().token_encoder(&TokenOptions::default());
    let encoder = encoder.unwrap();
    // [CLS] 2, chalk 6, flint 7, [SEP] 3: all four are in the mean, [CLS] has no row.
    let wanted = [
        long([4.0 + 36.0 + 49.0 + 9.0, 32.0], 1.0),
        long([6.0, 1.0], 1.0),
        long([7.0, 1.0], 1.0),
        long([3.0, 1.0], 1.0),
    ];
    let alone = encoder.passages(&[passage("chalk flint")]).unwrap().remove(0);
    assert_rows(&alone, &wanted);
    // Beside a longer one it has padding behind it, which counts for nothing.
    let texts = [passage("slate slate marble marble chalk"), passage("chalk flint"), passage("")];
    let company = encoder.passages(&texts).unwrap();
    assert_eq!(company[1], alone);
    assert!(company[2].is_empty());
}

#[test]
fn a_question_counts_its_whole_and_its_first_tokens() {
    let encoder = toy(Some(whole())).open().unwrap().token_encoder(&TokenOptions::default());
    let found = encoder.unwrap().question("chalk flint slate").unwrap();
    // Three tokens count and two have rows: the whole counts 1.5 beside their 2, three rows in all.
    let sum = 4.0 + 36.0 + 49.0 + 25.0 + 9.0;
    let wanted = [
        long([sum, 40.0], 1.5 * 3.0 / 3.5),
        long([6.0, 1.0], 3.0 / 3.5),
        long([7.0, 1.0], 3.0 / 3.5),
    ];
    assert_rows(&found, &wanted);
}

#[test]
fn an_index_keeps_how_questions_count() {
    let identity = |toy: &Toy| {
        let model = toy.open().unwrap().token_model().unwrap();
        model.identity(&TokenOptions::default())
    };
    let mut other = whole();
    other["query_weight"] = json!(0.25);
    let (with, without) = (toy(Some(whole())), toy(None));
    assert_ne!(identity(&with), identity(&without));
    assert_ne!(identity(&with), identity(&toy(Some(other))));
    let kept = serde_json::to_value(identity(&with)).unwrap();
    assert_eq!(kept["parameters"]["whole"], whole());
}

#[test]
fn columns_and_weights_out_of_range_are_refused() {
    let encoder = |whole: Value, dims: Option<u32>| {
        let options = TokenOptions { dims, ..TokenOptions::default() };
        toy(Some(whole)).open().and_then(|model| model.token_encoder(&options)).map(|_| ())
    };
    let with = |field: &str, value: Value| {
        let mut changed = whole();
        changed[field] = value;
        changed
    };
    let column = |column: u32| encoder(with("column", json!(column)), None);
    for refused in [encoder(whole(), Some(3)), column(1), column(3), column(9)] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, EncoderError::Parameter { .. }), "{refused}");
    }
    for (field, value) in [("query_weight", 0.0), ("query_weight", -1.0)] {
        let refused = encoder(with(field, json!(value)), None).unwrap_err().to_string();
        assert!(refused.contains(field), "{refused}");
    }
    let refused = encoder(with("query_rows", json!(0)), None).unwrap_err().to_string();
    assert!(refused.contains("query_rows"), "{refused}");
    let refused = encoder(with("query_skip_tokens", json!(["[MASK]"])), None).unwrap_err();
    assert!(matches!(&refused, EncoderError::UnknownToken { token, .. } if token == "[MASK]"));
}
