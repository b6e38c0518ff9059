//! Searches that guess how far they have to look, over collections made so that the first guess is
//! wrong: both searches over impact-ordered lists look again.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::num::NonZeroUsize;

use common::{built, built_of_segments, thorough, top, vector, with_terms};
use quarry_indexer::Lists;
use quarry_searcher::{ChannelQuery, Method, Options, SparseOptions, mean_overlap};
use quarry_vectors::Document;

/// Documents of a hundred small weights each promise more than they have: their lists' few large
/// weights take nearly all bands, so that all small ones share one. The best documents have one large
/// weight, and look worse.
#[test]
fn exact_looks_again_where_bounds_promise_too_much() {
    let terms = 100u32;
    let mut documents: Vec<Document> = (0..3_000u32)
        .map(|n| {
            let pairs: Vec<(u32, f32)> =
                (0..terms).map(|t| (t, (1 + (n * 31 + t * 17) % 100) as f32)).collect();
            with_terms(&format!("low-{n}"), &vector(&pairs))
        })
        .collect();
    documents.extend((0..terms * 60).map(|n| {
        let weight = 1_000 + (n / terms) * 1_066 + n % 13;
        with_terms(&format!("high-{n}"), &vector(&[(n % terms, weight as f32)]))
    }));
    let built = built(documents, |o| o.seal.lists = Lists::IMPACT);
    let query = vector(&(0..terms).map(|t| (t, 1.0)).collect::<Vec<_>>());
    for k in [1, 10, 100] {
        let want = built
            .searcher
            .search(&ChannelQuery::Sparse(&query), &thorough(k, Method::Scan))
            .unwrap();
        let found = built
            .searcher
            .search(&ChannelQuery::Sparse(&query), &thorough(k, Method::Exact))
            .unwrap();
        assert!(built.searcher.id(&want.hits[0]).starts_with("high-"));
        assert_eq!(found.hits, want.hits, "k {k}");
        // It did look twice: some postings were added twice.
        let postings = u64::from(3_000 * terms + 60 * terms);
        assert_eq!(found.stats.postings, 2 * postings, "k {k}");
    }
}

/// All of the best documents stand in the first of seven segments, whose share of the candidates is
/// too few.
#[test]
fn approximate_looks_again_where_the_best_stand_together() {
    let segment = |number: u32, documents: u32, most: u32| -> Vec<Document> {
        let weight = |n: u32| (1 + (n * 7_919) % most) as f32;
        let one = |n: u32| {
            let pairs = [(n % 3, weight(n)), (3 + n % 5, weight(n + 11)), (8, weight(n + 5))];
            with_terms(&format!("{number}-{n}"), &vector(&pairs))
        };
        (0..documents).map(one).collect()
    };
    let mut collections = vec![segment(0, 5_000, 250)];
    collections.extend((1..7).map(|number| segment(number, 4_900, 4)));
    let built = built_of_segments(collections, |o| o.seal.lists = Lists::IMPACT);
    let query = vector(&[(0, 1.0), (1, 1.0), (2, 1.0), (3, 0.5), (4, 0.5), (8, 1.0)]);
    let k = 150;
    let exact =
        built.searcher.search(&ChannelQuery::Sparse(&query), &thorough(k, Method::Exact)).unwrap();
    assert!(exact.hits.iter().all(|hit| hit.segment == 0));
    let params = Options {
        sparse: SparseOptions {
            method: Method::Impact,
            postings: Some(NonZeroUsize::MAX),
            candidates: NonZeroUsize::new(k),
            ..SparseOptions::default()
        },
        ..Options::new(top(k))
    };
    let found = built.searcher.search(&ChannelQuery::Sparse(&query), &params).unwrap();
    let overlap = mean_overlap(std::slice::from_ref(&found), std::slice::from_ref(&exact));
    assert!(overlap > 0.95, "{overlap}");
    // The root of seven times the candidates of one.
    let scored = found.stats.documents_scored;
    assert!((390..=390 * 3).contains(&scored), "{scored} documents scored");
}
