//! Real collections, where a machine has them: `QUARRY_SHARED` names the folder.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use quarry_datasets::measures::{EvaluateOptions, evaluate};
use quarry_datasets::{
    CollectionOptions, QueryFormat, QueryOptions, Run, open_collection, open_qrels, open_queries,
};
use quarry_vectors::{InputVector, ScoredDoc};

fn shared() -> Option<PathBuf> {
    let path = std::env::var_os("QUARRY_SHARED");
    if path.is_none() {
        let line = b"skipped: QUARRY_SHARED is not set\n";
        std::io::Write::write_all(&mut std::io::stderr(), line).unwrap();
    }
    path.map(PathBuf::from)
}

#[test]
fn beir_folders() {
    let Some(shared) = shared() else { return };
    for (name, documents, queries) in [
        ("scifact", 5_183, 300),
        ("nfcorpus", 3_633, 323),
        ("arguana", 8_674, 1_401),
        ("cranfield", 1_400, 225),
        ("cacm", 3_204, 52),
        ("medline", 1_033, 30),
        ("msmarco-v1-pool", 34_568, 97),
        ("nq-sure1997", 1_997, 1_997),
    ] {
        let folder = shared.join("data/beir").join(name);
        let mut reader = open_collection(&folder, &CollectionOptions::default()).unwrap();
        let read = reader.by_ref().map(Result::unwrap).filter(|d| !d.id.is_empty()).count();
        assert_eq!(read, documents, "{name}");
        assert_eq!(reader.bytes_read(), reader.bytes_total());
        let found = open_queries(&folder, &QueryOptions::default()).unwrap();
        assert_eq!(found.len(), queries, "{name}");
        let qrels = open_qrels(&folder, "test").unwrap();
        assert!(found.iter().all(|q| qrels.judged(&q.id).is_some()));
    }
}

#[test]
fn encoded_collections() {
    let Some(shared) = shared() else { return };
    let vectors = shared.join("data/vectors");
    let path = vectors.join("nfcorpus-splade-v3/documents.jsonl");
    let start = Instant::now();
    let mut reader = open_collection(&path, &CollectionOptions::default()).unwrap();
    assert_eq!(reader.by_ref().map(Result::unwrap).filter(|d| d.vector.is_some()).count(), 3_633);
    let seconds = start.elapsed().as_secs_f64();
    println!("JSON vectors: {:.0} MB/s", reader.bytes_total() as f64 / 1e6 / seconds);
    for (name, queries) in [
        ("topics.beir-v1.0.0-nfcorpus.test.splade-v3.tsv.gz", 323),
        ("topics.msmarco-passage.dev-subset.unicoil.tsv.gz", 6_980),
    ] {
        let options = QueryOptions { format: QueryFormat::Anserini, ..QueryOptions::default() };
        let found = open_queries(&vectors.join("anserini-queries").join(name), &options).unwrap();
        assert_eq!(found.len(), queries);
    }
}

fn tokens(vector: Option<InputVector>) -> Vec<(String, f32)> {
    match vector {
        Some(InputVector::Tokens(tokens)) => tokens,
        other => panic!("{other:?}"),
    }
}

/// Exact dot products of published vectors, judged: the figures are known.
#[test]
fn a_published_result_is_reproduced() {
    let Some(shared) = shared() else { return };
    let vectors = shared.join("data/vectors/nfcorpus-splade-v3");
    let mut ids = Vec::new();
    let mut postings: HashMap<String, Vec<(usize, f32)>> = HashMap::new();
    let documents = vectors.join("documents.jsonl");
    for document in open_collection(&documents, &CollectionOptions::default()).unwrap() {
        let document = document.unwrap();
        for (token, weight) in tokens(document.vector) {
            postings.entry(token).or_default().push((ids.len(), weight));
        }
        ids.push(document.id);
    }
    let mut run = Run::new("splade-v3");
    let options = QueryOptions::default();
    for query in open_queries(&vectors.join("queries.jsonl"), &options).unwrap() {
        let mut scores = vec![0f32; ids.len()];
        for (token, weight) in tokens(query.vector) {
            for &(document, of_document) in postings.get(&token).into_iter().flatten() {
                scores[document] += weight * of_document;
            }
        }
        let mut hits: Vec<ScoredDoc> = ids
            .iter()
            .zip(scores)
            .filter(|(_, score)| *score > 0.0)
            .map(|(id, score)| ScoredDoc { id: id.clone(), score: score.into() })
            .collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score));
        hits.truncate(1000);
        run.insert(&query.id, hits).unwrap();
    }
    let qrels = open_qrels(&shared.join("data/beir/nfcorpus"), "test").unwrap();
    let measures = ["nDCG@10", "R@100"].map(|m| m.parse().unwrap());
    let evaluation = evaluate(&run, &qrels, &measures, EvaluateOptions::default());
    let means: Vec<f64> = evaluation.means().map(|m| m.1).collect();
    assert!((means[0] - 0.3624).abs() < 1e-4 && (means[1] - 0.2965).abs() < 1e-4, "{means:?}");
}
