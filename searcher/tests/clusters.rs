//! The search over clusters: with everything added and every cluster chosen it is the exact one,
//! with less it nears it, whatever the instructions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use common::{
    Built, Random, built, coarse_vectors, documents, exact_query, oracle, thorough, top, vector,
    with_terms,
};
use proptest::prelude::*;
use quarry_index::clusters::ClusterParams;
use quarry_index::{Index, Verify};
use quarry_indexer::Lists;
use quarry_searcher::{
    CalibrationQueries, ChannelQuery, Kernels, Method, Options, SearchError, Searcher,
    SparseOptions, mean_overlap,
};
use quarry_vectors::{Document, SparseVector};

fn clustered(documents: Vec<Document>, size: u32) -> Built {
    built(documents, |o| {
        o.seal.lists = Lists::CLUSTERS;
        o.seal.clusters = ClusterParams { size, components: 10_000 };
    })
}

fn everything(k: usize) -> Options<'static> {
    Options {
        sparse: SparseOptions {
            postings: Some(NonZeroUsize::MAX),
            candidates: Some(NonZeroUsize::MAX),
            ..thorough(k, Method::Clusters).sparse
        },
        ..thorough(k, Method::Clusters)
    }
}

fn kernels() -> impl Iterator<Item = Kernels> {
    [Kernels::Scalar, Kernels::Avx2, Kernels::Avx512]
        .into_iter()
        .filter(|k| *k <= Kernels::detect())
}

fn with_kernels(built: &Built, kernels: Kernels) -> Searcher {
    Searcher::new(Arc::clone(built.searcher.index())).with_kernels(kernels)
}

/// Documents of 40 topics in three windows of clusters of one document.
fn topics(count: u32) -> Vec<Document> {
    let mut random = Random(3);
    (0..count)
        .map(|n| {
            let topic = random.below(40) * 30;
            let mut pairs: Vec<(u32, f32)> = (0..8)
                .map(|_| (topic + random.below(45), (1 + random.below(200)) as f32))
                .collect();
            pairs.sort_by_key(|p| p.0);
            pairs.dedup_by_key(|p| p.0);
            with_terms(&n.to_string(), &vector(&pairs))
        })
        .collect()
}

fn queries() -> Vec<SparseVector> {
    let mut random = Random(17);
    (0..40)
        .map(|n| {
            let topic = random.below(40) * 30;
            let pairs = (0..2 + n % 9)
                .map(|_| (topic + random.below(45), 0.5 + random.below(100) as f32 / 50.0));
            SparseVector::from_pairs(pairs.collect::<Vec<_>>()).unwrap()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Levels and weights are of one size here, so that no contribution rounds to nothing; ties at
    /// the cut are frequent; sizes go beyond the collection's.
    #[test]
    fn with_everything_it_is_exact(
        vectors in coarse_vectors(30),
        query in exact_query(30),
        size in 1u32..70,
    ) {
        let query = vector(
            &query.iter().map(|(t, w)| (t, 1.0 + (w * 64.0) % 4.0 / 4.0)).collect::<Vec<_>>(),
        );
        let built = clustered(documents(&vectors), size);
        for k in [1, 2, 10, 60, 100_000] {
            let want = oracle(built.index(), &query, k);
            for kernels in kernels() {
                let found = with_kernels(&built, kernels).search(&ChannelQuery::Sparse(&query), &everything(k)).unwrap();
                prop_assert_eq!(built.hits(&found), want.clone(), "{:?}, k {}", kernels, k);
                prop_assert_eq!(found.method, Method::Clusters);
            }
        }
    }
}

#[test]
fn it_nears_exact_over_windows() {
    for (size, windows) in [(1, 2), (4, 1)] {
        let built = clustered(topics(90_000), size);
        let clusters = built.index().segments()[0].clusters().unwrap();
        assert_eq!(clusters.summaries().meta().windows, windows, "size {size}");
        let queries = queries();
        let exact = built
            .searcher
            .search_batch(
                &queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(),
                &thorough(10, Method::Exact),
            )
            .unwrap();
        let mut last = 0.0;
        for (postings, candidates) in [(500, 10), (4_000, 60), (10_000_000, 2_000)] {
            let params = Options {
                sparse: SparseOptions {
                    postings: NonZeroUsize::new(postings),
                    candidates: NonZeroUsize::new(candidates),
                    ..thorough(10, Method::Clusters).sparse
                },
                ..thorough(10, Method::Clusters)
            };
            let found = built
                .searcher
                .search_batch(
                    &queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(),
                    &params,
                )
                .unwrap();
            for kernels in kernels() {
                let searcher = with_kernels(&built, kernels);
                assert_eq!(
                    searcher
                        .search_batch(
                            &queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(),
                            &params
                        )
                        .unwrap(),
                    found,
                    "{kernels:?}"
                );
            }
            let overlap = mean_overlap(&found, &exact);
            assert!(
                overlap >= last,
                "size {size}: {postings} postings give {overlap} after {last}"
            );
            last = overlap;
        }
        assert!(last > 0.99, "size {size}: {last}");
    }
}

#[test]
fn edges() {
    let built = clustered(topics(3_000), 8);
    let search = |query: &SparseVector, params: &Options<'_>| {
        built.searcher.search(&ChannelQuery::Sparse(query), params)
    };
    assert!(search(&SparseVector::default(), &everything(5)).unwrap().hits.is_empty());
    assert!(search(&vector(&[(4_000_000, 1.0)]), &everything(5)).unwrap().hits.is_empty());
    let many: Vec<(u32, f32)> = (0..4_096).map(|t| (t, 1.0 + t as f32 / 1e4)).collect();
    assert_eq!(search(&vector(&many), &everything(10)).unwrap().hits.len(), 10);
    let query = vector(&[(3, 1.0), (9, 0.5)]);
    let most = Options { k: NonZeroUsize::MAX, ..everything(1) };
    let scan = Options { sparse: SparseOptions { method: Method::Scan, ..most.sparse }, ..most };
    assert_eq!(search(&query, &most).unwrap().hits, search(&query, &scan).unwrap().hits);
    let late = Options { deadline: Some(Instant::now()), ..everything(5) };
    assert!(matches!(search(&query, &late), Err(SearchError::Timeout)));
    // What failed leaves nothing behind.
    let again = search(&query, &everything(5)).unwrap();
    assert_eq!(again.hits, search(&query, &thorough(5, Method::Scan)).unwrap().hits);
    // Without other lists the exact search scans, and `auto` of a small segment is exact.
    assert_eq!(search(&query, &thorough(5, Method::Auto)).unwrap().method, Method::Exact);
    for method in [Method::Impact, Method::Seismic] {
        assert!(matches!(search(&query, &thorough(5, method)), Err(SearchError::NoLists { .. })));
    }
}

#[test]
fn it_is_measured_and_planned() {
    let built = clustered(topics(20_000), 4);
    let tables =
        quarry_searcher::calibrate(&built.searcher, CalibrationQueries::MadeVectors, 3, &|_| {})
            .unwrap();
    let curves = &tables[0].as_ref().unwrap().curves;
    let points = curves.iter().filter(|c| c.method == "clusters").flat_map(|c| &c.points);
    let mut measured = 0;
    for point in points {
        assert!(point.setting.postings.is_some() && point.setting.candidates.is_some());
        measured += 1;
    }
    assert!(measured > 0);
    // Without a table `auto` takes the lists that there are.
    let found = built
        .searcher
        .search(&ChannelQuery::Sparse(&queries()[3]), &Options::new(top(10)))
        .unwrap();
    assert_eq!(found.method, Method::Clusters);
}

/// Damage that no checksum found may give wrong answers, never a panic or a hit that is not there.
#[test]
fn damage_is_survived() {
    let mut random = Random(5);
    let built = clustered(topics(3_000), 4);
    let folder = built.index().folder().to_path_buf();
    let part = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.to_string_lossy().contains("-clusters"))
        .unwrap();
    let whole = std::fs::read(&part).unwrap();
    let lists = built.index().segments()[0].clusters().unwrap().summaries();
    let postings = usize::try_from(lists.meta().postings).unwrap();
    let mut opened = 0;
    for _ in 0..300 {
        let mut spoilt = whole.clone();
        for _ in 0..20 {
            let at = 64 + random.below(2 * postings as u64) as usize;
            spoilt[at] = u8::try_from(random.below(256)).unwrap();
        }
        // A new file: the mapping of the old one is left alone.
        std::fs::remove_file(&part).unwrap();
        std::fs::write(&part, &spoilt).unwrap();
        let Ok(index) = Index::open(&folder, Verify::Envelope) else { continue };
        opened += 1;
        let searcher = Searcher::new(Arc::new(index));
        for query in queries().iter().take(5) {
            for params in [everything(20), thorough(20, Method::Clusters)] {
                let found = searcher.search(&ChannelQuery::Sparse(query), &params).unwrap();
                assert!(found.hits.iter().all(|h| h.doc.0 < 3_000));
            }
        }
    }
    assert!(opened > 100, "{opened} of 300 opened");
}
