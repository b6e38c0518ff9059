//! A search that cannot be done says so: never an empty ranking, and never a wrong one afterwards.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use common::{Built, built, everything_kept, thorough, top, vector, with_terms, with_text};
use quarry_indexer::Lists;
use quarry_searcher::{
    Bm25Options, ChannelQuery, Hit, Method, Options, SearchError, SparseOptions,
};
use quarry_vectors::{DocId, Document, InputVector, TokenEmbeddings};

const METHODS: [Method; 4] = [Method::Exact, Method::Scan, Method::Auto, Method::Seismic];
/// Methods that need lists, with the name that their error gives.
const LISTS: [(Method, &str); 2] = [(Method::Impact, "impact"), (Method::Seismic, "seismic")];

fn vectors_only(lists: Lists) -> Built {
    let documents =
        (0..100u32).map(|n| with_terms(&n.to_string(), &vector(&[(n % 7, 1.0), (7 + n, 2.0)])));
    built(documents.collect(), |o| {
        o.seal.lists = lists;
        o.seal.seismic = everything_kept();
    })
}

fn texts_only() -> Built {
    built(vec![with_text("a", "Sea", "level"), with_text("b", "", "lava")], |_| {})
}

#[test]
fn no_sparse_channel() {
    let built = texts_only();
    let query = vector(&[(1, 1.0)]);
    for method in METHODS {
        let error =
            built.searcher.search(&ChannelQuery::Sparse(&query), &thorough(3, method)).unwrap_err();
        assert!(matches!(error, SearchError::NoSparse), "{error:?}");
        let error = built
            .searcher
            .search_batch(
                &std::slice::from_ref(&query).iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(),
                &thorough(3, method),
            )
            .unwrap_err();
        assert!(matches!(error, SearchError::NoSparse), "{error:?}");
    }
    let hit = Hit { segment: 0, doc: DocId(0), score: 0.0 };
    assert!(matches!(built.searcher.explain(&query, &hit), Err(SearchError::NoSparse)));
    assert!(matches!(built.searcher.score(&query, &hit), Err(SearchError::NoSparse)));
}

#[test]
fn no_text() {
    let built = vectors_only(Lists::NONE);
    let params = Options::new(top(3));
    assert!(matches!(
        built.searcher.search(&ChannelQuery::Words("sea"), &params),
        Err(SearchError::NoText)
    ));
    assert!(matches!(
        built.searcher.search_batch(
            &["sea"].iter().map(|q| ChannelQuery::Words(q)).collect::<Vec<_>>(),
            &params
        ),
        Err(SearchError::NoText)
    ));
    let hit = built.searcher.find("3").unwrap();
    assert_eq!(built.searcher.stored(&hit).unwrap(), None);
}

#[test]
fn no_lists() {
    let built = vectors_only(Lists::NONE);
    for (method, name) in LISTS {
        match built
            .searcher
            .search(&ChannelQuery::Sparse(&vector(&[(1, 1.0)])), &thorough(3, method))
        {
            Err(SearchError::NoLists { method }) => assert_eq!(method, name),
            other => panic!("{other:?}"),
        }
    }
    let found = built
        .searcher
        .search(&ChannelQuery::Sparse(&vector(&[(1, 1.0)])), &thorough(3, Method::Auto))
        .unwrap();
    assert_eq!((found.method, found.hits.len()), (Method::Exact, 3));
}

#[test]
fn parameters_out_of_range() {
    let built = vectors_only(Lists::These { impact: true, seismic: true, clusters: false });
    for heap_factor in [0.0, -0.5, 1.000_1, f32::NAN, f32::INFINITY] {
        for method in METHODS {
            let params = Options {
                sparse: SparseOptions {
                    heap_factor: Some(heap_factor),
                    ..thorough(3, method).sparse
                },
                ..thorough(3, method)
            };
            match built.searcher.search(&ChannelQuery::Sparse(&vector(&[(1, 1.0)])), &params) {
                Err(SearchError::Param { name: "heap_factor", .. }) => {}
                other => panic!("{heap_factor}: {other:?}"),
            }
        }
    }
    let texts = texts_only();
    for (k1, b, wrong) in [
        (-0.1, 0.4, "k1"),
        (f32::NAN, 0.4, "k1"),
        (f32::INFINITY, 0.4, "k1"),
        (0.9, -0.1, "b"),
        (0.9, 1.1, "b"),
        (0.9, f32::NAN, "b"),
    ] {
        let params = Options { bm25: Bm25Options { k1, b }, ..Options::new(top(3)) };
        match texts.searcher.search(&ChannelQuery::Words("sea"), &params) {
            Err(SearchError::Param { name, .. }) => assert_eq!(name, wrong),
            other => panic!("{k1}, {b}: {other:?}"),
        }
    }
}

/// A deadline that has passed is an error, and what the search left behind spoils no later one.
#[test]
fn deadlines() {
    let built = vectors_only(Lists::These { impact: true, seismic: true, clusters: false });
    let query = vector(&[(1, 1.0), (9, 1.0)]);
    let past = Some(Instant::now());
    let far = Instant::now().checked_add(Duration::from_secs(86_400));
    for method in METHODS {
        let good = thorough(5, method);
        let want = built.searcher.search(&ChannelQuery::Sparse(&query), &good).unwrap().hits;
        let late = Options { deadline: past, ..good };
        for _ in 0..3 {
            let error = built
                .searcher
                .search(&ChannelQuery::Sparse(&vector(&[(2, 5.0)])), &late)
                .unwrap_err();
            assert!(matches!(error, SearchError::Timeout), "{method:?}: {error:?}");
        }
        assert!(
            built
                .searcher
                .search_batch(
                    &[query.clone(), query.clone()]
                        .iter()
                        .map(ChannelQuery::Sparse)
                        .collect::<Vec<_>>(),
                    &late
                )
                .is_err()
        );
        assert_eq!(built.searcher.search(&ChannelQuery::Sparse(&query), &good).unwrap().hits, want);
        let soon = Options { deadline: far, ..good };
        assert_eq!(built.searcher.search(&ChannelQuery::Sparse(&query), &soon).unwrap().hits, want);
    }
    let texts = texts_only();
    let params = Options { deadline: past, ..Options::new(top(3)) };
    assert!(matches!(
        texts.searcher.search(&ChannelQuery::Words("sea"), &params),
        Err(SearchError::Timeout)
    ));
    let params = Options { deadline: far, ..params };
    assert_eq!(texts.searcher.search(&ChannelQuery::Words("sea"), &params).unwrap().hits.len(), 1);
}

/// Few query terms and a large `k` at once; nothing overflows.
#[test]
fn parameters_at_their_ends() {
    let built = vectors_only(Lists::These { impact: true, seismic: true, clusters: false });
    for method in METHODS {
        let params = Options {
            k: NonZeroUsize::MAX,
            sparse: SparseOptions {
                query_cut: Some(NonZeroUsize::MIN),
                heap_factor: Some(f32::MIN_POSITIVE),
                ..thorough(1, method).sparse
            },
            ..thorough(1, method)
        };
        let found =
            built.searcher.search(&ChannelQuery::Sparse(&vector(&[(1, 1.0)])), &params).unwrap();
        assert_eq!(found.hits.len(), 15, "{method:?}");
    }
    let texts = texts_only();
    let params =
        Options { bm25: Bm25Options { k1: 1e30, b: 1.0 }, ..Options::new(NonZeroUsize::MAX) };
    assert_eq!(
        texts.searcher.search(&ChannelQuery::Words("sea lava"), &params).unwrap().hits.len(),
        2
    );
}

#[test]
fn documents_are_found_and_shown() {
    let mut both = with_text("b", "Lava", "flows");
    both.fields.insert("year".into(), 1783.into());
    let built = built(
        vec![with_text("a", "", "sea"), both, Document { id: "c".into(), ..Document::default() }],
        |_| {},
    );
    let hit = built.searcher.find("b").unwrap();
    assert_eq!((hit.segment, hit.doc, built.searcher.id(&hit)), (0, DocId(1), "b"));
    let stored = built.searcher.stored(&hit).unwrap().unwrap();
    assert_eq!((stored.title.as_str(), stored.text.as_str()), ("Lava", "flows"));
    assert_eq!(stored.fields["year"], 1783);
    assert!(built.searcher.find("").is_none() && built.searcher.find("bb").is_none());
    assert_eq!(
        built.searcher.stored(&built.searcher.find("c").unwrap()).unwrap(),
        Some(Default::default())
    );
}

#[test]
fn token_embeddings_are_searched_by_a_reranker_only() {
    let searcher = &texts_only().searcher;
    let rows = TokenEmbeddings::new(2, vec![1.0, 0.0]).unwrap();
    let query = ChannelQuery::Tokens(&rows);
    let options = Options::new(top(3));
    let found = searcher.search(&query, &options);
    assert!(matches!(found, Err(SearchError::NoReranker)), "{found:?}");
    let found = searcher.search_batch(&[query, ChannelQuery::Words("sea")], &options);
    assert!(matches!(found, Err(SearchError::NoReranker)), "{found:?}");
}

#[test]
fn a_batch_may_mix_channels() {
    let vectors = [vector(&[(1, 2.0)]), vector(&[(2, 1.0)])];
    let documents = ["sea", "lava"].iter().zip(vectors).map(|(word, vector)| Document {
        vector: Some(InputVector::Terms(vector)),
        ..with_text(word, "", word)
    });
    let built = built(documents.collect(), |_| {});
    let query = vector(&[(1, 1.0)]);
    let queries = [ChannelQuery::Words("lava"), ChannelQuery::Sparse(&query)];
    let found = built.searcher.search_batch(&queries, &Options::new(top(3))).unwrap();
    assert_eq!(built.hits(&found[1]), [("sea".to_owned(), 2.0)]);
    assert_eq!(built.hits(&found[0])[0].0, "lava");
}
