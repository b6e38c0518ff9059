//! What `--overlap` does to a method that was named: what was measured is followed, and where nothing was
//! measured nothing is left out of a small segment.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::sync::Arc;

use common::{Built, Random, built, thorough, top, vector, with_terms};
use quarry_index::{Index, Verify};
use quarry_indexer::{Lists, store_calibration};
use quarry_searcher::{
    CalibrationQueries, ChannelQuery, Method, Options, Searcher, SparseOptions, calibrate,
    mean_overlap,
};
use quarry_vectors::SparseVector;

fn some(random: &mut Random, terms: u32, topic: u32) -> SparseVector {
    let mut pairs: Vec<(u32, f32)> = (0..terms)
        .map(|_| {
            let near = random.below(2) > 0;
            let term = if near { topic * 25 + random.below(25) } else { random.below(2_000) };
            (term, 1.0 + random.below(250) as f32)
        })
        .collect();
    pairs.sort_by_key(|p| p.0);
    pairs.dedup_by_key(|p| p.0);
    vector(&pairs)
}

/// Fewer documents than are measured of themselves in a default build, with every kind of list.
fn small() -> (Built, Vec<SparseVector>) {
    let mut random = Random(9);
    let documents =
        (0..9_000).map(|n| with_terms(&n.to_string(), &some(&mut random, 90, n % 80))).collect();
    let built = built(documents, |o| {
        o.seal.lists = Lists::These { impact: true, seismic: true, clusters: true };
    });
    let queries = (0..80).map(|n| some(&mut random, 20, n)).collect();
    (built, queries)
}

fn wanted(method: Method, overlap: f32) -> Options<'static> {
    Options {
        sparse: SparseOptions { method, overlap, ..SparseOptions::default() },
        ..Options::new(top(10))
    }
}

#[test]
fn a_small_segment_follows_the_overlap_wanted() {
    let (built, queries) = small();
    let exact = built
        .searcher
        .search_batch(
            &queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(),
            &thorough(10, Method::Exact),
        )
        .unwrap();
    // Not measured: `--overlap` is no longer a target that is missed in silence.
    for method in [Method::Impact, Method::Clusters] {
        let found = built
            .searcher
            .search_batch(
                &queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(),
                &wanted(method, 0.9),
            )
            .unwrap();
        assert_eq!(found[0].method, method);
        let overlap = mean_overlap(&found, &exact);
        assert!(overlap > 0.999, "{method:?}: {overlap}");
        assert_eq!(built.searcher.promised(&queries[0], &wanted(method, 0.9)), Some(1.0));
    }
    // Seismic's lists hold some of the postings: nothing is known of them.
    assert_eq!(built.searcher.promised(&queries[0], &wanted(Method::Seismic, 0.9)), None);
    let folder = built.index().folder().to_path_buf();
    let asked = CalibrationQueries::Given { source: "by hand", vectors: &queries };
    let tables = calibrate(&built.searcher, asked, 3, &|_| {}).unwrap();
    store_calibration(&folder, built.index().manifest(), &tables).unwrap();
    let measured = Searcher::new(Arc::new(Index::open(&folder, Verify::Full).unwrap()));
    for method in [Method::Impact, Method::Clusters, Method::Seismic] {
        let mut last = 0;
        for overlap in [0.7, 0.9, 0.998] {
            let params = wanted(method, overlap);
            let found = measured
                .search_batch(
                    &queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(),
                    &params,
                )
                .unwrap();
            let reached = mean_overlap(&found, &exact);
            let promised = measured.promised(&queries[0], &params).unwrap();
            assert!(reached + 0.015 > promised.min(f64::from(overlap)), "{method:?}: {reached}");
            let work: u64 =
                found.iter().map(|f| f.stats.postings + 100 * f.stats.documents_scored).sum();
            assert!(work >= last, "{method:?} {overlap}: {work} after {last}");
            last = work;
        }
        let least = measured
            .search_batch(
                &queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(),
                &wanted(method, 0.7),
            )
            .unwrap();
        let most = measured
            .search_batch(
                &queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(),
                &wanted(method, 0.998),
            )
            .unwrap();
        assert!(least != most, "{method:?}: the overlap wanted changes nothing");
    }
}

/// Observing changes what is planned, never what a plan finds; and it is in memory alone.
#[test]
fn observing_writes_nothing_and_finds_the_same() {
    let (built, queries) = small();
    let files = || {
        let folder = std::fs::read_dir(built.index().folder()).unwrap();
        let mut files: Vec<_> = folder
            .map(|e| e.unwrap())
            .map(|e| (e.file_name(), e.metadata().unwrap().modified().unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = files();
    let observing = Searcher::new(Arc::clone(built.searcher.index())).observing();
    for method in [Method::Impact, Method::Exact, Method::Auto] {
        let params = wanted(method, 0.9);
        let found = observing
            .search_batch(&queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(), &params)
            .unwrap();
        assert_eq!(
            found,
            built
                .searcher
                .search_batch(
                    &queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(),
                    &params
                )
                .unwrap()
        );
    }
    assert_eq!(files(), before);
}
