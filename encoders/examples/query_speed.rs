//! How long a question's vector takes, beside what the parts alone need, in one process and in turn.
//!
//! ```text
//! cargo run --release -p quarry-encoders --example query_speed -- MODEL QUERIES.jsonl [ROUNDS]
//! ```
//!
//! For a network: beside the same session settings run with the same tokens, nothing else. For a
//! table: beside the tokenizer alone. QUERIES has one JSON object with a `text` a line.

#![allow(clippy::print_stdout, reason = "a program")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;
use quarry_encoders::{DocumentOptions, Model, OnnxQueries, QuerySide};
use tokenizers::{Tokenizer, TruncationParams};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(folder), Some(file)) = (args.next(), args.next()) else {
        return Err("usage: query_speed MODEL QUERIES.jsonl [ROUNDS]".into());
    };
    let rounds: usize = args.next().map_or(Ok(3), |n| n.parse())?;
    let mut texts = Vec::new();
    for line in std::fs::read_to_string(file)?.lines() {
        let json: serde_json::Value = serde_json::from_str(line)?;
        texts.push(json["text"].as_str().ok_or("a line without text")?.to_owned());
    }
    let model = Model::open(Path::new(&folder))?;
    let (mut whole, mut part, what) = match &model.manifest().query {
        Some(QuerySide::Onnx(side)) => {
            let (whole, part) = network(&model, side, Path::new(&folder), &texts, rounds)?;
            (whole, part, "graph alone")
        }
        Some(QuerySide::TokenTable(_) | QuerySide::Binary(_)) => {
            let (whole, part) = table(&model, &texts, rounds)?;
            (whole, part, "tokenizer alone")
        }
        None => return Err("the model gives token embeddings alone".into()),
    };
    let count = whole.len();
    let (whole, part) = (median(&mut whole), median(&mut part));
    println!(
        "{count} questions: p50 {whole:.1} us; {what} {part:.1} us; ratio {:.3}",
        whole / part
    );
    Ok(())
}

type Times = (Vec<f64>, Vec<f64>);

fn network(
    model: &Model,
    side: &OnnxQueries,
    folder: &Path,
    texts: &[String],
    rounds: usize,
) -> Result<Times, Box<dyn Error>> {
    let options =
        DocumentOptions { sessions: Some(std::num::NonZeroUsize::MIN), ..Default::default() };
    let encoder = model.onnx_query_encoder(&options)?;
    let environment = quarry_encoders::environment()?;
    let mut session: Session = Session::builder(&environment)?
        .with_intra_threads(1)?
        .with_intra_op_spinning(false)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_memory_pattern(false)?
        .commit_from_file(folder.join(&side.graph.file))?;
    let mut tokenizer = tokenizer(model)?;
    let max_length = side.graph.parameters.max_tokens as usize;
    tokenizer
        .with_truncation(Some(TruncationParams { max_length, ..TruncationParams::default() }))
        .map_err(|e| e.to_string())?;
    let names = &side.graph.inputs;
    let (mut whole, mut part) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        for text in texts {
            let ids: Vec<i64> = tokenizer
                .encode_fast(text.as_str(), true)
                .map_err(|e| e.to_string())?
                .get_ids()
                .iter()
                .map(|id| i64::from(*id))
                .collect();
            let (ones, zeros) = (vec![1i64; ids.len()], vec![0i64; ids.len()]);
            let shape = [1, ids.len()];
            let mut feed: Vec<(String, SessionInputValue<'_>)> = vec![
                (
                    names.token_ids.clone(),
                    TensorRef::from_array_view((shape, ids.as_slice()))?.into(),
                ),
                (
                    names.attention_mask.clone(),
                    TensorRef::from_array_view((shape, ones.as_slice()))?.into(),
                ),
            ];
            if let Some(types) = &names.token_types {
                feed.push((
                    types.clone(),
                    TensorRef::from_array_view((shape, zeros.as_slice()))?.into(),
                ));
            }
            let begun = Instant::now();
            let out = session.run(feed)?;
            part.push(begun.elapsed().as_secs_f64() * 1e6);
            std::hint::black_box(&out);
            drop(out);
            let begun = Instant::now();
            std::hint::black_box(encoder.encode(text)?);
            whole.push(begun.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok((whole, part))
}

fn table(model: &Model, texts: &[String], rounds: usize) -> Result<Times, Box<dyn Error>> {
    let encoder = model.query_encoder()?;
    let tokenizer = tokenizer(model)?;
    let (mut whole, mut part) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        for text in texts {
            let begun = Instant::now();
            std::hint::black_box(
                tokenizer.encode_fast(text.as_str(), false).map_err(|e| e.to_string())?,
            );
            part.push(begun.elapsed().as_secs_f64() * 1e6);
            let begun = Instant::now();
            std::hint::black_box(encoder.encode(text)?);
            whole.push(begun.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok((whole, part))
}

/// The model's tokenizer, without what its file cuts and fills up.
fn tokenizer(model: &Model) -> Result<Tokenizer, Box<dyn Error>> {
    let mut tokenizer = Tokenizer::from_bytes(model.tokenizer_json()).map_err(|e| e.to_string())?;
    tokenizer.with_truncation(None).map_err(|e| e.to_string())?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
