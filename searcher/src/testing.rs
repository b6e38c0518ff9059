//! Small indexes for the tests of this crate's inner parts.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use quarry_index::{Index, Verify};
use quarry_indexer::{BuildOptions, Levels, Lists, build, default_clusters, default_seismic};
use quarry_vectors::{Document, InputVector, SparseVector};

use crate::Searcher;

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
        overwrite: false,
        resume: false,
        memory: quarry_indexer::LEAST_MEMORY,
        seed: 7,
        levels: Levels::Auto,
        lists,
        seismic: default_seismic(),
        clusters: default_clusters(),
        shard_documents: 1 << 12,
        description: serde_json::Map::new(),
        source: serde_json::Value::Null,
        ids_are_unique: false,
        vocabulary: None,
        fields: BTreeMap::new(),
        channels: None,
    };
    build(documents, None, &options, &|_| {}).unwrap();
    Searcher::new(Arc::new(Index::open(out, Verify::Full).unwrap()))
}
