//! Small indexes for the tests of this crate's inner parts.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use quarry_index::{Index, Verify};
use quarry_indexer::{BuildOptions, IngestOptions, Lists, SealOptions, build};
use quarry_vectors::{Document, InputVector, SparseVector};

use crate::searcher::Searcher;

/// A searcher over an index of vectors with ids.
pub(crate) fn built(
    out: &Path,
    lists: Lists,
    documents: impl Iterator<Item = (String, SparseVector)> + Send,
) -> Searcher {
    let documents = documents.map(|(id, vector)| {
        let vector = Some(InputVector::Terms(vector));
        Ok::<_, Infallible>(Document { id, vector, line: 1, ..Document::default() })
    });
    let options = BuildOptions {
        out: out.to_path_buf(),
        ingest: IngestOptions { shard_documents: 1 << 12, ..IngestOptions::default() },
        seal: SealOptions {
            memory: quarry_indexer::LEAST_MEMORY,
            seed: 7,
            lists,
            ..SealOptions::default()
        },
        ..BuildOptions::default()
    };
    build(documents, None, &options, &|_| {}).unwrap();
    Searcher::new(Arc::new(Index::open(out, Verify::Full).unwrap()))
}
