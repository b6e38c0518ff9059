//! Graphs against what transformers computes of the same checkpoints (`scripts/make_graph_fixtures.py`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde::Deserialize;

use super::{
    ATTENTION_MASK, Checkpoint, GraphError, Head, Precision, SPARSE_OUTPUT, Saturation, SpladeHead,
    SpladePooling, TOKEN_IDS, TOKENS_OUTPUT, TokenHead,
};
use crate::graph::{Graph, GraphBytes, InputRow, OutputShape, Signature, Tensors};
use crate::{Device, OnnxInputs};

const FAMILIES: [&str; 3] = ["bert", "distilbert", "roberta"];

#[derive(Deserialize)]
struct Golden {
    pad: u32,
    rows: Vec<Vec<u32>>,
    max: Vec<Vec<f32>>,
    #[serde(rename = "max twice")]
    max_twice: Vec<Vec<f32>>,
    sum: Vec<Vec<f32>>,
    tokens: Vec<Vec<Vec<f32>>>,
}

fn folder(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graphs").join(family)
}

fn golden(family: &str) -> Golden {
    serde_json::from_slice(&std::fs::read(folder(family).join("golden.json")).unwrap()).unwrap()
}

fn splade(pooling: SpladePooling, saturation: Saturation) -> Head {
    Head::Splade(SpladeHead { pooling, saturation })
}

/// The output of one batch.
fn run(onnx: &[u8], (output, shape): (&str, OutputShape), rows: &[&[u32]], pad: u32) -> Vec<f32> {
    let inputs = OnnxInputs {
        token_ids: TOKEN_IDS.into(),
        attention_mask: ATTENTION_MASK.into(),
        token_types: None,
        positions: None,
        pool_mask: None,
    };
    let signature = Signature { inputs: &inputs, output, shape, unpooled: None };
    let mut graph = Graph::open(
        &GraphBytes::InMemory(onnx.to_vec()),
        Path::new("made"),
        &signature,
        Device::Cpu,
    )
    .unwrap();
    let mut tensors = Tensors::default();
    let length = rows.iter().map(|row| row.len()).max().unwrap();
    let rows = rows.iter().map(|ids| InputRow {
        ids,
        attended: ids.len(),
        pooled_from: 0,
        pooled_to: ids.len(),
    });
    tensors.fill(rows, length, pad);
    graph.run(&tensors, |output| Ok(output.values.to_vec())).unwrap()
}

fn off(found: &[f32], want: &[f32]) -> f32 {
    assert_eq!(found.len(), want.len());
    found.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn graphs_compute_what_transformers_does() {
    for family in FAMILIES {
        let golden = golden(family);
        let checkpoint = Checkpoint::read(&folder(family)).unwrap();
        let (width, vocabulary) = (checkpoint.body().width, checkpoint.body().vocabulary);
        let rows: Vec<&[u32]> = golden.rows.iter().map(Vec::as_slice).collect();
        let once = Saturation::Log1p;
        for (head, want) in [
            (splade(SpladePooling::Max, once), &golden.max),
            (splade(SpladePooling::Max, Saturation::DoubleLog1p), &golden.max_twice),
            (splade(SpladePooling::Sum, once), &golden.sum),
        ] {
            let shape = (SPARSE_OUTPUT, OutputShape::Passage(vocabulary));
            let onnx = checkpoint.graph(&head, Precision::Float32).unwrap();
            assert_eq!(onnx, checkpoint.graph(&head, Precision::Float32).unwrap(), "same bytes");
            let found = run(&onnx, shape, &rows, golden.pad);
            let largest = off(&found, &want.concat());
            assert!(largest < 1e-4, "{family}, {head:?}: off by {largest}");
            // In 8 bits a row does not depend on what shares its batch.
            let onnx = checkpoint.graph(&head, Precision::Int8).unwrap();
            let together = run(&onnx, shape, &rows, golden.pad);
            for (row, found) in rows.iter().zip(together.chunks(vocabulary)) {
                // To the bit; a sum's last digits follow the order that the runtime adds in.
                let most = if head == splade(SpladePooling::Sum, once) { 1e-5 } else { 0.0 };
                let alone = run(&onnx, shape, &[row], golden.pad);
                assert!(off(&alone, found) <= most, "{family}, {head:?}");
            }
            let (sum, scale) = (off(&together, &want.concat()), want.concat());
            let scale = scale.iter().copied().fold(0.0, f32::max);
            assert!(sum < 0.1 * scale, "{family}, {head:?}: 8 bits are off by {sum} of {scale}");
        }
        let shape = (TOKENS_OUTPUT, OutputShape::Token(width));
        let head = Head::Tokens(TokenHead::default());
        let onnx = checkpoint.graph(&head, Precision::Float32).unwrap();
        let length = rows.iter().map(|row| row.len()).max().unwrap();
        let found = run(&onnx, shape, &rows, golden.pad);
        for ((row, want), found) in
            rows.iter().zip(&golden.tokens).zip(found.chunks(length * width))
        {
            let largest = off(&found[..row.len() * width], &want.concat());
            assert!(largest < 1e-4, "{family}, tokens: off by {largest}");
        }
    }
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let read = |config: &str, weights: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        std::fs::write(folder.path().join("model.safetensors"), weights).unwrap();
        let head = splade(SpladePooling::Max, Saturation::Log1p);
        let graph = Checkpoint::read(folder.path())
            .and_then(|checkpoint| checkpoint.graph(&head, Precision::Float32));
        graph.unwrap_err().to_string()
    };
    let at = folder("bert");
    let config = std::fs::read_to_string(at.join("config.json")).unwrap();
    let weights = std::fs::read(at.join("model.safetensors")).unwrap();
    let refused = read(&config.replace("\"bert\"", "\"gpt2\""), &weights);
    assert!(refused.contains("gpt2"), "{refused}");
    let refused = read("{}", &weights);
    assert!(refused.contains("model_type"), "{refused}");
    let refused = read(&config, b"no tensors");
    assert!(refused.contains("model.safetensors"), "{refused}");
    let refused = read(&config.replace("\"vocab_size\": 97", "\"vocab_size\": 98"), &weights);
    assert!(refused.contains("98"), "{refused}");
    let other = std::fs::read(folder("distilbert").join("model.safetensors")).unwrap();
    let refused = read(&config, &other);
    assert!(refused.contains("embeddings") || refused.contains("encoder"), "{refused}");
    assert!(matches!(Checkpoint::read(Path::new("nowhere")), Err(GraphError::Read { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn spoilt_files_do_not_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let folder = folder("roberta");
        let config = std::fs::read(folder.join("config.json")).unwrap();
        let mut weights = std::fs::read(folder.join("model.safetensors")).unwrap();
        // The header is where a change matters.
        let at = at.index(weights.len().min(4_000));
        weights[at] = byte;
        let path = PathBuf::from("spoilt");
        if let Ok(body) = super::Body::parse(&config, &path)
            && let Ok(checkpoint) = Checkpoint::new(body, weights, path)
        {
            let _ = checkpoint.graph(&Head::Tokens(TokenHead::default()), Precision::Int8);
        }
    }
}
