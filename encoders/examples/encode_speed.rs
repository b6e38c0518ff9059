//! Encodes the first passages of a BEIR collection and says how fast: one JSON line.
//!
//!   encode_speed MODEL_FOLDER CORPUS.jsonl PASSAGES SESSIONS [REPEATS]
//!
//! The model is loaded and warmed up before the clock starts; tokenisation and the selection of
//! components count. `compare_speed.py` runs it beside Python's ONNX Runtime.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use quarry_encoders::{DocumentOptions, Model};
use quarry_vectors::Passage;

#[derive(serde::Deserialize)]
struct Record {
    #[serde(default)]
    title: String,
    text: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, corpus, passages, sessions, rest @ ..] = arguments.as_slice() else {
        return Err(
            "usage: encode_speed MODEL_FOLDER CORPUS.jsonl PASSAGES SESSIONS [REPEATS]".into()
        );
    };
    let sessions: NonZeroUsize = sessions.parse()?;
    let repeats: usize = rest.first().map_or(Ok(1), |r| r.parse())?;
    let mut records: Vec<Record> = Vec::new();
    for line in BufReader::new(File::open(corpus)?).lines().take(passages.parse()?) {
        records.push(serde_json::from_str(&line?)?);
    }
    let slice: Vec<Passage<'_>> =
        records.iter().map(|r| Passage { title: &r.title, text: &r.text }).collect();

    let options = DocumentOptions { sessions: Some(sessions), ..DocumentOptions::default() };
    let encoder = Model::open(Path::new(folder))?.document_encoder(&options)?;
    encoder.encode_documents(&slice[..slice.len().min(16)])?;
    let mut seconds = Vec::new();
    let mut components = 0;
    for _ in 0..repeats {
        let start = Instant::now();
        let vectors = encoder.encode_documents(&slice)?;
        seconds.push(start.elapsed().as_secs_f64());
        components = vectors.iter().map(|v| v.len()).sum::<usize>();
    }
    let line = serde_json::json!({
        "passages": slice.len(), "sessions": sessions, "seconds": seconds, "components": components,
    });
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
