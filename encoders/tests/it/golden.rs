//! The bundled model's vectors equal those of Python's ONNX Runtime and tokenizer, made by
//! `scripts/make_fixtures.py`, passage by passage (a batch of one, as there).

use crate::common::bundled;
use quarry_encoders::{DocumentOptions, TokenTableQuery};
use quarry_vectors::Passage;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    documents: Vec<GoldenDocument>,
    queries: Vec<GoldenQuery>,
}

#[derive(Deserialize)]
struct GoldenDocument {
    name: String,
    title: String,
    text: String,
    times: usize,
    truncated: bool,
    count: usize,
    sum: f64,
    heaviest: Vec<(u32, f32)>,
}

#[derive(Deserialize)]
struct GoldenQuery {
    text: String,
    times: usize,
    components: Vec<(u32, f32)>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden.json")).unwrap()
}

/// Share by which a sum of weights may differ from Python's: the bundled model is of 8 bits, and what a kernel rounds
/// otherwise on another CPU may move a value to the next of 256.
const NEAR: f64 = 0.02;

#[test]
fn documents_equal_python() {
    let encoder = bundled().onnx_document_encoder(&DocumentOptions::default()).unwrap();
    let mut truncated = 0;
    for golden in golden().documents {
        let name = &golden.name;
        let text = golden.text.repeat(golden.times);
        let passage = Passage { title: &golden.title, text: &text };
        let vector = encoder.encode(&[passage]).unwrap().remove(0);

        let (count, want) = (vector.len(), golden.count);
        assert!(count.abs_diff(want) * 20 <= want, "{name}: {count} components, not {want}");
        let sum: f64 = vector.weights().iter().map(|w| f64::from(*w)).sum();
        assert!((sum - golden.sum).abs() <= NEAR * golden.sum, "{name}: {sum} {}", golden.sum);
        for &(term, want) in &golden.heaviest {
            let at = vector.terms().binary_search(&term);
            let found = at.map_or(0.0, |at| vector.weights()[at]);
            // An absolute part for weights next to nothing.
            let tolerance = 0.05 * want + 0.01;
            assert!((found - want).abs() <= tolerance, "{name}: term {term}: {found}, not {want}");
        }
        truncated += u64::from(golden.truncated);
        let counted = quarry_vectors::EncodeDocument::truncated(&encoder);
        assert_eq!(counted, truncated, "{name}: truncated");
    }
}

#[test]
fn queries_equal_python() {
    let model = bundled();
    let from_folder = model.query_encoder().unwrap();
    let identity = model.identity(&DocumentOptions::default()).unwrap();
    let (tokenizer, table) = (model.tokenizer_json(), model.query_table());
    let from_copies = TokenTableQuery::from_copies(&identity, Some(tokenizer), table);
    let from_copies = from_copies.unwrap().unwrap();
    for golden in golden().queries {
        let text = golden.text.repeat(golden.times);
        let vector = from_folder.encode(&text).unwrap();
        assert_eq!(from_copies.encode(&text).unwrap(), vector);
        let terms: Vec<u32> = golden.components.iter().map(|c| c.0).collect();
        assert_eq!(vector.terms(), terms, "{:?}", golden.text);
        for ((_, found), (_, want)) in vector.iter().zip(&golden.components) {
            assert!((found - want).abs() <= 1e-6 * want, "{:?}: {found}, not {want}", golden.text);
        }
    }
}

#[test]
fn tokens_stand_at_their_ids() {
    let model = bundled();
    let tokens = model.vocabulary().tokens();
    assert_eq!(tokens.len(), 30522);
    assert_eq!((tokens[0].as_str(), tokens[2962].as_str()), ("[PAD]", "stone"));
    assert_eq!(model.query_encoder().unwrap().tokens(), tokens);
    assert!((0..).zip(tokens).all(|(id, token)| model.vocabulary().id(token) == Some(id)));
}
