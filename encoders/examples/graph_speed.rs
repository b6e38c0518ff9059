//! What it costs to build a graph of safetensors each time, beside reading it from a file:
//!
//! `cargo run --release -p quarry-encoders --example graph_speed -- MODEL [int8] [ROUNDS]`
//!
//! MODEL is a folder of token embeddings without a graph. Prints the medians of opening the model
//! (recognition, checksums), of making an encoder of one session whose graph is built, and of the same
//! with a graph in a file, which is written into a temporary folder first.

#![allow(clippy::print_stdout, reason = "a program")]

use std::path::Path;
use std::time::Instant;

use quarry_encoders::graphs::{Checkpoint, Head, Precision, TOKENS_OUTPUT, TokenHead};
use quarry_encoders::{Model, TokenOptions};
use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).peekable();
    let folder = args.next().ok_or("usage: graph_speed MODEL [int8] [ROUNDS]")?;
    let folder = Path::new(&folder);
    let int8 = args.next_if(|arg| arg == "int8").is_some();
    let precision = if int8 { Precision::Int8 } else { Precision::Float32 };
    let rounds: usize = args.next().map_or(Ok(3), |n| n.parse())?;
    let mut manifest = Model::open(folder)?.manifest().clone();
    manifest.set_precision(precision)?;

    let onnx = Checkpoint::read(folder)?.graph(&Head::Tokens(TokenHead::default()), precision)?;
    let kept = tempfile::tempdir()?;
    let mut as_file = manifest.clone();
    let tokens = as_file.tokens.as_mut().ok_or("no token embeddings")?;
    tokens.file = "kept.onnx".to_owned();
    tokens.sha256 = format!("{:x}", Sha256::digest(&onnx));
    tokens.built = None;
    TOKENS_OUTPUT.clone_into(&mut tokens.output);
    // Of the hidden states: the projection is a thousandth of the work.
    tokens.width = u32::try_from(Checkpoint::read(folder)?.body().width)?;
    tokens.parameters.dims = tokens.width;
    std::fs::write(kept.path().join("kept.onnx"), &onnx)?;
    let tokenizer = &as_file.tokenizer.file;
    std::fs::copy(folder.join(tokenizer), kept.path().join(tokenizer))?;

    let options =
        TokenOptions { sessions: Some(std::num::NonZeroUsize::MIN), ..Default::default() };
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        let started = Instant::now();
        Model::open(folder)?;
        times[0].push(started.elapsed().as_secs_f64());
        for (at, (folder, manifest)) in
            [(folder, &manifest), (kept.path(), &as_file)].into_iter().enumerate()
        {
            let model = Model::with_manifest(folder, manifest.clone())?;
            let started = Instant::now();
            model.token_encoder(&options)?;
            times[at + 1].push(started.elapsed().as_secs_f64());
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let [open, built, file] = times.each_mut().map(median);
    let mb = onnx.len() / 1_000_000;
    println!("graph of {mb} MB, {precision:?}, {rounds} rounds");
    println!("open {open:.2} s; encoder, graph built {built:.2} s, graph in a file {file:.2} s");
    Ok(())
}
