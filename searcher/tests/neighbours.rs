//! The walk over the graph of near rows, against the scan: filters, deletions, several segments, merges.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test fails by it")]

mod common;

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use common::{Random, options, top, vector};
use quarry_index::dense::DenseStorage;
use quarry_index::neighbours::NeighbourParams;
use quarry_index::{Index, Verify};
use quarry_indexer::{
    AddDense, AddDenseOptions, Adding, DenseInput, LEAST_MEMORY, MakeGraphs, Merge, NewGraph, add,
    add_dense, add_neighbours, build, delete, merge,
};
use quarry_searcher::{
    ChannelQuery, DenseMethod, DenseSearchOptions, Kernels, Method, Options, SearchError, Searcher,
    make_graph, mean_overlap,
};
use quarry_vectors::{DenseVector, Document, InputVector};
use serde_json::{Map, json};

const DIMS: usize = 24;
const ROWS: u32 = 4_800;
const PARAMS: NeighbourParams = NeighbourParams { degree: 12, beam: 40 };

fn document(number: u32) -> Document {
    let mut fields = Map::new();
    fields.insert("even".into(), json!(number.is_multiple_of(2)));
    fields.insert("rare".into(), json!(number.is_multiple_of(900)));
    Document {
        id: format!("d{number}"),
        text: format!("rock {number}"),
        fields,
        vector: Some(InputVector::Terms(vector(&[(number % 7, 1.0)]))),
        line: u64::from(number) + 1,
        ..Document::default()
    }
}

fn values(random: &mut Random) -> Vec<f32> {
    // Few dimensions vary: what lies near is then to be found in few steps.
    let mut value = |at| if at < 6 { random.below(2001) as f32 / 1000.0 - 1.0 } else { 0.0 };
    let values: Vec<f32> = (0..DIMS).map(&mut value).collect();
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    values.iter().map(|v| v / length).collect()
}

/// Every eleventh document has no vector, and every hundredth that of document 0.
fn dense(folder: &Path, storage: DenseStorage, replace: bool) {
    let how =
        AddDenseOptions { storage, replace, source: json!({"file": "x.npy"}), model_from: None };
    let mut read = |id: &str| {
        let number: u64 = id[1..].parse().unwrap();
        let seed = if number.is_multiple_of(100) { 1 } else { number * 77 + 1 };
        let vector = DenseVector::new(values(&mut Random(seed))).ok();
        Ok(vector.filter(|_| number % 11 != 3))
    };
    add_dense(folder, &how, DenseInput::Rows(DIMS, &mut read), &|_| {}).unwrap();
}

fn graph(folder: &Path, replace: bool) -> Option<u64> {
    let make = |segment: &_, params, seed, progress: &(dyn Fn(usize) + Sync)| {
        let made = make_graph(segment, params, seed, progress)?;
        Some(NewGraph { graph: made.graph, measured: made.measured })
    };
    let how = MakeGraphs { params: PARAMS, replace, make: &make };
    add_neighbours(folder, how, &|_| {}).unwrap()
}

fn read(
    numbers: std::ops::Range<u32>,
) -> impl Iterator<Item = Result<Document, Infallible>> + Send {
    numbers.map(|number| Ok(document(number)))
}

fn open(folder: &Path) -> Searcher {
    Searcher::new(Arc::new(Index::open(folder, Verify::Full).unwrap()))
}

fn walking(beam: usize) -> DenseSearchOptions {
    let beam = NonZeroUsize::new(beam);
    DenseSearchOptions { method: DenseMethod::Graph, beam, ..DenseSearchOptions::default() }
}

fn queries() -> Vec<DenseVector> {
    let mut random = Random(5);
    (0..20).map(|_| DenseVector::new(values(&mut random)).unwrap()).collect()
}

/// What a walk finds has the scan's scores, and is as many; a wide one finds nearly all of it.
fn compare(searcher: &Searcher) {
    let even = searcher.filter("even:true").unwrap();
    let rare = searcher.filter("rare:true").unwrap();
    let queries = queries();
    for (filter, beam, k, by) in [
        (None, 20, 1, Method::Graph),
        (None, 20, 10, Method::Graph),
        (None, 200, 10, Method::Graph),
        (None, 200, 150, Method::Graph),
        (None, 200, 10_000, Method::Scan),
        (Some(&even), 20, 10, Method::Graph),
        (Some(&even), 2_000, 10, Method::Scan),
        (Some(&rare), 20, 10, Method::Scan),
    ] {
        let exact = Options { filter, ..Options::new(top(k)) };
        let walk = Options { dense: walking(beam), ..exact };
        let (mut found, mut wanted) = (Vec::new(), Vec::new());
        for query in &queries {
            let asked = ChannelQuery::Dense(query);
            let all = searcher.search(&asked, &Options { k: top(10_000), ..exact }).unwrap().hits;
            let scanned = searcher.search(&asked, &exact).unwrap();
            let walked = searcher.search(&asked, &walk).unwrap();
            assert_eq!((walked.method, scanned.method), (by, Method::Scan), "{beam} {k}");
            assert_eq!(walked.hits.len(), scanned.hits.len(), "{beam} {k}");
            assert!(walked.hits.iter().all(|hit| all.contains(hit)));
            if by == Method::Scan {
                assert_eq!(walked.hits, scanned.hits);
            } else if filter.is_none() && beam == 20 {
                assert!(walked.stats.documents_scored < scanned.stats.documents_scored / 2);
            }
            let seeded = ChannelQuery::DenseFrom(query, &scanned.hits);
            let seeded = searcher.search(&seeded, &walk).unwrap();
            assert_eq!(mean_overlap(&[seeded], std::slice::from_ref(&scanned)), 1.0);
            found.push(walked);
            wanted.push(scanned);
        }
        let overlap = mean_overlap(&found, &wanted);
        assert!(overlap >= if beam >= 200 { 0.97 } else { 0.7 }, "{beam} {k}: {overlap}");
    }
}

#[test]
fn walks_agree_with_the_scan() {
    for storage in DenseStorage::ALL {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        build(read(0..ROWS), None, &options(path), &|_| {}).unwrap();
        let query = &queries()[0];
        let asked = ChannelQuery::Dense(query);
        let wanted = Options { dense: walking(50), ..Options::new(top(3)) };
        dense(path, storage, false);
        assert!(matches!(open(path).search(&asked, &wanted), Err(SearchError::NoGraph)));
        assert!(graph(path, false).is_some());
        assert!(graph(path, false).is_none());
        let searcher = open(path);
        compare(&searcher);
        let late = Options { deadline: Some(Instant::now()), dense: walking(250), ..wanted };
        assert!(matches!(searcher.search(&asked, &late), Err(SearchError::Timeout)));
        for kernels in [Kernels::Scalar, Kernels::Avx2] {
            let found = open(path).with_kernels(kernels).search(&asked, &wanted).unwrap();
            assert_eq!(found, searcher.search(&asked, &wanted).unwrap());
        }
        drop(searcher);
        // A segment that is too small for a graph, and deletions.
        let with = options(path);
        let without = Adding { dense: AddDense::Without, ..Adding::new(&with) };
        add(read(ROWS - 10..ROWS + 40), None, &without, &|_| {}).unwrap();
        dense(path, storage, false);
        let gone: Vec<String> = (0..ROWS).step_by(7).map(|n| format!("d{n}")).collect();
        delete(path, gone.iter().map(String::as_str)).unwrap();
        assert!(graph(path, false).is_none());
        compare(&open(path));
        // A merge has another order of rows: the old graph is gone.
        merge(path, Merge::All, LEAST_MEMORY, &|_| {}).unwrap().unwrap();
        let searcher = open(path);
        assert!(searcher.index().segments()[0].neighbours().is_none());
        assert_eq!(searcher.index().features().neighbours, Some(PARAMS));
        assert_eq!(searcher.search(&asked, &wanted).unwrap().method, Method::Scan);
        drop(searcher);
    }
}

#[test]
fn the_graph_is_of_its_vectors_alone_and_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    build(read(0..ROWS), None, &options(path), &|_| {}).unwrap();
    assert!(matches!(
        add_neighbours(
            path,
            MakeGraphs { params: PARAMS, replace: false, make: &|_, _, _, _| None },
            &|_| {}
        ),
        Err(quarry_indexer::BuildError::Index(quarry_index::IndexError::Missing { .. }))
    ));
    dense(path, DenseStorage::Int8, false);
    graph(path, false).unwrap();
    let parts = |searcher: &Searcher| {
        let graph = searcher.index().segments()[0].neighbours().unwrap();
        (graph.graph().unwrap().rows.to_vec(), graph.meta().clone())
    };
    let first = parts(&open(path));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    pool.install(|| graph(path, true)).unwrap();
    assert_eq!(parts(&open(path)), first);
    // Measured beams: overlaps grow with the beam, and the planned one reaches its aim.
    let measured = &first.1.measured;
    assert!(!measured.is_empty() && measured.iter().all(|m| m.scored > 0.0));
    let searcher = open(path);
    let queries = queries();
    let asked: Vec<ChannelQuery<'_>> = queries.iter().map(ChannelQuery::Dense).collect();
    let exact = Options::new(top(10));
    let aim = DenseSearchOptions { method: DenseMethod::Graph, overlap: 0.9, beam: None };
    let found = searcher.search_batch(&asked, &Options { dense: aim, ..exact }).unwrap();
    let exact = searcher.search_batch(&asked, &exact).unwrap();
    assert!(mean_overlap(&found, &exact) >= 0.85);
    let wrong = DenseSearchOptions { overlap: 0.0, ..aim };
    let wrong = Options { dense: wrong, ..Options::new(top(1)) };
    assert!(matches!(searcher.search(&asked[0], &wrong), Err(SearchError::Param { .. })));
    drop(searcher);
    dense(path, DenseStorage::Fp16, true);
    assert!(open(path).index().segments()[0].neighbours().is_none());
    graph(path, false).unwrap();
    assert!(open(path).index().segments()[0].neighbours().is_some());
}
