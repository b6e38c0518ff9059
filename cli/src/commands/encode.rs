//! `quarry encode INPUT --out FILE`

use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use quarry_datasets::{CollectionOptions, OutputFile, open_collection};
use quarry_indexer::Share;
use quarry_vectors::{Document, Passage, SparseVector};
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::Xxh3;

use crate::applies::Given;
use crate::collections::place;
use crate::commands::shards;
use crate::commands::unfinished::{Record, Unfinished};
use crate::exit::Usage;
use crate::model;
use crate::output::{count, line, note};
use crate::outputs::expect_apart;
use crate::progress::Progress;
use crate::queries::QueryArgs;

/// Documents encoded together: the unit of resuming.
pub(crate) const CHUNK: usize = 1024;

/// Encode texts into sparse vectors, as JSONL
///
/// One line a text: {"id": ..., "vector": {token: weight}}, which `quarry index` and other engines
/// read. An unfinished file is FILE.part, beside its record FILE.part.json: --resume continues it, without it is
/// begun again.
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
    /// Continue FILE.part, which an interrupted run left
    #[arg(long)]
    resume: bool,
    /// Do share I of N of the work, as one of N machines: every N-th run of 1,024 documents. `quarry
    /// merge --out FILE FILE1 ... FILEN` puts them together
    #[arg(long, value_name = "I/N", conflicts_with = "queries")]
    shard: Option<Share>,
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

impl Args {
    /// Refuses options that would do nothing.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        let why = "questions are encoded whole; it is about passages, without --queries";
        given.only_if(!self.queries, &["max_tokens", "top_k"], why)
    }
}

pub(crate) fn run(args: &Args, threads: Option<NonZeroUsize>) -> anyhow::Result<()> {
    OutputFile::check(&args.out, args.overwrite)?;
    let input = place(&args.input)?;
    expect_apart(&args.out, &[Some(&input)])?;
    let model = model::open(args.model.as_deref())?;
    let tokens = model.vocabulary().tokens();
    let mut hash = Xxh3::new();
    let options = args.run_on.options(threads, args.max_tokens, args.top_k);
    let facts = json!({"model": model.identity(&options)?, "run_on": args.run_on.description()});
    if args.shard.is_some() {
        shards::check_record(&args.out, args.overwrite)?;
    }
    let of = json!({"documents": facts, "queries": args.queries});
    let unfinished = Unfinished::take(&args.out, &Record::new(args.shard, &of), args.resume)?;
    let (part, skip) = (unfinished.path(), unfinished.done);
    let mut out = BufWriter::new(&unfinished.file);
    let progress = Progress::new(false);
    progress.stage("encoding", skip);
    let done = if args.queries {
        encode_queries((args, &input), &model, &mut out, skip)?
    } else {
        let encoder = model.document_encoder(&options)?;
        let mut reader = open_collection(&input, &CollectionOptions::default())?;
        let total = reader.documents_total();
        let (mut done, mut read) = (0, 0);
        for run in 0.. {
            let chunk: Vec<Document> = reader.by_ref().take(CHUNK).collect::<Result<_, _>>()?;
            if chunk.is_empty() {
                break;
            }
            read += chunk.len() as u64;
            if let Some(document) = chunk.iter().find(|document| document.vector.is_some()) {
                bail!(
                    "{}, line {}: document {:?} brings its vector: `quarry index` takes it as it is; leave it \
                     out to have its text encoded",
                    reader.path().display(),
                    document.line,
                    document.id
                );
            }
            if args.shard.is_some() {
                chunk.iter().for_each(|document| take_text(&mut hash, document));
            }
            if args.shard.is_some_and(|share| !share.owns(run)) {
                continue;
            }
            // What an earlier run has done.
            if done < skip {
                done += chunk.len() as u64;
                continue;
            }
            let passages: Vec<Passage<'_>> =
                chunk.iter().map(|d| Passage { title: &d.title, text: &d.text }).collect();
            let vectors = encoder.encode_documents(&passages)?;
            for (document, vector) in chunk.iter().zip(&vectors) {
                write_line(&mut out, &document.id, vector, tokens)?;
            }
            out.flush().with_context(|| part.display().to_string())?;
            done += chunk.len() as u64;
            progress.set(if args.shard.is_some() { read } else { done }, total, "documents", "");
        }
        for notice in reader.take_notices() {
            note(format!("note: {notice}"));
        }
        if done < skip {
            bail!(
                "{}: cannot resume: it has {} vectors, the input gives {}",
                part.display(),
                skip,
                done
            );
        }
        if encoder.truncated() > 0 {
            note(format!(
                "note: {} passages were cut at the model's longest input",
                count(encoder.truncated())
            ));
        }
        if let Some(share) = args.shard {
            let input = json!({"documents": read, "digest": format!("{:016x}", hash.digest())});
            shards::write_record((&args.out, part), share, (facts, input), done)?;
        }
        done
    };
    progress.finish();
    out.flush().with_context(|| part.display().to_string())?;
    drop(out);
    unfinished.finish()?;
    line(format!("{}: {} vectors", args.out.display(), count(done)))?;
    Ok(())
}

/// Adds what is encoded of a document to a hash.
fn take_text(hash: &mut Xxh3, document: &Document) {
    for text in [&document.id, &document.title, &document.text] {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
}

fn encode_queries(
    (args, input): (&Args, &Path),
    model: &quarry_encoders::Model,
    out: &mut impl Write,
    skip: u64,
) -> anyhow::Result<u64> {
    let options = args.run_on.options(None, None, None);
    let encoder = model.question_encoder(&options)?;
    let queries = QueryArgs::default().read(input, None)?;
    if let Some(query) = queries.iter().find(|query| query.vector.is_some()) {
        bail!(
            "query {:?} brings its vector: search with it as it is, or leave the vector out",
            query.id
        );
    }
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
