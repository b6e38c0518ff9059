//! Small indexes built through the public API, and the plain twins that searches are compared with.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use std::convert::Infallible;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use quarry_index::folder::FolderWriter;
use quarry_index::seismic::SeismicParams;
use quarry_index::{Index, Verify};
use quarry_indexer::{BuildOptions, IngestOptions, LEAST_MEMORY, Lists, SealOptions, build};
use quarry_searcher::{Method, Options, Outcome, Searcher, SparseOptions};
use quarry_vectors::{DocId, Document, InputVector, SparseVector, better};
use tempfile::TempDir;

/// A searcher and the folder that its index lies in.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) searcher: Searcher,
    folder: TempDir,
}

impl Built {
    pub(crate) fn index(&self) -> &Index {
        self.searcher.index()
    }

    /// Ids and scores of the hits.
    pub(crate) fn hits(&self, outcome: &Outcome) -> Vec<(String, f64)> {
        outcome.hits.iter().map(|h| (self.searcher.id(h).to_owned(), h.score)).collect()
    }
}

/// Numbers that look random and are the same with every version of `rand`: the thresholds of tests were found
/// with them.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % limit).unwrap()
    }
}

pub(crate) fn options(out: &Path) -> BuildOptions {
    BuildOptions {
        out: out.to_path_buf(),
        ingest: IngestOptions { shard_documents: 1 << 10, ..IngestOptions::default() },
        seal: SealOptions {
            memory: LEAST_MEMORY,
            seed: 7,
            lists: Lists::NONE,
            ..SealOptions::default()
        },
        ..BuildOptions::default()
    }
}

/// Lists that leave nothing out: every posting, and summaries with all their mass.
pub(crate) fn everything_kept() -> SeismicParams {
    SeismicParams {
        n_postings: u32::MAX,
        max_fraction: 1.0,
        min_per_document: u32::MAX,
        centroid_fraction: 0.3,
        min_cluster_size: 1,
        document_cut: u32::MAX,
        summary_energy: 1.0,
    }
}

/// Builds from `documents`; `change` adjusts the options.
pub(crate) fn built(documents: Vec<Document>, change: impl FnOnce(&mut BuildOptions)) -> Built {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    change(&mut options);
    build(documents.into_iter().map(Ok::<_, Infallible>), None, &options, &|_| {}).unwrap();
    let index = Index::open(folder.path(), Verify::Full).unwrap();
    Built { searcher: Searcher::new(Arc::new(index)), folder }
}

/// An index of one segment for each of `collections`, which must agree in their lexicons: the parts
/// of the others are added to the first in a new generation.
pub(crate) fn built_of_segments(
    collections: Vec<Vec<Document>>,
    change: impl Fn(&mut BuildOptions),
) -> Built {
    let mut parts = collections.into_iter().map(|documents| built(documents, &change));
    let Built { searcher, folder } = parts.next().unwrap();
    drop(searcher);
    for other in parts {
        let mut writer = FolderWriter::open(folder.path()).unwrap();
        let mut manifest = writer.current().unwrap().clone();
        for segment in &other.index().manifest().segments {
            for part in &segment.parts {
                fs::copy(other.folder.path().join(&part.file), folder.path().join(&part.file))
                    .unwrap();
            }
            manifest.segments.push(segment.clone());
        }
        writer.commit(manifest).unwrap();
    }
    let index = Index::open(folder.path(), Verify::Full).unwrap();
    Built { searcher: Searcher::new(Arc::new(index)), folder }
}

pub(crate) fn with_terms(id: &str, vector: &SparseVector) -> Document {
    Document {
        id: id.to_owned(),
        vector: Some(InputVector::Terms(vector.clone())),
        ..Document::default()
    }
}

pub(crate) fn with_text(id: &str, title: &str, text: &str) -> Document {
    Document { id: id.to_owned(), title: title.into(), text: text.into(), ..Document::default() }
}

pub(crate) fn vector(pairs: &[(u32, f32)]) -> SparseVector {
    SparseVector::from_pairs(pairs.iter().copied()).unwrap()
}

pub(crate) fn top(k: usize) -> NonZeroUsize {
    NonZeroUsize::new(k).unwrap()
}

/// A search by `method` that leaves nothing out which the lists hold.
pub(crate) fn thorough(k: usize, method: Method) -> Options<'static> {
    Options {
        sparse: SparseOptions {
            method,
            query_cut: Some(NonZeroUsize::MAX),
            heap_factor: Some(1.0),
            ..SparseOptions::default()
        },
        ..Options::new(top(k))
    }
}

/// The plain twin of exact search: a sum in 64 bits over the levels as stored, every document of
/// every segment sorted, cut at k.
pub(crate) fn oracle(index: &Index, query: &SparseVector, k: usize) -> Vec<(String, f64)> {
    let mut all: Vec<(String, f64)> = Vec::new();
    for segment in index.segments() {
        let forward = segment.forward().unwrap();
        for row in 0..u32::try_from(forward.len()).unwrap() {
            let mut sum = 0.0;
            for (term, worth) in forward.components(&forward.record(DocId(row))) {
                if let Ok(at) = query.terms().binary_search(&term) {
                    sum += f64::from(query.weights()[at]) * worth;
                }
            }
            let score = sum * forward.meta().quantization.scale;
            if score > 0.0 {
                all.push((segment.documents().id(DocId(row)).to_owned(), score));
            }
        }
    }
    all.sort_by(|a, b| better((a.1, a.0.as_bytes()), (b.1, b.0.as_bytes())));
    all.truncate(k);
    all
}

/// Ids whose bytewise order is neither that of numbers nor that of insertion; none occurs twice.
pub(crate) fn id(number: usize) -> String {
    match number % 4 {
        0 => format!("{number}"),
        1 => format!("d{}", 1_000_000 - number),
        2 => format!("\u{fc}-{number}"),
        _ => format!("D{number}/{}", "x".repeat(number % 5)),
    }
}

/// Vectors by term number, few distinct weights (so many equal scores), some of them empty.
pub(crate) fn coarse_vectors(dimension: u32) -> impl Strategy<Value = Vec<SparseVector>> {
    let vector = prop::collection::vec((0..dimension, 1u8..5), 0..8).prop_map(|pairs| {
        let mut pairs: Vec<(u32, f32)> =
            pairs.into_iter().map(|(t, w)| (t, f32::from(w) * 0.5)).collect();
        pairs.sort_by_key(|p| p.0);
        pairs.dedup_by_key(|p| p.0);
        SparseVector::from_pairs(pairs).unwrap()
    });
    prop::collection::vec(vector, 1..60)
}

/// Queries whose weights are multiples of 1/64 up to 16: sums of their products with levels are
/// exact in 64 bits, so that scores can be compared to the bit. Terms reach beyond `dimension`.
pub(crate) fn exact_query(dimension: u32) -> impl Strategy<Value = SparseVector> {
    let term = prop_oneof![
        8 => 0..dimension,
        1 => dimension..dimension + 9,
        1 => prop::sample::select(&[65_535u32, 65_536, 1 << 20, u32::MAX][..]),
    ];
    prop::collection::vec((term, 1u16..=1024), 0..9).prop_map(|pairs| {
        let mut pairs: Vec<(u32, f32)> =
            pairs.into_iter().map(|(t, w)| (t, f32::from(w) / 64.0)).collect();
        pairs.sort_by_key(|p| p.0);
        pairs.dedup_by_key(|p| p.0);
        SparseVector::from_pairs(pairs).unwrap()
    })
}

pub(crate) fn documents(vectors: &[SparseVector]) -> Vec<Document> {
    vectors.iter().enumerate().map(|(at, v)| with_terms(&id(at), v)).collect()
}
