//! Which token each component comes from, beside the graph run unpooled and searched naively.

use std::fs;
use std::ops::Range;
use std::path::Path;

use ort::session::Session;
use ort::value::Tensor;
use proptest::prelude::*;
use quarry_encoders::{DocumentOptions, DocumentSide, EncoderError, Model, Pooling, environment};
use quarry_vectors::{EncodeDocument, Field, Passage, PooledBy, Traced, join_title_and_text};
use sha2::{Digest, Sha256};

use crate::common::{Toy, bundled, bundled_folder};
use crate::families::case;

const TRACED: DocumentOptions = DocumentOptions {
    sessions: None,
    max_tokens: None,
    top_k: None,
    device: quarry_encoders::Device::Cpu,
    output_memory: None,
    provenance: true,
    pool_outside: false,
};

fn traced(model: &Model, passages: &[Passage<'_>]) -> Vec<Traced> {
    let encoder = model.onnx_document_encoder(&TRACED).unwrap();
    let found = encoder.trace(passages).unwrap();
    // The same vectors to the bit, from this encoder and from one that does not trace.
    let plain = model.onnx_document_encoder(&DocumentOptions::default()).unwrap();
    assert!(matches!(plain.trace(passages), Err(EncoderError::NotTracing)));
    assert_eq!(plain.traces(), None);
    for vectors in [plain.encode(passages).unwrap(), encoder.encode(passages).unwrap()] {
        assert!(found.iter().map(|t| &t.vector).eq(&vectors));
    }
    for traced in &found {
        assert_eq!(traced.vector.len(), traced.origins.len());
    }
    found
}

/// Title and text, joined and cut as the model reads them.
fn ids(model: &Model, passage: &Passage<'_>) -> Vec<u32> {
    let Some(DocumentSide::Onnx(side)) = &model.manifest().document else { unreachable!() };
    let mut tokenizer = tokenizers::Tokenizer::from_bytes(model.tokenizer_json()).unwrap();
    let cut = tokenizers::TruncationParams {
        max_length: side.parameters.max_tokens as usize,
        ..Default::default()
    };
    tokenizer.with_truncation(Some(cut)).unwrap();
    tokenizer.with_padding(None);
    let whole = join_title_and_text(passage.title, passage.text, &side.parameters.separator);
    tokenizer.encode(whole, true).unwrap().get_ids().to_vec()
}

/// A graph's file with the value `name` as a further output.
fn with_output(path: &Path, name: &str) -> Vec<u8> {
    let mut onnx = fs::read(path).unwrap();
    let n = u8::try_from(name.len()).unwrap();
    onnx.extend([0x3a, n + 4, 0x62, n + 2, 0x0a, n]);
    onnx.extend(name.as_bytes());
    onnx
}

/// Token values `[length][dimension]` of one text alone.
fn unpooled(onnx: &[u8], name: &str, ids: &[u32], pool: Option<&Range<usize>>) -> Vec<Vec<f64>> {
    let environment = environment().unwrap();
    // As the encoder has it: exact products on CPUs without VNNI.
    let mut session = Session::builder(&environment)
        .unwrap()
        .with_config_entry("session.x64quantprecision", "1")
        .unwrap()
        .commit_from_memory(onnx)
        .unwrap();
    let length = ids.len();
    let tensor = |values: Vec<i64>| Tensor::from_array(([1, length], values)).unwrap().into_dyn();
    let feed: Vec<(String, _)> = session
        .inputs()
        .iter()
        .map(|input| {
            let values = match input.name() {
                "input_ids" => ids.iter().map(|id| i64::from(*id)).collect(),
                "attention_mask" | "input_mask" => vec![1; length],
                "pool_mask" => {
                    let pooled = pool.unwrap();
                    (0..length).map(|at| i64::from(pooled.contains(&at))).collect()
                }
                _ => vec![0; length],
            };
            (input.name().to_owned(), tensor(values))
        })
        .collect();
    let outputs = session.run(feed).unwrap();
    let values: Vec<f64> = match outputs[name].try_extract_tensor::<f32>() {
        Ok((_, values)) => values.iter().map(|v| f64::from(*v)).collect(),
        Err(_) => {
            let (_, values) = outputs[name].try_extract_tensor::<i32>().unwrap();
            values.iter().map(|v| f64::from(*v)).collect()
        }
    };
    values.chunks(values.len() / length).map(<[f64]>::to_vec).collect()
}

/// Each origin is the first of the largest; values that differ by less than `within` count as equal,
/// and then any of them is let through.
fn assert_largest(found: &Traced, rows: &[Vec<f64>], pooled: Range<usize>, within: f64) {
    for ((term, _), origin) in found.vector.iter().zip(&found.origins) {
        let value = |at: usize| rows[at][term as usize];
        let most = pooled.clone().map(value).fold(f64::NEG_INFINITY, f64::max);
        let at = origin.position as usize;
        assert!(pooled.contains(&at), "{at} of {pooled:?}");
        if within == 0.0 {
            assert_eq!(Some(at), pooled.clone().find(|at| value(*at) == most), "term {term}");
        } else {
            assert!(value(at) >= most - within, "term {term}: {} of {most}", value(at));
        }
    }
}

const TEXTS: [(&str, &str); 8] = [
    ("Photosynthesis", "Plants turn sunlight, water and carbon dioxide into sugar and oxygen."),
    ("", "Marble is a metamorphic rock; marble is made of marble."),
    ("Only a title", ""),
    ("", ""),
    ("", "   \n"),
    ("Ünïcode", "Żółw, 光合作用 and 🦀 emoji; naïve İstanbul."),
    ("", "stone marble stone"),
    ("a", "b"),
];

fn passages() -> Vec<Passage<'static>> {
    TEXTS.iter().map(|(title, text)| Passage { title, text }).collect()
}

/// Whole numbers, one scale a passage: equal to the naive search to the position, ties and all.
#[test]
fn the_bundled_model() {
    let model = bundled();
    let long = "Glaciers carve valleys and melt into rivers that feed the plains. ".repeat(40);
    let mut passages = passages();
    passages.push(Passage { title: "Ice", text: &long });
    let found = traced(&model, &passages);
    let onnx = with_output(&bundled_folder().join("model.onnx"), "MatMulInteger_493");
    let mut components = 0;
    for (passage, found) in passages.iter().zip(&found) {
        if found.vector.is_empty() {
            assert!(join_title_and_text(passage.title, passage.text, "").trim().is_empty());
            continue;
        }
        let ids = ids(&model, passage);
        let rows = unpooled(&onnx, "MatMulInteger_493", &ids, None);
        assert_largest(found, &rows, 0..ids.len(), 0.0);
        components += found.vector.len();
        // A token in title or text is what stands there.
        let tokens = model.vocabulary().tokens();
        for origin in &found.origins {
            let token = tokens[ids[origin.position as usize] as usize].as_str();
            let Some((field, bytes)) = &origin.place else {
                assert!(["[CLS]", "[SEP]", "."].contains(&token), "{token}");
                continue;
            };
            let text = if *field == Field::Title { passage.title } else { passage.text };
            let there = &text[bytes.start as usize..bytes.end as usize];
            let plain = token.trim_start_matches("##");
            assert!(there.to_lowercase() == plain || !there.is_ascii(), "{there}: {token}");
        }
    }
    assert!(components > 300, "{components}");
    let encoder = model.onnx_document_encoder(&TRACED).unwrap();
    assert_eq!(encoder.traces(), Some(PooledBy::Max));
}

/// Token outputs pooled here, and graphs that pool inside, as published.
#[test]
fn published_models() {
    for (name, output) in
        [("splade-bert", "logits"), ("granite-sparse", "logits"), ("splade-distilbert", "log1p")]
    {
        let (_dir, path) = case(name);
        let model = Model::open(&path).unwrap();
        let passages = passages();
        let onnx = match output {
            "logits" => fs::read(path.join("model.onnx")).unwrap(),
            _ => with_output(&path.join("model.onnx"), output),
        };
        for (passage, found) in passages.iter().zip(&traced(&model, &passages)) {
            if !found.vector.is_empty() {
                let ids = ids(&model, passage);
                let rows = unpooled(&onnx, output, &ids, None);
                assert_largest(found, &rows, 0..ids.len(), 1e-5);
            }
        }
    }
}

/// The second copy alone is pooled, here by a mask inside; each position is pooled by itself to see
/// what it gives. Places are those of the text.
#[test]
fn a_text_that_stands_twice() {
    for name in ["pool-mask-toy", "echo-mistral-splade-toy"] {
        let (_dir, path) = case(name);
        let model = Model::open(&path).unwrap();
        let text = "stone and marble and stone";
        let found = traced(&model, &[Passage { title: "", text }]).pop().unwrap();
        let places: Vec<_> = found.origins.iter().map(|o| o.place.clone().unwrap()).collect();
        assert!(!places.is_empty());
        for (field, bytes) in places {
            assert!(field == Field::Text && (bytes.end as usize) <= text.len());
        }
        let (least, most) = found
            .origins
            .iter()
            .fold((u32::MAX, 0), |(a, b), o| (a.min(o.position), b.max(o.position)));
        // Neither the first copy nor the end token.
        assert!(least > 5, "{name}: {least} to {most}");
    }
}

/// Sums: the largest contributor. The old SpladePooling of sentence-transformers.
#[test]
fn sums() {
    let (_dir, path) = case("st-sum-old");
    let model = Model::open(&path).unwrap();
    let Some(DocumentSide::Onnx(side)) = &model.manifest().document else { unreachable!() };
    assert_eq!(side.pooling, Pooling::Sum);
    let encoder = model.onnx_document_encoder(&TRACED).unwrap();
    assert_eq!(encoder.traces(), Some(PooledBy::Sum));
    let passages = passages();
    let onnx = fs::read(path.join(&side.file)).unwrap();
    for (passage, found) in passages.iter().zip(&traced(&model, &passages)) {
        if side.parameters.prompt.is_empty() && !found.vector.is_empty() {
            let ids = ids(&model, passage);
            let rows = unpooled(&onnx, &side.output, &ids, None);
            assert_largest(found, &rows, 0..ids.len(), 1e-5);
        }
    }
}

/// Weights beside a graph that pools inside: the graph, opened otherwise, still finds them. The toy gets
/// a maximum over its token outputs.
#[test]
fn weights_in_other_files() {
    let field = |number: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap();
        [&[number << 3 | 2, length], content].concat()
    };
    let (_dir, path) = case("mistral-splade-toy");
    let manifest = Model::open(&path).unwrap().manifest().clone();
    let no_dims = [field(1, b"keepdims"), vec![0x18, 0, 0xa0, 1, 2]].concat();
    let node = [(1, &b"logits"[..]), (1, b"ax"), (2, b"pooled"), (4, b"ReduceMax"), (5, &no_dims)];
    let node: Vec<u8> = node.iter().flat_map(|(number, content)| field(*number, content)).collect();
    let axes = [vec![0x08, 1, 0x10, 7], field(7, &[1]), field(8, b"ax")].concat();
    let graph = [field(1, &node), field(5, &axes), field(12, &field(1, b"pooled"))].concat();
    let mut onnx = fs::read(path.join("model.onnx")).unwrap();
    onnx.extend(field(7, &graph));
    fs::write(path.join("model.onnx"), &onnx).unwrap();
    let mut manifest = serde_json::to_value(manifest).unwrap();
    manifest["document"]["output"] = "pooled".into();
    manifest["document"]["pooling"] = "in-graph".into();
    manifest["document"]["sha256"] = format!("{:x}", Sha256::digest(&onnx)).into();
    fs::write(path.join("quarry-model.json"), manifest.to_string()).unwrap();
    let model = Model::open(&path).unwrap();
    let Some(DocumentSide::Onnx(side)) = &model.manifest().document else { unreachable!() };
    assert_eq!((side.pooling, side.external.len()), (Pooling::InGraph, 1));
    let found = traced(&model, &[Passage { title: "", text: "stone and marble and stone" }]);
    assert!(found[0].vector.len() > 5);
}

/// A graph whose output is not its pool alone is refused, and named.
#[test]
fn what_cannot_be_told_is_refused() {
    let toy = Toy::new("good");
    let error = toy.open().unwrap().onnx_document_encoder(&TRACED).err().unwrap();
    assert!(matches!(&error, EncoderError::Provenance { .. }), "{error}");
    assert!(error.to_string().contains("model.onnx"), "{error}");
    toy.documents().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the texts, alone or in company: the same origins, inside of the texts.
    #[test]
    fn any_text(texts in prop::collection::vec(("\\PC{0,12}", "(\\PC{0,8} |stone |marble ){0,12}"), 1..5), name in 0usize..4) {
        let (_dir, path) = case(["splade-bert", "granite-sparse", "st-splade", "echo-mistral-splade-toy"][name]);
        let model = Model::open(&path).unwrap();
        let passages: Vec<Passage<'_>> =
            texts.iter().map(|(title, text)| Passage { title, text }).collect();
        for (traced, passage) in traced(&model, &passages).iter().zip(&passages) {
            for (field, bytes) in traced.origins.iter().filter_map(|o| o.place.as_ref()) {
                let text = if *field == Field::Title { passage.title } else { passage.text };
                prop_assert!(bytes.start < bytes.end && bytes.end as usize <= text.len());
            }
        }
    }
}
