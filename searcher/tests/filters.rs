//! Filters: every method finds only what is allowed, exact ones the best of it, and k documents
//! whenever so many are there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{
    Built, built, built_of_segments, coarse_vectors, documents, everything_kept, exact_query, id,
    oracle, thorough, top, vector, with_terms, with_text,
};
use proptest::prelude::*;
use quarry_index::clusters::ClusterParams;
use quarry_indexer::Lists;
use quarry_searcher::{Bm25Params, Filter, Kernels, Method, SearchError, Searcher, SparseParams};
use quarry_vectors::SparseVector;

const METHODS: [Method; 6] = Method::ALL;

fn all_lists(vectors: &[SparseVector]) -> Built {
    built(documents(vectors), |o| {
        o.lists = Lists::These { impact: true, seismic: true, clusters: true };
        o.clusters = ClusterParams { size: 3, components: 10_000 };
        o.seismic = everything_kept();
    })
}

fn allowed_only(
    built: &Built,
    query: &SparseVector,
    allowed: &BTreeSet<String>,
) -> Vec<(String, f32)> {
    let mut all = oracle(built.index(), query, usize::MAX);
    all.retain(|(id, _)| allowed.contains(id));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn hits_are_the_best_of_the_allowed(
        vectors in coarse_vectors(20),
        query in exact_query(20),
        share in prop_oneof![Just(0usize), 1usize..9],
        k in prop_oneof![1usize..6, Just(100)],
    ) {
        let built = all_lists(&vectors);
        let allowed: BTreeSet<String> =
            (0..vectors.len()).filter(|n| (n * 7 + 3) % 9 < share).map(id).collect();
        let mut want = allowed_only(&built, &query, &allowed);
        want.truncate(k);
        for kernels in [Kernels::Scalar, Kernels::Avx2, Kernels::Avx512] {
            let searcher = Searcher::new(Arc::clone(built.searcher.index())).with_kernels(kernels);
            let filter = searcher.filter_of_ids(allowed.iter().map(String::as_str)).unwrap();
            prop_assert_eq!(filter.rows(), allowed.len());
            for method in METHODS {
                let mut params = thorough(k, method);
                (params.postings, params.candidates) = (Some(top(usize::MAX)), Some(top(usize::MAX)));
                let found = searcher.sparse_filtered(&query, &params, Some(&filter)).unwrap();
                prop_assert_eq!(built.hits(&found), want.clone(), "{:?}", method);
            }
        }
    }
}

/// Two windows of documents and more, so that bits and windows have to fit; few postings are read,
/// so that an approximate search alone would not find all.
#[test]
fn k_documents_are_found_whenever_so_many_are_allowed() {
    let count = 140_000u32;
    let vectors = (0..count).map(|n| {
        let weight = |at: u32| f32::from(u8::try_from(1 + n.wrapping_mul(at) % 199).unwrap());
        vector(&[(n % 3, weight(7)), (3 + n % 5, weight(13)), (8 + n % 7, weight(29))])
    });
    let collection = vectors.enumerate().map(|(n, v)| with_terms(&n.to_string(), &v)).collect();
    let built = built(collection, |o| o.lists = Lists::IMPACT);
    let query = vector(&[(1, 2.0), (4, 1.0), (9, 0.5)]);
    for step in [1usize, 2, 10, 1000, 20_000] {
        let allowed: Vec<String> =
            (0..count as usize).step_by(step).map(|n| n.to_string()).collect();
        let filter = built.searcher.filter_of_ids(allowed.iter().map(String::as_str)).unwrap();
        let set: BTreeSet<String> = allowed.into_iter().collect();
        let mut want = allowed_only(&built, &query, &set);
        want.truncate(10);
        for method in [Method::Exact, Method::Scan, Method::Impact, Method::Auto] {
            let mut params = SparseParams::new(top(10));
            (params.method, params.postings) = (method, Some(top(500)));
            let found = built.searcher.sparse_filtered(&query, &params, Some(&filter)).unwrap();
            let hits = built.hits(&found);
            assert_eq!(hits.len(), want.len(), "{method:?}, every {step}th");
            assert!(hits.iter().all(|(id, _)| set.contains(id)));
            if matches!(method, Method::Exact | Method::Scan) {
                assert_eq!(hits, want, "{method:?}, every {step}th");
            }
        }
    }
}

#[test]
fn words_are_filtered_too_and_foreign_filters_are_refused() {
    let texts: Vec<_> = (0..50).map(|n| with_text(&n.to_string(), "", "rock and sea")).collect();
    let built = built_of_segments(
        vec![texts, vec![with_text("x", "", "rock"), with_text("y", "", "sand")]],
        |_| {},
    );
    let filter = built.searcher.filter_of_ids(["7", "x", "y", "nowhere"]).unwrap();
    assert_eq!(filter.rows(), 3);
    let params = Bm25Params::new(top(10));
    let find = |filter: &Filter| built.searcher.bm25_filtered("rock", &params, Some(filter));
    let found = find(&filter).unwrap();
    let ids: BTreeSet<String> = built.hits(&found).into_iter().map(|h| h.0).collect();
    assert_eq!(ids, BTreeSet::from(["7".into(), "x".into()]));
    let other = built_of_segments(vec![vec![with_text("x", "", "rock")]], |_| {});
    let foreign = other.searcher.filter_of_ids(["x"]).unwrap();
    assert!(matches!(find(&foreign), Err(SearchError::Param { name: "filter", .. })));
    assert!(built.searcher.filter_of(&[]).is_err());
}

fn with_fields(number: u32) -> quarry_vectors::Document {
    let serde_json::Value::Object(fields) = serde_json::json!({
        "year": 1990 + number % 20,
        "topic": (["ice", "sea", "Rock Salt"][number as usize % 3]),
        "tags": [format!("t{}", number % 4), format!("u{}", number % 5)],
        "price": f64::from(number) * 0.5 - 3.0,
        "open": number.is_multiple_of(2),
        "place": {"city": (["Oslo", "Rome"][number as usize % 2])},
        "date": format!("2020-01-{:02}T00:00:00Z", 1 + number % 28),
    }) else {
        unreachable!()
    };
    quarry_vectors::Document { fields, ..with_text(&number.to_string(), "", "rock") }
}

#[test]
fn expressions_choose_by_fields() {
    let built = built_of_segments(
        vec![(0..60).map(with_fields).collect(), (60..100).map(with_fields).collect()],
        |_| {},
    );
    let year = |n: u32| 1990 + n % 20;
    type Want = fn(u32) -> bool;
    let cases: &[(&str, Want)] = &[
        ("topic:ice", |n| n % 3 == 0),
        ("topic:\"Rock Salt\"", |n| n % 3 == 2),
        ("year:1998", |n| n % 20 == 8),
        ("year:[1998 TO 1999]", |n| (8..=9).contains(&(n % 20))),
        ("year:{1998 TO 2001]", |n| (9..=11).contains(&(n % 20))),
        ("year:>=2005", |n| n % 20 >= 15),
        ("year:<1992", |n| n % 20 < 2),
        ("year:[1998 TO 1999] AND topic:ice", |n| (8..=9).contains(&(n % 20)) && n % 3 == 0),
        ("year:IN [1990 2009]", |n| n % 20 == 0 || n % 20 == 19),
        ("tags:t1 OR tags:u2", |n| n % 4 == 1 || n % 5 == 2),
        ("open:true", |n| n % 2 == 0),
        ("* AND NOT open:true", |n| n % 2 == 1),
        ("-open:true", |n| n % 2 == 1),
        ("topic:ice -open:true", |n| n % 3 == 0 && n % 2 == 1),
        ("place.city:Rome", |n| n % 2 == 1),
        ("price:[-1.0 TO 1.5]", |n| (4..=9).contains(&n)),
        ("price:[1 TO 1.5]", |n| (8..=9).contains(&n)),
        ("price:[-2 TO -1]", |n| (2..=4).contains(&n)),
        ("price:>45.9", |n| n >= 98),
        ("date:[2020-01-05T00:00:00Z TO 2020-01-06T00:00:00Z]", |n| (4..=5).contains(&(n % 28))),
        ("NOT topic:ice AND open:true", |n| n % 3 != 0 && n % 2 == 0),
        ("topic:ice AND NOT (open:true OR tags:t1)", |n| n % 3 == 0 && n % 2 == 1 && n % 4 != 1),
        ("price:-2.5", |n| n == 1),
        ("topic:[a TO j]", |n| n % 3 == 0),
        ("topic:steam", |_| false),
        ("*", |_| true),
    ];
    for (expression, want) in cases {
        let filter = built.searcher.filter(expression);
        let filter = filter.unwrap_or_else(|e| panic!("{e}"));
        let want: BTreeSet<String> = (0..100).filter(|n| want(*n)).map(|n| n.to_string()).collect();
        let found = built.searcher.bm25_filtered("rock", &Bm25Params::new(top(100)), Some(&filter));
        let found: BTreeSet<String> =
            built.hits(&found.unwrap()).into_iter().map(|h| h.0).collect();
        assert_eq!(found, want, "{expression}");
        assert_eq!(filter.rows(), want.len(), "{expression}");
    }
    assert_eq!(year(8), 1998);
    for (expression, reason) in [
        ("colour:red", "no document has a field `colour`"),
        ("yea:1998", "no document has a field `yea`"),
        ("ice", "FIELD:VALUE"),
        ("year:[1998 TO", "syntax"),
        ("", "empty"),
        ("year:[1998 TO x]", "a range from Integer to Text"),
        ("date:[2020 TO 2020-01-05T00:00:00Z]", "a range from Integer to Date"),
    ] {
        let error = built.searcher.filter(expression).unwrap_err().to_string();
        assert!(error.contains(reason), "{expression}: {error}");
    }
}
