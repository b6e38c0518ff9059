//! Exact search against scores in 64 bits of the weights that were given, whatever their range; and that
//! neither lists, nor a merge, nor other segments change a ranking by more than storing does.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test fails by it"
)]

mod common;

use std::collections::HashMap;
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use common::{built, options, top, with_terms};
use quarry_index::{Index, Verify};
use quarry_indexer::{Adding, LEAST_MEMORY, Levels, Lists, Merge, add, build, merge};
use quarry_searcher::{ChannelQuery, Hit, Method, Options, Searcher, SparseOptions};
use quarry_vectors::SparseVector;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const TERMS: u32 = 200;
const K: usize = 10;

type Docs = Vec<SparseVector>;

/// `count` documents of 30 terms with weights of `weight`.
fn documents(count: usize, seed: u64, mut weight: impl FnMut(&mut SmallRng) -> f32) -> Docs {
    let mut random = SmallRng::seed_from_u64(seed);
    let document = |random: &mut SmallRng, weight: &mut dyn FnMut(&mut SmallRng) -> f32| {
        let terms: std::collections::BTreeSet<u32> =
            (0..30).map(|_| random.random_range(0..TERMS)).collect();
        let pairs: Vec<_> = terms.into_iter().map(|term| (term, weight(random))).collect();
        SparseVector::from_pairs(pairs).unwrap()
    };
    (0..count).map(|_| document(&mut random, &mut weight)).collect()
}

fn ordinary(random: &mut SmallRng) -> f32 {
    0.01 + 3.0 * random.random::<f32>() * random.random::<f32>()
}

fn queries(seed: u64) -> Docs {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut of = |terms: usize| {
        let pairs: HashMap<u32, f32> = (0..terms)
            .map(|_| (random.random_range(0..TERMS), random.random_range(0.1f32..2.0)))
            .collect();
        SparseVector::from_pairs(pairs).unwrap()
    };
    (0..12).map(|_| of(12)).collect()
}

/// Scores in 64 bits, best first, by position among `docs`.
fn exact(docs: &Docs, query: &SparseVector) -> Vec<(f64, usize)> {
    let mut scores: Vec<(f64, usize)> = docs
        .iter()
        .enumerate()
        .map(|(at, doc)| {
            let weights: HashMap<u32, f32> = doc.iter().collect();
            let product =
                |(t, w): (u32, f32)| f64::from(w) * f64::from(*weights.get(&t).unwrap_or(&0.0));
            (query.iter().map(product).sum(), at)
        })
        .filter(|found: &(f64, usize)| found.0 > 0.0)
        .collect();
    scores.sort_by(|a, b| b.0.total_cmp(&a.0).then(name(b.1).cmp(&name(a.1))));
    scores
}

fn name(at: usize) -> String {
    format!("d{at}")
}

fn median(docs: &Docs) -> f64 {
    let mut all: Vec<f32> = docs.iter().flat_map(|d| d.weights().iter().copied()).collect();
    all.sort_by(f32::total_cmp);
    f64::from(all[all.len() / 2])
}

/// Checks every exact ranking of an index over `docs` by both exact methods.
fn check(searcher: &Searcher, docs: &Docs, queries: &Docs, what: &str) {
    let small = median(docs) / 1000.0;
    for method in [Method::Exact, Method::Scan] {
        let (mut found_places, mut places) = (0, 0);
        for query in queries {
            let params = Options {
                sparse: SparseOptions { method, ..SparseOptions::default() },
                ..Options::new(NonZeroUsize::new(docs.len()).unwrap())
            };
            let want = exact(docs, query);
            let found = searcher.search(&ChannelQuery::Sparse(query), &params).unwrap().hits;
            assert_eq!(found.len(), want.len(), "{what}, {}", method.name());
            let scores: HashMap<String, f64> = want.iter().map(|w| (name(w.1), w.0)).collect();
            // What small weights may be off by, with the heaviest query weight.
            let slack = small * f64::from(query.weights().iter().copied().fold(0.0, f32::max));
            for hit in &found {
                let score = scores[searcher.id(hit)];
                let error = (hit.score - score).abs();
                assert!(
                    error <= 1e-3 * score || error <= slack,
                    "{what}, {}: {} has {} for {score}",
                    method.name(),
                    searcher.id(hit),
                    hit.score
                );
            }
            let k = K.min(want.len());
            places += k;
            let reach = want[..k].last().map_or(0.0, |w| w.0);
            let reaches = |hit: &&Hit| scores[searcher.id(hit)] >= reach;
            found_places += found.iter().take(k).filter(reaches).count();
        }
        let overlap = f64::from(found_places as u32) / f64::from(places as u32);
        assert!(overlap >= 0.99, "{what}, {}: overlap@{K} {overlap}", method.name());
    }
}

/// Documents that share a common term, and queries in which it weighs `common` where others weigh about 1.
fn common_term(common: f32) -> (Docs, Docs) {
    let with = |vectors: Docs, weight: f32| -> Docs {
        let with = |v: &SparseVector| SparseVector::from_pairs(v.iter().chain([(TERMS, weight)]));
        vectors.iter().map(|v| with(v).unwrap()).collect()
    };
    (with(documents(300, 1, ordinary), 1.0), with(queries(9), common))
}

#[test]
fn a_heavy_common_term_hides_no_order() {
    for common in [1e2, 1e4, 1e5, 1e6, 1e7, 1e9] {
        let (docs, queries) = common_term(common);
        for lists in [Lists::NONE, Lists::IMPACT] {
            let built = indexed(&docs, lists);
            for (method, query) in [Method::Exact, Method::Scan]
                .iter()
                .flat_map(|m| queries.iter().map(move |q| (*m, q)))
            {
                let params = Options {
                    sparse: SparseOptions { method, ..SparseOptions::default() },
                    ..Options::new(top(K))
                };
                let hits =
                    built.searcher.search(&ChannelQuery::Sparse(query), &params).unwrap().hits;
                let found: Vec<String> =
                    hits.iter().map(|hit| built.searcher.id(hit).to_owned()).collect();
                let want: Vec<String> =
                    exact(&docs, query).iter().take(K).map(|w| name(w.1)).collect();
                assert_eq!(found, want, "{common}, {}", method.name());
                // What is written down stands in the same order.
                let written = built.searcher.ranking(&hits);
                assert!(written.windows(2).all(|two| two[0].score > two[1].score), "{written:?}");
            }
        }
    }
}

fn indexed(docs: &Docs, lists: Lists) -> common::Built {
    let documents = docs.iter().enumerate().map(|(at, v)| with_terms(&name(at), v)).collect();
    built(documents, |options| options.seal.lists = lists)
}

/// Collections of every range of weights.
fn ranges() -> Vec<(&'static str, Docs)> {
    let plain = documents(300, 1, ordinary);
    let spam = |weight: f32, every: usize| {
        let mut docs = plain.clone();
        for doc in docs.iter_mut().step_by(every) {
            let pairs: Vec<_> = doc.iter().chain([(TERMS, weight)]).collect();
            *doc = SparseVector::from_pairs(pairs).unwrap();
        }
        docs
    };
    let decades = |low: f32, high: f32, seed| {
        documents(300, seed, move |random| 10f32.powf(random.random_range(low..high)))
    };
    let scaled = |factor: f32| documents(300, 1, move |random| ordinary(random) * factor);
    vec![
        ("ordinary", plain.clone()),
        ("one spam document", spam(65_504.0, 1000)),
        ("every tenth a spam document", spam(65_504.0, 10)),
        ("the largest float", spam(f32::MAX / 4.0, 1000)),
        ("six decades", decades(-3.0, 3.0, 2)),
        ("twelve decades", decades(-6.0, 6.0, 3)),
        ("a heavy tail", documents(300, 4, |random| random.random_range(1e-4f32..1.0).powi(-3))),
        ("tiny", scaled(1e-30)),
        ("huge", scaled(1e30)),
        (
            "impacts of 32 bits",
            documents(300, 5, |random| {
                (f64::from(u32::MAX) * random.random::<f64>().powi(4)).ceil() as f32
            }),
        ),
    ]
}

#[test]
fn exact_scores_are_those_of_the_given_weights() {
    let mut queries = queries(9);
    // The spam term beside others; alone; and a query whose own weights lie far apart.
    queries.push(SparseVector::new(vec![3, 50, TERMS], vec![1.0, 0.3, 0.5]).unwrap());
    queries.push(SparseVector::new(vec![TERMS], vec![1.0]).unwrap());
    queries.push(SparseVector::new(vec![5, 70, 90], vec![1e-6, 1.0, 1e6]).unwrap());
    queries.extend((0..TERMS).step_by(11).map(|t| SparseVector::new(vec![t], vec![0.7]).unwrap()));
    for (what, docs) in ranges() {
        for lists in [Lists::NONE, Lists::IMPACT] {
            check(&indexed(&docs, lists).searcher, &docs, &queries, what);
        }
    }
}

#[test]
fn an_outlier_costs_other_documents_nothing() {
    // The ranking of every other document stays the same to the last bit.
    let docs = documents(300, 1, ordinary);
    let mut spam = docs.clone();
    let pairs: Vec<_> = spam[17].iter().chain([(TERMS, 65_504.0)]).collect();
    spam[17] = SparseVector::from_pairs(pairs).unwrap();
    let (before, after) = (indexed(&docs, Lists::IMPACT), indexed(&spam, Lists::IMPACT));
    for query in queries(3) {
        let params = Options {
            sparse: SparseOptions { method: Method::Exact, ..SparseOptions::default() },
            ..Options::new(NonZeroUsize::new(100).unwrap())
        };
        let of = |built: &common::Built| {
            built.hits(&built.searcher.search(&ChannelQuery::Sparse(&query), &params).unwrap())
        };
        assert_eq!(of(&before), of(&after));
    }
}

#[test]
fn whole_impacts_keep_their_order() {
    for most in [70_000u32, 1 << 20, (1 << 24) - 1] {
        let docs: Docs = (0..200)
            .map(|at| SparseVector::new(vec![0, 1 + at], vec![(most - at) as f32, 3.0]).unwrap())
            .collect();
        let query = SparseVector::new(vec![0], vec![1.0]).unwrap();
        for lists in [Lists::NONE, Lists::IMPACT] {
            let built = indexed(&docs, lists);
            let params = Options {
                sparse: SparseOptions { method: Method::Exact, ..SparseOptions::default() },
                ..Options::new(NonZeroUsize::new(200).unwrap())
            };
            let found =
                built.hits(&built.searcher.search(&ChannelQuery::Sparse(&query), &params).unwrap());
            for (at, (id, score)) in found.iter().enumerate() {
                assert_eq!((id, *score), (&name(at), f64::from(most - at as u32)));
            }
        }
    }
}

#[test]
fn approximate_methods_find_outliers_and_the_others() {
    let mut docs = documents(3000, 1, ordinary);
    let pairs: Vec<_> = docs[17].iter().chain([(TERMS, 65_504.0)]).collect();
    docs[17] = SparseVector::from_pairs(pairs).unwrap();
    let every = Lists::These { impact: true, seismic: true, clusters: true };
    let built = indexed(&docs, every);
    let mut queries = queries(9);
    queries.push(SparseVector::new(vec![3, 50, TERMS], vec![1.0, 0.3, 0.5]).unwrap());
    for method in [Method::Impact, Method::Clusters, Method::Seismic] {
        for query in &queries {
            let params = Options {
                sparse: SparseOptions { method, ..SparseOptions::default() },
                ..Options::new(NonZeroUsize::new(K).unwrap())
            };
            let found = built.searcher.search(&ChannelQuery::Sparse(query), &params).unwrap().hits;
            let want = exact(&docs, query);
            let reach = want[K - 1].0;
            let good = found.iter().filter(|hit| hit.score >= reach * 0.999).count();
            assert!(good >= 7, "{}: {good} of {K} for {query:?}", method.name());
            assert_eq!(found[0].score, exact_score(&built, query), "{}", method.name());
        }
    }
}

fn exact_score(built: &common::Built, query: &SparseVector) -> f64 {
    let params = Options {
        sparse: SparseOptions { method: Method::Scan, ..SparseOptions::default() },
        ..Options::new(NonZeroUsize::MIN)
    };
    built.searcher.search(&ChannelQuery::Sparse(query), &params).unwrap().hits[0].score
}

#[test]
fn merging_changes_no_ranking_by_more_than_storing_does() {
    // Segments of different steps: ordinary weights, those of another range, and a spam document.
    let mut docs = documents(200, 1, ordinary);
    docs.extend(documents(200, 2, |random| 700.0 * ordinary(random)));
    docs.extend(documents(100, 3, |random| 0.02 * ordinary(random)));
    let pairs: Vec<_> = docs[450].iter().chain([(TERMS, 1e9)]).collect();
    docs[450] = SparseVector::from_pairs(pairs).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let documents = |range: std::ops::Range<usize>| {
        let of = |at: usize| Ok::<_, Infallible>(with_terms(&name(at), &docs[at]));
        range.map(of).collect::<Vec<_>>()
    };
    let mut options = options(folder.path());
    (options.seal.lists, options.seal.levels) = (Lists::IMPACT, Levels::Auto);
    build(documents(0..200), None, &options, &|_| {}).unwrap();
    let open = |folder: &Path| Searcher::new(Arc::new(Index::open(folder, Verify::Full).unwrap()));
    for range in [200..400, 400..500] {
        add(documents(range), None, &Adding::new(&options), &|_| {}).unwrap();
    }
    check(&open(folder.path()), &docs, &queries(4), "three segments");
    merge(folder.path(), Merge::All, LEAST_MEMORY, &|_| {}).unwrap().unwrap();
    let merged = open(folder.path());
    assert_eq!(merged.index().segments().len(), 1);
    check(&merged, &docs, &queries(4), "merged");
}
