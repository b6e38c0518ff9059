//! Graphs against what transformers computes of the same checkpoints (`scripts/make_graph_fixtures.py`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde::Deserialize;

use super::{
    ATTENTION_MASK, Checkpoint, GraphError, Head, PART, POOL_MASK, POOLED, Precision,
    SPARSE_OUTPUT, Saturation, SpladeHead, SpladePooling, TOKEN_IDS, TOKENS_OUTPUT, TokenHead,
    in_parts, pool_inside,
};
use crate::graph::{Graph, InputRow, OutputShape, Signature, Tensors};
use crate::graph_bytes::GraphBytes;
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

/// What the graphs made here take.
fn inputs() -> OnnxInputs {
    OnnxInputs {
        token_ids: TOKEN_IDS.into(),
        attention_mask: ATTENTION_MASK.into(),
        token_types: None,
        positions: None,
        pool_mask: None,
    }
}

/// The output of one batch.
fn run(onnx: &[u8], (output, shape): (&str, OutputShape), rows: &[&[u32]], pad: u32) -> Vec<f32> {
    let rows: Vec<InputRow<'_>> = rows.iter().map(|ids| whole(ids)).collect();
    let signature = Signature { inputs: &inputs(), output, shape, unpooled: None };
    run_rows(&GraphBytes::InMemory(onnx.to_vec()), Path::new("made"), &signature, &rows, pad)
}

fn whole(ids: &[u32]) -> InputRow<'_> {
    InputRow { ids, attended: ids.len(), pooled_from: 0, pooled_to: ids.len() }
}

fn run_rows(
    onnx: &GraphBytes,
    path: &Path,
    signature: &Signature<'_>,
    rows: &[InputRow<'_>],
    pad: u32,
) -> Vec<f32> {
    let mut graph = Graph::open(onnx, path, signature, Device::Cpu).unwrap();
    let mut tensors = Tensors::default();
    let length = rows.iter().map(|row| row.ids.len()).max().unwrap();
    tensors.fill(rows.iter().copied(), length, pad);
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

fn foreign(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families/parts").join(part)
}

/// Graphs of others against their own logits, pooled by the formula.
#[test]
fn graphs_of_others_pool_inside() {
    let rows: [&[u32]; 3] = [&[2, 7, 31, 5, 9, 60, 3], &[2, 88, 3], &[2, 14, 15, 92, 65, 35, 3]];
    // Whole rows, and the tail of each.
    let whole: Vec<InputRow<'_>> = rows.iter().map(|ids| whole(ids)).collect();
    let tails = whole.iter().map(|row| InputRow { pooled_from: 1, ..*row }).collect();
    for (part, names, vocabulary) in [
        ("bert/model.onnx", ["attention_mask", "token_type_ids", "logits"], 500),
        ("bert/aliased.onnx", ["input_mask", "segment_ids", "output"], 500),
        ("roberta/model.onnx", ["attention_mask", "", "logits"], 500),
        ("mistral/model.onnx", ["attention_mask", "", "logits"], 605),
    ] {
        let path = foreign(part);
        let bytes = std::fs::read(&path).unwrap();
        let [attention_mask, types, output] = names.map(str::to_owned);
        let token_types = (!types.is_empty()).then_some(types);
        let inputs = OnnxInputs { attention_mask, token_types, ..inputs() };
        let graph = match part.starts_with("mistral") {
            true => GraphBytes::Beside,
            false => GraphBytes::InMemory,
        };
        let shape = OutputShape::Token(vocabulary);
        let signature = Signature { inputs: &inputs, output: &output, shape, unpooled: None };
        for rows in [&whole, &tails] {
            let logits = run_rows(&graph(bytes.clone()), &path, &signature, rows, 0);
            for parts in [64, PART] {
                let made = pool_inside(&bytes, &output, vocabulary, parts).unwrap();
                let inputs = OnnxInputs { pool_mask: Some(POOL_MASK.into()), ..inputs.clone() };
                let shape = OutputShape::Passage(vocabulary);
                let signature =
                    Signature { inputs: &inputs, output: POOLED, shape, unpooled: None };
                let found = run_rows(&graph(made), &path, &signature, rows, 0);
                let mut want = Vec::new();
                let length = logits.len() / rows.len() / vocabulary;
                for (at, row) in rows.iter().enumerate() {
                    for term in 0..vocabulary {
                        let x = (row.pooled_from..row.pooled_to)
                            .map(|position| logits[(at * length + position) * vocabulary + term]);
                        want.push(x.fold(f32::NEG_INFINITY, f32::max));
                    }
                }
                let largest = off(&found, &want);
                assert!(largest < 1e-5, "{part}, parts of {parts}: off by {largest}");
            }
        }
    }
    // What pools already has no product for an output, and nothing is a graph that is none.
    let pooled = std::fs::read(foreign("distil/model.onnx")).unwrap();
    assert!(pool_inside(&pooled, "sentence_embedding", 500, 64).is_none());
    assert!(pool_inside(&pooled, "nothing", 500, 64).is_none());
    assert!(pool_inside(b"no graph", "logits", 500, 64).is_none());
}

#[test]
fn a_maximum_in_parts_is_the_same() {
    for family in FAMILIES {
        let golden = golden(family);
        let checkpoint = Checkpoint::read(&folder(family)).unwrap();
        let vocabulary = checkpoint.body().vocabulary;
        let rows: Vec<&[u32]> = golden.rows.iter().map(Vec::as_slice).collect();
        let shape = (SPARSE_OUTPUT, OutputShape::Passage(vocabulary));
        for precision in [Precision::Float32, Precision::Int8] {
            let head = splade(SpladePooling::Max, Saturation::Log1p);
            let onnx = checkpoint.graph(&head, precision).unwrap();
            let parts = in_parts(&onnx, vocabulary, 32).unwrap();
            let (found, want) = (run(&parts, shape, &rows, 0), run(&onnx, shape, &rows, 0));
            let most = if precision == Precision::Int8 { 0.0 } else { 1e-6 };
            assert!(off(&found, &want) <= most, "{family}, {precision:?}");
            assert!(in_parts(&onnx, vocabulary, vocabulary).is_none(), "one part is what it is");
        }
        let head = splade(SpladePooling::Sum, Saturation::Log1p);
        let onnx = checkpoint.graph(&head, Precision::Float32).unwrap();
        assert!(in_parts(&onnx, vocabulary, 32).is_none(), "a sum has no maximum");
    }
}

/// A maximum may pass over what is not a number; the pooled weights say so all the same.
#[test]
fn what_is_no_number_stays_so_inside() {
    let path = foreign("roberta/model.onnx");
    let onnx = std::fs::read(&path).unwrap();
    let made = pool_inside(&onnx, "logits", 500, 64).unwrap();
    let no_numbers = |onnx: Vec<u8>| {
        let inputs = OnnxInputs { pool_mask: Some(POOL_MASK.into()), ..inputs() };
        let shape = OutputShape::Passage(500);
        let signature = Signature { inputs: &inputs, output: POOLED, shape, unpooled: None };
        let rows = [whole(&[0, 7, 31, 2])];
        let found = run_rows(&GraphBytes::InMemory(onnx), &path, &signature, &rows, 1);
        found.iter().filter(|v| v.is_nan()).count()
    };
    let spoilt = spoil(&made, "model.roberta.embeddings.position_embeddings.weight");
    assert_eq!((no_numbers(made), no_numbers(spoilt)), (0, 500));
}

/// The file with a weight whose values are not numbers.
fn spoil(onnx: &[u8], weight: &str) -> Vec<u8> {
    use prost::Message;
    let mut model = crate::onnx_proto::ModelProto::decode(onnx).unwrap();
    let weights = &mut model.graph.as_mut().unwrap().initializer;
    let weight = weights.iter_mut().find(|w| w.name == weight).unwrap();
    let nan = f32::NAN.to_le_bytes();
    weight.raw_data.chunks_exact_mut(4).for_each(|value| value.copy_from_slice(&nan));
    model.encode_to_vec()
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
    fn spoilt_graphs_do_not_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut onnx = std::fs::read(foreign("bert/model.onnx")).unwrap();
        let at = at.index(onnx.len());
        onnx[at] = byte;
        let _ = pool_inside(&onnx, "logits", 500, 64);
        let _ = in_parts(&onnx[..cut.index(onnx.len())], 500, 64);
    }

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
