//! `quarry encode INPUT --out FILE`

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Seek, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use quarry_datasets::{CollectionOptions, QueryOptions, open_collection, open_queries};
use quarry_vectors::{Document, Passage, SparseVector};
use serde_json::{Map, Value, json};

use crate::model;
use crate::output::{count, line, note};
use crate::progress::Progress;

/// Documents encoded together: the unit of resuming.
const CHUNK: usize = 1024;

/// Encode texts into sparse vectors, as JSONL
///
/// One line a text: {"id": ..., "vector": {token: weight}}, which `quarry index` and other engines
/// read. An unfinished file is FILE.part; --resume continues it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Collection (or queries, with --queries): a file or a folder
    input: PathBuf,
    /// Where the vectors go
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// INPUT holds queries: use the model's query side
    #[arg(long)]
    queries: bool,
    /// Continue FILE.part
    #[arg(long)]
    resume: bool,
    /// Replace FILE if it is there
    #[arg(long)]
    overwrite: bool,
    /// Model: a folder, a name as org/name, or doc=MODEL,query=MODEL [default: the bundled one]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    #[command(flatten)]
    run_on: model::RunOnArgs,
    /// Longest passage in tokens; the rest is cut [default: the model's]
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// Components kept of a vector, the heaviest; 0 keeps all [default: the model's]
    #[arg(long, value_name = "N")]
    top_k: Option<u32>,
}

pub(crate) fn run(args: &Args, threads: Option<NonZeroUsize>) -> anyhow::Result<()> {
    if args.out.exists() && !args.overwrite {
        bail!("{}: the file is there; --overwrite replaces it", args.out.display());
    }
    let part = part_path(&args.out);
    if part.exists() && !args.resume && !args.overwrite {
        bail!(
            "{}: an interrupted run left it; --resume continues, --overwrite discards it",
            part.display()
        );
    }
    let model = model::open(args.model.as_deref())?;
    let tokens = model.vocabulary().tokens();
    let skip = if args.resume { complete_lines(&part)? } else { 0 };
    let file = File::options()
        .create(true)
        .append(true)
        .open(&part)
        .with_context(|| part.display().to_string())?;
    if !args.resume {
        file.set_len(0)?;
    }
    let mut out = BufWriter::new(file);
    let progress = Progress::new(false);
    progress.stage("encoding", skip);
    let done = if args.queries {
        encode_queries(args, &model, &mut out, skip)?
    } else {
        let options = args.run_on.options(threads, args.max_tokens, args.top_k);
        let encoder = model.document_encoder(&options)?;
        let reader = open_collection(&args.input, &CollectionOptions::default())?;
        let total = reader.documents_total();
        let mut done = skip;
        let mut documents = reader.skip(usize::try_from(skip)?);
        loop {
            let chunk: Vec<Document> = documents.by_ref().take(CHUNK).collect::<Result<_, _>>()?;
            if chunk.is_empty() {
                break;
            }
            let passages: Vec<Passage<'_>> =
                chunk.iter().map(|d| Passage { title: &d.title, text: &d.text }).collect();
            let vectors = encoder.encode_documents(&passages)?;
            for (document, vector) in chunk.iter().zip(&vectors) {
                write_line(&mut out, &document.id, vector, tokens)?;
            }
            out.flush().with_context(|| part.display().to_string())?;
            done += chunk.len() as u64;
            progress.set(done, total, "documents", "");
        }
        if encoder.truncated() > 0 {
            note(format!(
                "note: {} passages were cut at the model's longest input",
                count(encoder.truncated())
            ));
        }
        done
    };
    progress.finish();
    let file = out.into_inner().context("writing")?;
    file.sync_all().with_context(|| part.display().to_string())?;
    fs::rename(&part, &args.out).with_context(|| args.out.display().to_string())?;
    line(format!("{}: {} vectors", args.out.display(), count(done)))?;
    Ok(())
}

fn encode_queries(
    args: &Args,
    model: &quarry_encoders::Model,
    out: &mut impl Write,
    skip: u64,
) -> anyhow::Result<u64> {
    let options = args.run_on.options(None, None, None);
    let encoder = model.question_encoder(&options)?;
    let queries =
        open_queries(&args.input, &QueryOptions { split: None, ..QueryOptions::default() })?;
    for query in queries.iter().skip(usize::try_from(skip)?) {
        let vector = encoder.encode_query(&query.text)?;
        write_line(out, &query.id, &vector, model.vocabulary().tokens())?;
    }
    Ok(queries.len() as u64)
}

fn write_line(
    out: &mut impl Write,
    id: &str,
    vector: &SparseVector,
    tokens: &[String],
) -> anyhow::Result<()> {
    let mut weights = Map::new();
    for (term, weight) in vector.iter() {
        let token = tokens.get(term as usize).context("a term beyond the vocabulary")?;
        // Through text: the shortest digits that give the same f32 back.
        let number: Value = serde_json::from_str(&weight.to_string())?;
        weights.insert(token.clone(), number);
    }
    serde_json::to_writer(&mut *out, &json!({"id": id, "vector": weights}))?;
    out.write_all(b"\n")?;
    Ok(())
}

fn part_path(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Cuts the unfinished file after its last whole chunk and gives the number of lines left. Texts
/// that share a batch can change each other's last digits, so a chunk is done whole or again.
fn complete_lines(part: &Path) -> anyhow::Result<u64> {
    let Ok(file) = File::options().read(true).write(true).open(part) else { return Ok(0) };
    let mut reader = BufReader::new(&file);
    let (mut lines, mut at, mut keep, mut kept) = (0u64, 0u64, 0u64, 0u64);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let n =
            reader.read_until(b'\n', &mut buffer).with_context(|| part.display().to_string())?;
        if n == 0 || buffer.last() != Some(&b'\n') {
            break;
        }
        lines += 1;
        at += n as u64;
        if lines.is_multiple_of(CHUNK as u64) {
            (keep, kept) = (at, lines);
        }
    }
    file.set_len(keep).with_context(|| part.display().to_string())?;
    (&file).rewind()?;
    Ok(kept)
}
