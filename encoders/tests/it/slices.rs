//! Vectors are a function of the slice: the same bits for any number of sessions, any repetition
//! and any other caller at work.

use std::num::NonZeroUsize;

use crate::common::{Toy, bundled};
use quarry_encoders::{DocumentOptions, EncoderError};
use quarry_vectors::{EncodeDocument, Passage, SparseVector};

fn with_sessions(n: usize) -> DocumentOptions {
    DocumentOptions { sessions: NonZeroUsize::new(n), ..DocumentOptions::default() }
}

/// Passages of many lengths, some empty.
fn passages() -> Vec<(String, String)> {
    let words = ["marble", "quarry", "wire", "saw", "dust", "of", "the", "blocks", "polished"];
    let text = |n: usize| (0..n).map(|i| words[(i * 7 + n) % 9]).collect::<Vec<_>>().join(" ");
    (0..24).map(|i| (text(i % 3), text(i * i % 61))).collect()
}

#[test]
fn the_number_of_sessions_changes_nothing() {
    let model = bundled();
    let texts = passages();
    let slice: Vec<Passage<'_>> =
        texts.iter().map(|(title, text)| Passage { title, text }).collect();
    let one = model.document_encoder(&with_sessions(1)).unwrap();
    let want = one.encode_documents(&slice).unwrap();
    assert!(
        want.iter()
            .zip(&slice)
            .all(|(v, p)| v.is_empty() == (p.title.is_empty() && p.text.is_empty()))
    );
    assert!(want.iter().any(SparseVector::is_empty) && want.iter().all(|v| v.len() <= 128));

    let three = model.document_encoder(&with_sessions(3)).unwrap();
    for _ in 0..2 {
        assert_eq!(three.encode_documents(&slice).unwrap(), want);
    }
    std::thread::scope(|scope| {
        let callers: Vec<_> =
            (0..3).map(|_| scope.spawn(|| three.encode_documents(&slice).unwrap())).collect();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), want);
        }
    });
}

/// Its graph scales each token, or passage, by itself: encoded alone or beside others, a passage has
/// the same bits.
#[test]
fn the_bundled_models_vectors_do_not_depend_on_their_company() {
    let encoder = bundled().document_encoder(&DocumentOptions::default()).unwrap();
    let texts = passages();
    let slice: Vec<Passage<'_>> =
        texts.iter().map(|(title, text)| Passage { title, text }).collect();
    let together = encoder.encode_documents(&slice).unwrap();
    for (passage, want) in slice.iter().zip(&together) {
        assert_eq!(encoder.encode_documents(&[*passage]).unwrap(), std::slice::from_ref(want));
    }
}

#[test]
fn padding_does_not_leak_and_order_is_kept() {
    let encoder = Toy::new("good").documents().unwrap();
    let texts = ["slate", "marble slate chalk flint", "", "flint", "chalk chalk"];
    let slice = texts.map(|text| Passage { title: "", text });
    let vectors = encoder.encode(&slice).unwrap();
    let terms: Vec<&[u32]> = vectors.iter().map(SparseVector::terms).collect();
    // The heaviest three of four; a word's weight grows with its number.
    assert_eq!(terms, [&[5][..], &[5, 6, 7], &[], &[7], &[6]]);
    assert_eq!(vectors[3].weights(), [1.0]);
}

#[test]
fn the_tokenizers_own_truncation_and_padding_are_overridden() {
    let encoder = Toy::new("good").documents().unwrap();
    // Six tokens with [CLS] and [SEP]: four words fit, the fifth is cut.
    let encode = |title, text| encoder.encode(&[Passage { title, text }]).unwrap().remove(0);
    assert_eq!(encode("marble", "marble marble slate").terms(), [4, 5]);
    assert_eq!(encoder.truncated(), 0);
    assert_eq!(encode("marble", "marble marble slate flint").terms(), [4, 5]);
    assert_eq!(encoder.truncated(), 1);
}

#[test]
fn an_empty_slice_is_no_vectors() {
    let encoder = Toy::new("good").documents().unwrap();
    assert_eq!(encoder.encode(&[]).unwrap(), []);
}

#[test]
fn options_take_the_place_of_the_models_parameters() {
    let toy = Toy::new("good");
    let model = toy.open().unwrap();
    let all = DocumentOptions { max_tokens: Some(3), top_k: Some(0), ..DocumentOptions::default() };
    let identity = model.identity(&all).unwrap();
    assert_eq!((identity.document.max_tokens, identity.document.top_k), (3, 0));
    assert_eq!(identity.query, model.identity(&DocumentOptions::default()).unwrap().query);
    let encoder = model.onnx_document_encoder(&all).unwrap();
    assert_eq!(encoder.parameters(), &identity.document);
    let vector = encoder.encode(&[Passage { title: "", text: "marble slate" }]).unwrap().remove(0);
    assert_eq!(vector.terms(), [4]);
    // [CLS] and [SEP] leave no room, or the graph has no positions.
    for bad in [0, 2, 17] {
        let options = DocumentOptions { max_tokens: Some(bad), ..DocumentOptions::default() };
        let error = model.onnx_document_encoder(&options).unwrap_err();
        assert!(matches!(error, EncoderError::Parameter { found, .. } if found == bad), "{error}");
    }
}

#[test]
fn the_identity_survives_json() {
    let identity = bundled().identity(&DocumentOptions::default()).unwrap();
    let json = serde_json::to_string(&identity).unwrap();
    assert_eq!(serde_json::from_str::<quarry_encoders::EncoderIdentity>(&json).unwrap(), identity);
    assert!(json.contains(r#""tf":"1+ln""#), "{json}");
}
