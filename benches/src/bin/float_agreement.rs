//! What storing weights as levels costs: an index's exact rankings against scores of the very
//! floats that went into it.
//!
//! 1. read the float vectors (JSONL, as `quarry encode` writes them) and the queries' vectors
//! 2. score every document in 64 bits  3. compare: overlap@10, and nDCG@10 with judgements

use std::collections::HashMap;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Parser;
use quarry_datasets::measures::{EvaluateOptions, Measure, evaluate};
use quarry_datasets::{CollectionOptions, Qrels, QueryOptions, Run, open_collection, open_queries};
use quarry_index::{Index, Verify};
use quarry_searcher::{ChannelQuery, Method, Options, Searcher, SparseOptions};
use quarry_vectors::{InputVector, ScoredDoc, SparseVector, TermId, better};
use rayon::prelude::*;
use serde_json::json;

const K: usize = 10;

/// Compare an index's exact rankings with those of the float vectors it was built from.
#[derive(Debug, Parser)]
struct Args {
    /// Folder of the index
    index: PathBuf,
    /// The vectors it was built from, as JSONL with floats
    #[arg(long)]
    vectors: PathBuf,
    /// Queries' vectors, as JSONL
    #[arg(long)]
    queries: PathBuf,
    /// Judgements
    #[arg(long)]
    qrels: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let index = Arc::new(Index::open(&args.index, Verify::Full)?);
    let lexicon = index.lexicon().context("the index has no vectors")?;
    let to_vector = |tokens: &[(String, f32)]| {
        let known = tokens.iter().filter_map(|(t, w)| lexicon.term(t).map(|TermId(id)| (id, *w)));
        SparseVector::from_pairs(known)
    };
    let mut documents: Vec<(String, SparseVector)> = Vec::new();
    for document in open_collection(&args.vectors, &CollectionOptions::default())? {
        let document = document?;
        let Some(InputVector::Tokens(tokens)) = &document.vector else {
            bail!("{} has no tokens", document.id)
        };
        documents.push((document.id, to_vector(tokens)?));
    }
    let mut queries = Vec::new();
    for query in
        open_queries(&args.queries, &QueryOptions { split: None, ..QueryOptions::default() })?
    {
        let Some(InputVector::Tokens(tokens)) = &query.vector else {
            bail!("{} has no tokens", query.id)
        };
        queries.push((query.id, to_vector(tokens)?));
    }
    let float: Vec<Vec<ScoredDoc>> = queries.par_iter().map(|(_, q)| rank(q, &documents)).collect();
    let searcher = Searcher::new(Arc::clone(&index));
    let k = NonZeroUsize::new(K).context("k")?;
    let params = Options {
        sparse: SparseOptions { method: Method::Exact, ..SparseOptions::default() },
        ..Options::new(k)
    };
    let vectors: Vec<SparseVector> = queries.iter().map(|q| q.1.clone()).collect();
    let outcomes = searcher
        .search_batch(&vectors.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(), &params)?;
    let stored: Vec<Vec<ScoredDoc>> = outcomes.iter().map(|o| searcher.ranking(&o.hits)).collect();

    let (mut same, mut all) = (0usize, 0usize);
    for (float, stored) in float.iter().zip(&stored) {
        all += float.len();
        same += stored.iter().filter(|s| float.iter().any(|f| f.id == s.id)).count();
    }
    let qrels = Qrels::read(&args.qrels)?;
    let measure: Measure = "nDCG@10".parse()?;
    let mut means = HashMap::new();
    for (name, rankings) in [("float", float), ("stored", stored)] {
        let mut run = Run::new(name);
        for ((id, _), ranking) in queries.iter().zip(rankings) {
            run.insert(id, ranking)?;
        }
        let evaluation = evaluate(&run, &qrels, &[measure], EvaluateOptions::default());
        means.insert(name, evaluation.means().next().map_or(0.0, |m| m.1));
    }
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let overlap = same as f64 / all.max(1) as f64;
    let report = json!({"overlap@10": overlap, "nDCG@10": means, "queries": queries.len()});
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

fn rank(query: &SparseVector, documents: &[(String, SparseVector)]) -> Vec<ScoredDoc> {
    let mut scored: Vec<ScoredDoc> = documents
        .iter()
        .map(|(id, vector)| ScoredDoc { id: id.clone(), score: query.dot(vector) })
        .filter(|s| s.score > 0.0)
        .collect();
    scored.sort_by(|a, b| better((a.score, a.id.as_bytes()), (b.score, b.id.as_bytes())));
    scored.truncate(K);
    scored
}
