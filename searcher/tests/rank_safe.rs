//! Methods that promise the true ranking give it to the bit: every document, every score, every tie.
//!
//! A new rank-safe method is one more line in [`METHODS`].
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use common::{
    Built, built, built_of_segments, coarse_vectors, documents, everything_kept, exact_query, id,
    oracle, thorough, top, vector, with_terms,
};
use proptest::prelude::*;
use quarry_indexer::{Levels, Lists};
use quarry_searcher::{ChannelQuery, Method, Options, SparseOptions, mean_overlap};
use quarry_vectors::{SparseVector, better};

/// Methods that give the true ranking at [`thorough`] parameters over lists that keep everything.
const METHODS: [Method; 4] = [Method::Exact, Method::Scan, Method::Auto, Method::Seismic];
/// Below, at and beyond the size of the collections here.
const KS: [usize; 6] = [1, 2, 3, 10, 60, 100_000];

fn with_lists(vectors: &[SparseVector]) -> Built {
    built(documents(vectors), |o| {
        o.seal.lists = Lists::These { impact: true, seismic: true, clusters: false };
        o.seal.seismic = everything_kept();
    })
}

#[track_caller]
fn assert_true_ranking(built: &Built, query: &SparseVector) {
    for method in METHODS {
        for k in KS {
            let outcome =
                built.searcher.search(&ChannelQuery::Sparse(query), &thorough(k, method)).unwrap();
            let want = oracle(built.index(), query, k);
            assert_eq!(built.hits(&outcome), want, "{method:?}, k {k}, {query:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Equal scores are frequent here, so the cut at k falls among them.
    #[test]
    fn the_true_ranking(
        vectors in coarse_vectors(30),
        queries in prop::collection::vec(exact_query(30), 1..4),
    ) {
        let built = with_lists(&vectors);
        for query in &queries {
            assert_true_ranking(&built, query);
        }
    }

    /// Two bytes a level (weights that are multiples of no step) and four bytes a term.
    #[test]
    fn the_true_ranking_of_wide_parts(
        vectors in prop::collection::vec(
            prop::collection::vec((0u32..40, 0.01f32..9.0), 0..12), 1..40),
        wide in any::<bool>(),
        query in exact_query(40),
    ) {
        let mut vectors: Vec<SparseVector> =
            vectors.into_iter().map(|v| SparseVector::from_pairs(v).unwrap()).collect();
        if wide {
            vectors.push(vector(&[(7, 0.77), (65_536, 3.3), (70_000, 1.0)]));
        }
        assert_true_ranking(&with_lists(&vectors), &query);
    }

    #[test]
    fn the_true_ranking_over_segments(
        first in coarse_vectors(20),
        second in coarse_vectors(20),
        third in coarse_vectors(20),
        query in exact_query(20),
    ) {
        let mut number = 0;
        let collections = [first, second, third].map(|vectors| {
            vectors.iter().map(|v| { number += 1; with_terms(&id(number), v) }).collect()
        });
        let built = built_of_segments(collections.into(), |o| {
            o.ingest.vocabulary = Some((0..20).map(|t| format!("t{t}")).collect());
            o.seal.lists = Lists::These { impact: true, seismic: true, clusters: false };
            o.seal.seismic = everything_kept();
        });
        assert_true_ranking(&built, &query);
    }

    /// Weights of any kind are rounded once, to 24 bits of the heaviest: scores agree to f32's
    /// precision, and the ranking is the true one of documents that differ by more.
    #[test]
    fn any_weights(
        vectors in prop::collection::vec(
            prop::collection::vec((0u32..40, 1e-3f32..1e3), 0..20), 1..40),
        query in prop::collection::vec((0u32..45, 1e-3f32..1e3), 1..20),
        k in 1usize..50,
    ) {
        let vectors: Vec<SparseVector> =
            vectors.into_iter().map(|v| SparseVector::from_pairs(v).unwrap()).collect();
        let query = SparseVector::from_pairs(query).unwrap();
        let built = with_lists(&vectors);
        let all = oracle(built.index(), &query, usize::MAX);
        // 2^-25 of the heaviest query weight a component, and f32's own rounding.
        let heaviest = query.weights().iter().copied().fold(0.0, f32::max);
        let mass = vectors.iter().map(|v| v.weights().iter().sum::<f32>()).fold(0.0, f32::max);
        let slack = |score: f64| f64::from(heaviest * mass) * 2f64.powi(-24) + score * 2f64.powi(-22);
        for method in METHODS {
            let hits = built.hits(&built.searcher.search(&ChannelQuery::Sparse(&query), &thorough(k, method)).unwrap());
            prop_assert_eq!(hits.len(), all.len().min(k));
            prop_assert!(hits.windows(2).all(|w| better(
                (w[0].1, w[0].0.as_bytes()), (w[1].1, w[1].0.as_bytes())).is_lt()));
            for (hit, want) in hits.iter().zip(&all) {
                let own = all.iter().find(|a| a.0 == hit.0).unwrap().1;
                prop_assert!((hit.1 - own).abs() <= slack(own), "{hit:?}, {own}");
                prop_assert!((hit.1 - want.1).abs() <= slack(want.1), "{hit:?}, {want:?}");
            }
        }
    }
}

/// 5,000 documents of which all but a few score alike: the cut at k is decided by ids alone, over
/// more than one stride of the clock.
#[test]
fn ties_at_the_cut_go_by_id_descending() {
    let vectors: Vec<SparseVector> = (0..5_000)
        .map(|n| vector(&[(0, if n % 997 == 5 { 2.0 } else { 1.0 }), (1 + n % 7, 1.0)]))
        .collect();
    let documents: Vec<_> =
        vectors.iter().enumerate().map(|(n, v)| with_terms(&format!("{n}"), v)).collect();
    let built = built(documents, |o| {
        o.seal.lists = Lists::These { impact: true, seismic: true, clusters: false };
        o.seal.seismic = everything_kept();
    });
    for k in [1, 6, 7, 10, 500, 4_999, 5_000, 5_001] {
        for method in METHODS {
            let found = built
                .searcher
                .search(&ChannelQuery::Sparse(&vector(&[(0, 1.0)])), &thorough(k, method))
                .unwrap();
            let hits = built.hits(&found);
            assert_eq!(hits, oracle(built.index(), &vector(&[(0, 1.0)]), k), "{method:?}, k {k}");
            if k == 10 {
                let ids: Vec<&str> = hits.iter().map(|h| h.0.as_str()).collect();
                let want =
                    ["5", "4990", "3993", "2996", "1999", "1002", "999", "998", "997", "996"];
                assert_eq!(ids, want);
            }
        }
    }
}

/// Block estimates are computed in f32; what that rounds away must not cost a tie. Here two blocks
/// hold one document each, both score 31 x 0xABCDEF / 2^8, which f32 rounds up as a score and down
/// as an estimate.
#[test]
fn estimates_that_round_lose_no_tie() {
    let weight = f32::from(0xABC_u16) * 16.0 + f32::from(0xDEF_u16) / 256.0;
    for seed in 0..16 {
        let vectors =
            [vector(&[(0, 31.0)]), vector(&[(0, 31.0), (5, 31.0)]), vector(&[(9, 255.0)])];
        let documents = ["a", "b", "c"].iter().zip(&vectors).map(|(id, v)| with_terms(id, v));
        let built = built(documents.collect(), |o| {
            o.seal.seed = seed;
            o.seal.lists = Lists::These { impact: true, seismic: true, clusters: false };
            o.seal.seismic = everything_kept();
            o.seal.seismic.centroid_fraction = 1.0;
            o.seal.seismic.min_cluster_size = 0;
        });
        for method in METHODS {
            let found = built
                .searcher
                .search(&ChannelQuery::Sparse(&vector(&[(0, weight)])), &thorough(1, method))
                .unwrap();
            assert_eq!(built.hits(&found)[0].0, "b", "{method:?}, seed {seed}");
        }
    }
}

#[test]
fn nothing_asked_or_nothing_there() {
    let built = with_lists(&[vector(&[(1, 1.0)]), vector(&[]), vector(&[(2, 0.5)])]);
    for method in METHODS {
        let search = |q: &SparseVector| {
            built.searcher.search(&ChannelQuery::Sparse(q), &thorough(5, method)).unwrap().hits
        };
        assert!(search(&SparseVector::default()).is_empty());
        assert!(search(&vector(&[(0, 3.0)])).is_empty());
        assert!(search(&vector(&[(3, 1.0), (u32::MAX, 9.0)])).is_empty());
        assert_eq!(search(&vector(&[(2, 1.0), (u32::MAX, 9.0)])).len(), 1);
    }
    // Not a single component in the whole collection.
    let bare = with_lists(&[vector(&[]), vector(&[])]);
    for method in METHODS {
        let found = bare
            .searcher
            .search(&ChannelQuery::Sparse(&vector(&[(0, 1.0)])), &thorough(5, method))
            .unwrap();
        assert!(found.hits.is_empty());
    }
}

#[test]
fn one_byte_levels_that_lose_something_are_searched_as_stored() {
    let vectors: Vec<SparseVector> = (0u16..300)
        .map(|n| vector(&[(0, f32::from(n).sin().abs() + 0.01), (1, f32::from(n) / 7.0 + 0.1)]))
        .collect();
    let built = built(documents(&vectors), |o| o.seal.levels = Levels::U8);
    let query = vector(&[(0, 1.0), (1, 0.125)]);
    for k in KS {
        let outcome = built
            .searcher
            .search(&ChannelQuery::Sparse(&query), &thorough(k, Method::Exact))
            .unwrap();
        assert_eq!(built.hits(&outcome), oracle(built.index(), &query, k));
    }
}

#[test]
fn a_batch_is_its_queries_one_by_one() {
    let vectors: Vec<SparseVector> = (0u16..200)
        .map(|n| {
            vector(&[(u32::from(n % 13), 1.0), (u32::from(n % 29) + 13, f32::from(n % 5 + 1))])
        })
        .collect();
    let built = with_lists(&vectors);
    let queries: Vec<SparseVector> =
        (0..60u32).map(|n| vector(&[(n % 13, 1.0), (n % 41, 2.0), (n * 1000, 1.0)])).collect();
    for method in METHODS {
        let params = thorough(7, method);
        let batch = built
            .searcher
            .search_batch(&queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(), &params)
            .unwrap();
        assert_eq!(batch.len(), queries.len());
        for (query, found) in queries.iter().zip(&batch) {
            assert_eq!(
                found.hits,
                built.searcher.search(&ChannelQuery::Sparse(query), &params).unwrap().hits
            );
            assert_ne!(found.method, Method::Auto);
        }
        let exact = built
            .searcher
            .search_batch(
                &queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(),
                &thorough(7, Method::Exact),
            )
            .unwrap();
        assert!((mean_overlap(&batch, &exact) - 1.0).abs() < 1e-12);
    }
}

/// The defaults may miss documents, but what they give has its true score and stands in order.
#[test]
fn approximate_hits_have_true_scores() {
    let vectors: Vec<SparseVector> = (0u32..2_000)
        .map(|n| {
            vector(
                &(0..20)
                    .map(|c| (n * (c + 3) % 251, ((n ^ c) % 17 + 1) as f32))
                    .collect::<Vec<_>>(),
            )
        })
        .collect();
    let built = built(documents(&vectors), |o| {
        o.seal.lists = Lists::These { impact: true, seismic: true, clusters: false };
        o.seal.seismic.n_postings = 20;
    });
    for number in 0..40u32 {
        let query =
            vector(&(0..12).map(|c| (number * (c + 5) % 251, (c + 1) as f32)).collect::<Vec<_>>());
        let params = Options {
            sparse: SparseOptions { method: Method::Seismic, ..SparseOptions::default() },
            ..Options::new(top(10))
        };
        let found = built.searcher.search(&ChannelQuery::Sparse(&query), &params).unwrap();
        let all = oracle(built.index(), &query, usize::MAX);
        let hits = built.hits(&found);
        assert!(!hits.is_empty() && hits.iter().all(|h| all.contains(h)));
        assert!(
            hits.windows(2).all(|w| better(
                (w[0].1, w[0].0.as_bytes()),
                (w[1].1, w[1].0.as_bytes())
            )
            .is_lt())
        );
        for hit in &found.hits {
            assert_eq!(built.searcher.score(&query, hit).unwrap(), hit.score);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn explained_shares_sum_to_the_score(
        vectors in prop::collection::vec(
            prop::collection::vec((0u32..30, 0.01f32..20.0), 0..15), 1..20),
        query in prop::collection::vec((0u32..33, 0.001f32..20.0), 0..12),
    ) {
        let vectors: Vec<SparseVector> =
            vectors.into_iter().map(|v| SparseVector::from_pairs(v).unwrap()).collect();
        let query = SparseVector::from_pairs(query).unwrap();
        let built = with_lists(&vectors);
        let found = built.searcher.search(&ChannelQuery::Sparse(&query), &thorough(100, Method::Exact)).unwrap();
        for hit in &found.hits {
            prop_assert_eq!(built.searcher.score(&query, hit).unwrap(), hit.score);
            let matched = built.searcher.explain(&query, hit).unwrap();
            let sum: f64 = matched.iter().map(|m| m.contribution).sum();
            prop_assert!((sum - hit.score).abs() <= sum * 1e-7, "{sum}, {hit:?}");
            prop_assert!(matched.windows(2).all(|w| w[0].contribution >= w[1].contribution));
            let stored = built.index().segments()[0].forward().unwrap().vector(hit.doc).unwrap();
            for m in &matched {
                let at = query.terms().binary_search(&m.term.0).unwrap();
                prop_assert_eq!(m.query_weight, query.weights()[at]);
                let at = stored.terms().binary_search(&m.term.0).unwrap();
                prop_assert_eq!(m.document_weight, stored.weights()[at]);
                prop_assert_eq!(&m.token, &m.term.0.to_string());
                let plain = f64::from(m.query_weight) * f64::from(m.document_weight);
                let heaviest = query.weights().iter().copied().fold(0.0, f32::max);
                let slack = f64::from(heaviest) * f64::from(m.document_weight) * 1e-6;
                prop_assert!((m.contribution - plain).abs() <= slack);
            }
        }
    }
}
