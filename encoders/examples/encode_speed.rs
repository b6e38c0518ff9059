//! Encodes the first passages of a BEIR collection and says how fast, and in how much memory: one
//! JSON line.
//!
//!   encode_speed MODEL_FOLDER CORPUS.jsonl PASSAGES SESSIONS MODE [REPEATS [ENCODE_MEMORY]]
//!   encode_speed MODEL_FOLDER --manifest
//!
//! MODE: `sparse` vectors, `tokens` (token embeddings), `both`, or `outside`: sparse vectors with the
//! graph as its file has it. The model is loaded and warmed up before the clock starts; tokenisation
//! and the selection of components count. `--manifest` prints what the folder is recognised as.
//! `compare_speed.py` runs it beside Python's ONNX Runtime.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use quarry_encoders::{DocumentOptions, Model, TokenOptions};
use quarry_vectors::Passage;

#[derive(serde::Deserialize)]
struct Record {
    #[serde(default)]
    title: String,
    text: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [folder, flag] = arguments.as_slice()
        && flag == "--manifest"
    {
        let manifest = Model::manifest_of(Path::new(folder), None)?;
        return Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string(&manifest)?)?);
    }
    let [folder, corpus, passages, sessions, mode, rest @ ..] = arguments.as_slice() else {
        return Err("usage: encode_speed MODEL_FOLDER CORPUS.jsonl PASSAGES SESSIONS MODE \
                    [REPEATS [ENCODE_MEMORY]]"
            .into());
    };
    let sessions: Option<NonZeroUsize> = Some(sessions.parse()?);
    let repeats: usize = rest.first().map_or(Ok(1), |r| r.parse())?;
    let output_memory = rest.get(1).map(|bytes| bytes.parse()).transpose()?;
    let mut records: Vec<Record> = Vec::new();
    for line in BufReader::new(File::open(corpus)?).lines().take(passages.parse()?) {
        records.push(serde_json::from_str(&line?)?);
    }
    let slice: Vec<Passage<'_>> =
        records.iter().map(|r| Passage { title: &r.title, text: &r.text }).collect();

    let model = Model::open(Path::new(folder))?;
    let pool_outside = mode == "outside";
    let options =
        DocumentOptions { sessions, pool_outside, output_memory, ..DocumentOptions::default() };
    let sparse = (mode != "tokens").then(|| model.onnx_document_encoder(&options)).transpose()?;
    let token_options = TokenOptions { sessions, ..TokenOptions::default() };
    let wanted = matches!(mode.as_str(), "tokens" | "both");
    let tokens = wanted.then(|| model.token_encoder(&token_options)).transpose()?;
    let (mut components, mut rows) = (0, 0);
    let mut pass = |slice: &[Passage<'_>]| -> Result<(), Box<dyn Error>> {
        if let Some(encoder) = &sparse {
            components = encoder.encode(slice)?.iter().map(|v| v.len()).sum::<usize>();
        }
        if let Some(encoder) = &tokens {
            rows = encoder.passages(slice)?.iter().map(|t| t.len()).sum::<usize>();
        }
        Ok(())
    };
    let loaded = resident("VmRSS:");
    pass(&slice[..slice.len().min(16)])?;
    let mut seconds = Vec::new();
    for _ in 0..repeats {
        let start = Instant::now();
        pass(&slice)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let line = serde_json::json!({
        "passages": slice.len(), "seconds": seconds, "components": components, "rows": rows,
        "loaded_mib": loaded, "peak_mib": resident("VmHWM:"),
    });
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

/// Resident memory in MiB, as Linux reports it; `None` elsewhere.
fn resident(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}
