//! Indexes, queries and candidates of the tests of devices.
#![allow(clippy::unwrap_used, dead_code, reason = "tests, each of which uses some of it")]

use std::convert::Infallible;
use std::sync::Arc;

use quarry_index::tokens::Form;
use quarry_index::{Index, Verify};
use quarry_indexer::{
    BuildOptions, IngestOptions, LEAST_MEMORY, Lists, SealOptions, TokenInput, TokenOptions,
    add_tokens, build,
};
use quarry_searcher::{Hit, Reranked};
use quarry_vectors::{DocId, Document, InputVector, SparseVector, TokenEmbeddings};
use rand::Rng;
use rand::rngs::SmallRng;
use serde_json::Value;
use tempfile::TempDir;

/// Rows of length one.
pub(crate) fn rows(rng: &mut SmallRng, dims: usize, count: usize) -> TokenEmbeddings {
    let mut values = Vec::new();
    for _ in 0..count {
        let row: Vec<f32> = (0..dims).map(|_| rng.random_range(-1.0..1.0)).collect();
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        values.extend(row.into_iter().map(|v| v / norm));
    }
    TokenEmbeddings::new(dims, values).unwrap()
}

/// An index without token embeddings, of documents called `0`, `1` and so on.
pub(crate) fn plain_index(documents: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let options = BuildOptions {
        out: folder.path().to_path_buf(),
        ingest: IngestOptions { shard_documents: 1 << 10, ..IngestOptions::default() },
        seal: SealOptions {
            memory: LEAST_MEMORY,
            seed: 7,
            lists: Lists::NONE,
            ..SealOptions::default()
        },
        ..BuildOptions::default()
    };
    let vector = SparseVector::from_pairs(vec![(0, 1.0)]).unwrap();
    let documents = (0..documents).map(|n| {
        let vector = Some(InputVector::Terms(vector.clone()));
        Ok::<_, Infallible>(Document { id: n.to_string(), vector, ..Document::default() })
    });
    build(documents, None, &options, &|_| {}).unwrap();
    folder
}

pub(crate) fn options(forms: &[Form]) -> TokenOptions {
    TokenOptions {
        forms: forms.to_vec(),
        pool: 1,
        centroids: 4,
        replace: true,
        source: Value::Null,
    }
}

/// The same with the rows that `read` gives, in int8 and fp16.
pub(crate) fn index(
    documents: usize,
    dims: usize,
    read: &mut dyn FnMut(&str) -> TokenEmbeddings,
) -> (TempDir, Arc<Index>) {
    let folder = plain_index(documents);
    let options = options(&[Form::Int8, Form::Fp16]);
    add_tokens(folder.path(), &options, TokenInput::Rows(dims, &mut |id| Ok(read(id))), &|_| {})
        .unwrap();
    let index = Arc::new(Index::open(folder.path(), Verify::Full).unwrap());
    (folder, index)
}

/// Some of `documents` documents, in the first stage's order.
pub(crate) fn candidates(rng: &mut SmallRng, documents: usize, count: usize) -> Vec<Hit> {
    let mut hits: Vec<Hit> = (0..count)
        .map(|at| {
            // Every document at most once.
            let doc = (at * 997 + rng.random_range(0..2) * (documents / 2)) % documents;
            let score = f64::from(rng.random_range(-8i8..60)) * 0.25;
            Hit { segment: 0, doc: DocId(u32::try_from(doc).unwrap()), score }
        })
        .collect();
    hits.sort_by_key(|hit| hit.doc);
    hits.dedup_by_key(|hit| hit.doc);
    hits.sort_by(|a, b| {
        let (x, y) = (a.doc.0.to_string(), b.doc.0.to_string());
        quarry_vectors::better((a.score, x.as_bytes()), (b.score, y.as_bytes()))
    });
    hits
}

/// The same ranking but for documents whose fp16 scores differ by less than rounding.
pub(crate) fn alike(found: &Reranked, want: &Reranked, what: &str) {
    for (at, (a, b)) in found.hits.iter().zip(&want.hits).enumerate() {
        assert!((a.score - b.score).abs() < 1e-3, "{what}: {} and {}", a.score, b.score);
        let near = |hit: &&Hit| (hit.score - a.score).abs() < 1e-3;
        let moved = a.doc != b.doc;
        let last = want.hits.last().is_some_and(|hit| near(&hit));
        assert!(
            !moved || last || want.hits.iter().filter(near).any(|hit| hit.doc == a.doc),
            "{what}: place {at} has {a:?}, on the CPU {b:?}"
        );
    }
}
