//! What telling the origins of components costs: passes over the first passages of a BEIR collection,
//! without and with, in turn. One JSON line.
//!
//!   provenance_speed MODEL_FOLDER CORPUS.jsonl PASSAGES SESSIONS [REPEATS]
//!
//! Ratios are of pairs of passes, and their median; `processor` is of the process's processor time
//! (Linux), which other work on the machine disturbs less. `own` is the share of components whose token
//! is one of the model's own, in neither title nor text.

use std::error::Error;
use std::fs::{self, File};
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
            "usage: provenance_speed MODEL_FOLDER CORPUS.jsonl PASSAGES SESSIONS [REPEATS]".into(),
        );
    };
    let sessions: NonZeroUsize = sessions.parse()?;
    let repeats: usize = rest.first().map_or(Ok(5), |r| r.parse())?;
    let mut records: Vec<Record> = Vec::new();
    for line in BufReader::new(File::open(corpus)?).lines().take(passages.parse()?) {
        records.push(serde_json::from_str(&line?)?);
    }
    let slice: Vec<Passage<'_>> =
        records.iter().map(|r| Passage { title: &r.title, text: &r.text }).collect();
    let options = DocumentOptions { sessions: Some(sessions), ..DocumentOptions::default() };
    let model = Model::open(Path::new(folder))?;
    let plain = model.onnx_document_encoder(&options)?;
    let tracing = model.onnx_document_encoder(&DocumentOptions { provenance: true, ..options })?;
    let warm = &slice[..slice.len().min(16)];
    plain.encode(warm)?;
    tracing.trace(warm)?;
    let (mut wall, mut processor) = (Vec::new(), Vec::new());
    let mut traced = Vec::new();
    for _ in 0..repeats {
        let begun = (Instant::now(), processor_ticks());
        let vectors = plain.encode(&slice)?;
        let between = (Instant::now(), processor_ticks());
        traced = tracing.trace(&slice)?;
        let ended = (Instant::now(), processor_ticks());
        wall.push((ended.0 - between.0).as_secs_f64() / (between.0 - begun.0).as_secs_f64());
        processor.push((ended.1 - between.1) / (between.1 - begun.1));
        if !vectors.iter().eq(traced.iter().map(|t| &t.vector)) {
            return Err("vectors differ".into());
        }
    }
    let origins = || traced.iter().flat_map(|t| &t.origins);
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let own = origins().filter(|o| o.place.is_none()).count() as f64 / origins().count() as f64;
    let line = serde_json::json!({
        "passages": slice.len(), "sessions": sessions, "components": origins().count(), "own": own,
        "wall": { "median": median(&wall), "all": wall },
        "processor": { "median": median(&processor), "all": processor },
    });
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

/// Time of the process on processors, in ticks; no number where the system does not say.
fn processor_ticks() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The fields after the name, which may hold anything: user and system time are 12th and 13th.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let times: Vec<f64> = fields.skip(11).take(2).filter_map(|f| f.parse().ok()).collect();
    if times.len() == 2 { times.iter().sum() } else { f64::NAN }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
