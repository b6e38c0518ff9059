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
use quarry_searcher::{ChannelQuery, Filter, Kernels, Method, Options, SearchError, Searcher};
use quarry_vectors::SparseVector;

const METHODS: [Method; 6] = Method::ALL;

fn all_lists(vectors: &[SparseVector]) -> Built {
    built(documents(vectors), |o| {
        o.seal.lists = Lists::These { impact: true, seismic: true, clusters: true };
        o.seal.clusters = ClusterParams { size: 3, components: 10_000 };
        o.seal.seismic = everything_kept();
    })
}

fn allowed_only(
    built: &Built,
    query: &SparseVector,
    allowed: &BTreeSet<String>,
) -> Vec<(String, f64)> {
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
        // Sums of one byte do not see a term whose share of the largest is below half a unit.
        let whole: f32 = query.weights().iter().sum();
        let seen = query.weights().iter().all(|weight| 120.0 * weight >= whole);
        for kernels in [Kernels::Scalar, Kernels::Avx2, Kernels::Avx512] {
            let searcher = Searcher::new(Arc::clone(built.searcher.index())).with_kernels(kernels);
            let filter = searcher.filter_of_ids(allowed.iter().map(String::as_str)).unwrap();
            prop_assert_eq!(filter.rows(), allowed.len());
            for method in METHODS {
                if !seen && matches!(method, Method::Impact | Method::Clusters) {
                    continue;
                }
                let mut params = thorough(k, method);
                (params.sparse.postings, params.sparse.candidates) = (Some(top(usize::MAX)), Some(top(usize::MAX)));
                let found = searcher.search(&ChannelQuery::Sparse(&query), &Options { filter: Some(&filter), ..params }).unwrap();
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
    let built = built(collection, |o| o.seal.lists = Lists::IMPACT);
    let query = vector(&[(1, 2.0), (4, 1.0), (9, 0.5)]);
    for step in [1usize, 2, 10, 1000, 20_000] {
        let allowed: Vec<String> =
            (0..count as usize).step_by(step).map(|n| n.to_string()).collect();
        let filter = built.searcher.filter_of_ids(allowed.iter().map(String::as_str)).unwrap();
        let set: BTreeSet<String> = allowed.into_iter().collect();
        let mut want = allowed_only(&built, &query, &set);
        want.truncate(10);
        for method in [Method::Exact, Method::Scan, Method::Impact, Method::Auto] {
            let mut params = Options::new(top(10));
            (params.sparse.method, params.sparse.postings) = (method, Some(top(500)));
            let found = built
                .searcher
                .search(&ChannelQuery::Sparse(&query), &Options { filter: Some(&filter), ..params })
                .unwrap();
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
    let params = Options::new(top(10));
    let find = |filter: &Filter| {
        built
            .searcher
            .search(&ChannelQuery::Words("rock"), &Options { filter: Some(filter), ..params })
    };
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
        ("topic:\"ice~1\"", |_| false),
        ("*", |_| true),
        ("date:2020-01-05", |n| n % 28 == 4),
        ("date:2020-01-05T00:00:00Z", |n| n % 28 == 4),
        ("date:\"2020-01-05T02:00:00+02:00\"", |n| n % 28 == 4),
        ("date:[2020-01-05 TO 2020-01-06]", |n| (4..=5).contains(&(n % 28))),
        ("date:{2020-01-05 TO 2020-01-08}", |n| (5..=6).contains(&(n % 28))),
        ("date:[2020-01-05 TO 2020-01-06T00:00:00Z}", |n| n % 28 == 4),
        ("date:>2020-01-27", |n| n % 28 == 27),
        ("date:<=2020-01-01", |n| n % 28 == 0),
        ("date:[0001-01-01 TO 9999-12-31]", |_| true),
        ("date:[0001-01-01T00:00:00Z TO 2020-01-01]", |n| n % 28 == 0),
        ("date:IN [2020-01-02 2020-01-28]", |n| n % 28 == 1 || n % 28 == 27),
        ("year:1998.0", |n| n % 20 == 8),
        ("year:[1997.5 TO 1999]", |n| (8..=9).contains(&(n % 20))),
        ("year:(1998 OR 1999)", |n| (8..=9).contains(&(n % 20))),
        ("year:[* TO *]", |_| true),
        ("price:*", |_| true),
        ("place:*", |_| true),
        ("topic:[\"Rock\" TO \"Rock T\"]", |n| n % 3 == 2),
        ("topic:ice NOT open:true", |n| n % 3 == 0 && n % 2 == 1),
    ];
    for (expression, want) in cases {
        let filter = built.searcher.filter(expression);
        let filter = filter.unwrap_or_else(|e| panic!("{e}"));
        let want: BTreeSet<String> = (0..100).filter(|n| want(*n)).map(|n| n.to_string()).collect();
        let found = built.searcher.search(
            &ChannelQuery::Words("rock"),
            &Options { filter: Some(&filter), ..Options::new(top(100)) },
        );
        let found: BTreeSet<String> =
            built.hits(&found.unwrap()).into_iter().map(|h| h.0).collect();
        assert_eq!(found, want, "{expression}");
        assert_eq!(filter.rows(), want.len(), "{expression}");
    }
    assert_eq!(year(8), 1998);
    for (expression, reason) in [
        (
            "colour:red",
            "no document has a field `colour`; there are date, open, place.city, price, tags, topic, year",
        ),
        ("yea:1998", "no document has a field `yea`"),
        ("ice", "FIELD:VALUE"),
        ("year:[1998 TO", "a value was expected"),
        ("", "empty"),
        ("year:[1998 TO x]", "`year` has numbers, and \"x\" cannot be one"),
        ("year:abc", "`year` has numbers, and \"abc\" cannot be one"),
        ("year:IN [1998 1999x]", "\"1999x\" cannot be one"),
        ("topic:ice OR year:2024-03-11", "\"2024-03-11\" cannot be one"),
        ("year:nan", "cannot be one"),
        ("date:[2020 TO 2020-01-05T00:00:00Z]", "`date` has dates (YYYY-MM-DD"),
        ("date:2020-01", "\"2020-01\" cannot be one"),
        ("date:2020-02-30", "cannot be one"),
        ("date:>=soon", "cannot be one"),
        ("open:yes", "`open` has true and false"),
        ("open:[false TO true]", "no order"),
        ("place:Oslo", "`place` has fields of its own"),
        ("year:[1999 TO 1998]", "none lies in this range"),
        ("year:{1998 TO 1998}", "none lies in this range"),
        ("topic:[snow TO ice]", "none lies in this range"),
        ("date:[2020-01-06 TO 2020-01-05]", "none lies in this range"),
        ("date:>2500-01-01", "none lies in this range"),
        ("date:9999-12-31", "of the years 1678 to 2261"),
        ("topic:ice~1", "compared whole"),
        ("year:1998 and topic:ice", "AND, OR and NOT, in capitals"),
        ("!year:1998", "in capitals"),
    ] {
        let error = built.searcher.filter(expression).unwrap_err().to_string();
        assert!(error.contains(reason), "{expression}: {error}");
    }
}

/// Fields that hold several kinds of values, or text that looks like another kind.
#[test]
fn values_mean_what_their_field_holds() {
    let document = |id: &str, fields: serde_json::Value| {
        let serde_json::Value::Object(fields) = fields else { unreachable!() };
        quarry_vectors::Document { fields, ..with_text(id, "", "rock") }
    };
    let built = built_of_segments(
        vec![
            vec![
                document("a", serde_json::json!({"day": "2024-03-11", "any": "7", "n": 5})),
                document(
                    "b",
                    serde_json::json!({"day": "2024-03-12", "any": "2024-03-11T10:00:00Z"}),
                ),
            ],
            vec![
                document("c", serde_json::json!({"any": "x", "big": u64::MAX, "n": 1.5})),
                document("d", serde_json::json!({"any": "2024-03-11T23:59:59.5Z", "big": -1.5e30})),
            ],
        ],
        |_| {},
    );
    for (expression, want) in [
        ("any:7", "a"),
        ("any:2024-03-11", "b d"),
        ("any:2024-03-11T10:00:00Z", "b"),
        ("day:2024-03-11", "a"),
        ("day:[2024-03-11 TO 2024-03-12]", "a b"),
        ("day:>2024-03-11", "b"),
        ("big:18446744073709551615", "c"),
        ("big:>1", "c"),
        ("n:5", "a"),
        ("n:1.5", "c"),
        ("n:[1 TO 1.6]", "c"),
        ("n:[1.4 TO 9]", "a c"),
        ("n:<2", "c"),
        ("n:<-1e40", ""),
        ("n:[* TO -0.5]", ""),
        ("big:<-0.5", "d"),
        ("big:[-2e30 TO -1e30]", "d"),
        ("-n:*", "b d"),
    ] {
        let filter = built.searcher.filter(expression).unwrap_or_else(|e| panic!("{e}"));
        let params = Options::new(top(10));
        let found = built
            .searcher
            .search(&ChannelQuery::Words("rock"), &Options { filter: Some(&filter), ..params })
            .unwrap();
        let mut ids: Vec<String> = built.hits(&found).into_iter().map(|hit| hit.0).collect();
        ids.sort();
        assert_eq!(ids.join(" "), want, "{expression}");
    }
}

/// A small expression of much nesting is refused before anything recurses, on the smallest stack.
#[test]
fn nested_filters_do_not_end_the_process() {
    let built = built_of_segments(vec![(0..3).map(with_fields).collect()], |_| {});
    let searcher = &built.searcher;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(256 << 10);
        let run = || {
            for text in [
                "-(".repeat(600) + "topic:ice" + &")".repeat(600),
                "NOT ".repeat(16_000) + "topic:ice",
            ] {
                let error = searcher.filter(&text).unwrap_err();
                assert!(matches!(error, SearchError::Filter { .. }));
                assert!(error.to_string().len() < 500, "{error}");
            }
            let deepest = "-(".repeat(32) + "topic:ice" + &")".repeat(32);
            searcher.filter(&deepest).unwrap();
        };
        thread.spawn_scoped(scope, run).unwrap().join().unwrap();
    });
    let past = std::time::Instant::now().checked_sub(std::time::Duration::from_secs(1));
    let error = searcher.filter_until("topic:ice", past).unwrap_err();
    assert!(matches!(error, SearchError::Timeout));
}
