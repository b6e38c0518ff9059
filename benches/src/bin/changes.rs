//! What a change of an index costs: documents with their vectors are added through the library, one and
//! a batch, until a search of the new generation finds them. One JSON line a measurement.
//!
//! The index is changed: give a copy. With `--split OUT` it is not: its documents come into a new index,
//! in parts that are added one after another.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Parser;
use quarry_benches::options;
use quarry_index::{Index, IndexError, Verify};
use quarry_indexer::{Adding, BuildOptions, add, build, delete};
use quarry_searcher::{ChannelQuery, Options, Searcher};
use quarry_vectors::{DocId, Document, InputVector, SparseVector};
use serde_json::json;

/// Time adding and deleting documents.
#[derive(Debug, Parser)]
struct Args {
    /// Folder of the index, which is changed
    index: PathBuf,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only make an index of several segments of the same documents here
    #[arg(long)]
    split: Option<PathBuf>,
    /// How many
    #[arg(long, default_value_t = 10)]
    parts: usize,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(out) = &args.split {
        return split(&args.index, &options(out), args.parts);
    }
    let options = options(&args.index);
    let vectors: Vec<SparseVector> = {
        let index = Index::open(&args.index, Verify::Envelope)?;
        let forward = index.segments().first().and_then(|s| s.forward()).context("no vectors")?;
        (0..u32::try_from(forward.len().min(1000))?)
            .map(|doc| forward.vector(DocId(doc)))
            .collect::<Result<_, _>>()?
    };
    let mut times: Vec<(usize, Vec<f64>)> = vec![(1, Vec::new()), (vectors.len(), Vec::new())];
    let mut deletions = Vec::new();
    for round in 0..args.rounds {
        for (count, times) in &mut times {
            let documents = vectors[..*count].iter().enumerate().map(|(at, vector)| {
                Ok::<_, quarry_index::IndexError>(Document {
                    id: format!("new-{count}-{round}-{at}"),
                    vector: Some(InputVector::Terms(vector.clone())),
                    ..Document::default()
                })
            });
            let documents: Vec<_> = documents.collect();
            let started = Instant::now();
            let report = add(documents, None, &Adding::new(&options), &|_| {})?;
            let index = Index::open(&args.index, Verify::Envelope)?;
            let searcher = Searcher::new(Arc::new(index));
            let params = Options::new(NonZeroUsize::MIN.saturating_add(99));
            let found = searcher.search(&ChannelQuery::Sparse(&vectors[0]), &params)?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
            let wanted = format!("new-{count}-{round}-0");
            ensure!(report.added == *count as u64, "{} added", report.added);
            ensure!(found.hits.iter().any(|hit| searcher.id(hit) == wanted), "{wanted} not found");
        }
        let started = Instant::now();
        let report = delete(&args.index, [format!("new-1-{round}-0").as_str()])?;
        deletions.push(started.elapsed().as_secs_f64() * 1e3);
        ensure!(report.deleted == 1, "not deleted");
    }
    let mut out = std::io::stdout();
    for (count, mut times) in times {
        times.sort_by(f64::total_cmp);
        let line = json!({"added": count, "ms": times[times.len() / 2], "runs": times});
        writeln!(out, "{line}")?;
    }
    deletions.sort_by(f64::total_cmp);
    let line = json!({"deleted": 1, "ms": deletions[deletions.len() / 2], "runs": deletions});
    writeln!(out, "{line}")?;
    Ok(())
}

/// The documents of `source` in `parts` segments of about the same size.
fn split(source: &Path, options: &BuildOptions, parts: usize) -> anyhow::Result<()> {
    let index = Index::open(source, Verify::Envelope)?;
    let segment = index.segments().first().context("no segment")?;
    let forward = segment.forward().context("no vectors")?;
    let rows = u32::try_from(forward.len())?;
    let each = rows.div_ceil(u32::try_from(parts.max(1))?);
    let document = |row: u32| {
        Ok::<_, IndexError>(Document {
            id: segment.documents().id(DocId(row)).to_owned(),
            vector: Some(InputVector::Terms(forward.vector(DocId(row))?)),
            ..Document::default()
        })
    };
    for start in (0..rows).step_by(each as usize) {
        let documents = (start..rows.min(start + each)).map(document);
        if start == 0 {
            build(documents, None, options, &|_| {})?;
        } else {
            add(documents, None, &Adding::new(options), &|_| {})?;
        }
    }
    Ok(())
}
