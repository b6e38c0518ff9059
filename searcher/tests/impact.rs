//! Impact-ordered lists over several windows: exact stays exact, approximate nears it, whatever the
//! instructions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::num::NonZeroUsize;

use common::{Built, Random, built, thorough, top, vector, with_terms};
use quarry_indexer::{Levels, Lists};
use quarry_searcher::{
    CalibrationQueries, ChannelQuery, Kernels, Method, Options, SearchError, Searcher,
    SparseOptions, mean_overlap,
};
use quarry_vectors::SparseVector;

/// Two windows of 65,535 documents and some.
const DOCUMENTS: u32 = 140_000;

/// Common terms are dense lists, rare ones sparse; `sorted` puts the heaviest documents first, so
/// that the best of a query stand together.
fn collection(levels: Levels, sorted: bool) -> Built {
    let mut random = Random(7);
    let mut documents: Vec<Vec<(u32, f32)>> = (0..DOCUMENTS)
        .map(|_| {
            let mut terms: Vec<u32> = (0..6)
                .map(|_| {
                    if random.below(3) == 0 { random.below(20_000) + 50 } else { random.below(50) }
                })
                .collect();
            terms.sort_unstable();
            terms.dedup();
            let unit = if levels == Levels::U16 { 0.37 } else { 1.0 };
            terms.into_iter().map(|t| (t, (1 + random.below(255)) as f32 * unit)).collect()
        })
        .collect();
    if sorted {
        documents.sort_by(|a, b| {
            let sum = |d: &[(u32, f32)]| d.iter().map(|p| p.1).sum::<f32>();
            sum(b).total_cmp(&sum(a))
        });
    }
    let documents = documents.iter().enumerate();
    built(documents.map(|(n, d)| with_terms(&n.to_string(), &vector(d))).collect(), |o| {
        o.seal.lists = Lists::IMPACT;
        o.seal.levels = levels;
    })
}

fn queries() -> Vec<SparseVector> {
    let mut random = Random(11);
    (0..40)
        .map(|n| {
            let pairs = (0..1 + n % 12).map(|_| {
                let term =
                    if random.below(4) == 0 { random.below(20_050) } else { random.below(50) };
                (term, 0.05 + random.below(100) as f32 / 40.0)
            });
            SparseVector::from_pairs(pairs.collect::<Vec<_>>()).unwrap()
        })
        .collect()
}

fn kernels() -> impl Iterator<Item = Kernels> {
    [Kernels::Scalar, Kernels::Avx2, Kernels::Avx512]
        .into_iter()
        .filter(|k| *k <= Kernels::detect())
}

#[test]
fn exact_is_exact_over_windows() {
    for (levels, sorted) in [(Levels::Auto, false), (Levels::Auto, true), (Levels::U16, false)] {
        let built = collection(levels, sorted);
        for kernels in kernels() {
            let index = std::sync::Arc::clone(built.searcher.index());
            let searcher = Searcher::new(index).with_kernels(kernels);
            for query in queries() {
                for k in [1, 10, 1000] {
                    let scan = searcher
                        .search(&ChannelQuery::Sparse(&query), &thorough(k, Method::Scan))
                        .unwrap();
                    let exact = searcher
                        .search(&ChannelQuery::Sparse(&query), &thorough(k, Method::Exact))
                        .unwrap();
                    assert_eq!(exact.hits, scan.hits, "{kernels:?} {levels:?} k {k} {query:?}");
                }
            }
        }
    }
}

#[test]
fn approximate_nears_exact() {
    for sorted in [false, true] {
        let built = collection(Levels::Auto, sorted);
        let queries = queries();
        let exact = built
            .searcher
            .search_batch(
                &queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(),
                &thorough(10, Method::Exact),
            )
            .unwrap();
        let mut last = 0.0;
        for postings in [2_000, 20_000, 10_000_000] {
            let params = Options {
                sparse: SparseOptions {
                    method: Method::Impact,
                    postings: NonZeroUsize::new(postings),
                    candidates: NonZeroUsize::new(400),
                    ..SparseOptions::default()
                },
                ..Options::new(top(10))
            };
            let found = built
                .searcher
                .search_batch(
                    &queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(),
                    &params,
                )
                .unwrap();
            for kernels in kernels() {
                let index = std::sync::Arc::clone(built.searcher.index());
                let searcher = Searcher::new(index).with_kernels(kernels);
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
                "sorted {sorted}: {postings} postings give {overlap}, fewer {last}"
            );
            last = overlap;
        }
        assert!(last > 0.99, "sorted {sorted}: all postings give {last}");
    }
}

#[test]
fn edges() {
    let built = collection(Levels::Auto, false);
    for method in [Method::Impact, Method::Exact] {
        let empty = built
            .searcher
            .search(&ChannelQuery::Sparse(&SparseVector::default()), &thorough(5, method))
            .unwrap();
        assert!(empty.hits.is_empty());
        let unknown = built
            .searcher
            .search(&ChannelQuery::Sparse(&vector(&[(4_000_000, 1.0)])), &thorough(5, method));
        assert!(unknown.unwrap().hits.is_empty());
        // As many terms as a request may have, and more than sums have room for.
        for terms in [4_096, 20_000] {
            let many: Vec<(u32, f32)> = (0..terms).map(|t| (t, 1.0 + t as f32 / 1e4)).collect();
            let scan = built
                .searcher
                .search(&ChannelQuery::Sparse(&vector(&many)), &thorough(10, Method::Scan))
                .unwrap();
            let found = built
                .searcher
                .search(&ChannelQuery::Sparse(&vector(&many)), &thorough(10, method))
                .unwrap();
            assert_eq!(found.hits.len(), 10);
            if method == Method::Exact {
                assert_eq!(found.hits, scan.hits);
            }
        }
        let all = thorough(DOCUMENTS as usize + 5, method);
        let query = vector(&[(3, 1.0)]);
        let matching = built
            .searcher
            .search(&ChannelQuery::Sparse(&query), &thorough(200_000, Method::Scan))
            .unwrap();
        assert_eq!(
            built.searcher.search(&ChannelQuery::Sparse(&query), &all).unwrap().hits.len(),
            matching.hits.len()
        );
    }
    // The largest numbers that can be asked for.
    let most = Options {
        k: NonZeroUsize::MAX,
        sparse: SparseOptions {
            postings: Some(NonZeroUsize::MAX),
            candidates: Some(NonZeroUsize::MAX),
            ..thorough(1, Method::Impact).sparse
        },
        ..thorough(1, Method::Impact)
    };
    for method in [Method::Impact, Method::Exact, Method::Auto] {
        let params = Options { sparse: SparseOptions { method, ..most.sparse }, ..most };
        let scan =
            Options { sparse: SparseOptions { method: Method::Scan, ..most.sparse }, ..most };
        let query = vector(&[(3, 1.0), (9, 0.5)]);
        let want = built.searcher.search(&ChannelQuery::Sparse(&query), &scan).unwrap();
        assert_eq!(
            built.searcher.search(&ChannelQuery::Sparse(&query), &params).unwrap().hits,
            want.hits,
            "{method:?}"
        );
    }
    // Scores that f32 holds only roughly.
    for weight in [1e-41, 1e-44, 1e37] {
        let query = vector(&[(3, weight), (9, weight / 2.0)]);
        let want = built
            .searcher
            .search(&ChannelQuery::Sparse(&query), &thorough(10, Method::Scan))
            .unwrap();
        let found = built
            .searcher
            .search(&ChannelQuery::Sparse(&query), &thorough(10, Method::Exact))
            .unwrap();
        assert_eq!(found.hits, want.hits, "{weight}");
    }
    for overlap in [0.0, -1.0, 1.5, f32::NAN] {
        let params = Options {
            sparse: SparseOptions { overlap, ..thorough(3, Method::Auto).sparse },
            ..thorough(3, Method::Auto)
        };
        let error = built
            .searcher
            .search(&ChannelQuery::Sparse(&vector(&[(3, 1.0)])), &params)
            .unwrap_err();
        assert!(matches!(error, SearchError::Param { name: "overlap", .. }), "{error:?}");
    }
}

/// With a table, the wanted overlap decides; without, and above all that was measured, exact.
#[test]
fn a_table_decides() {
    let built = collection(Levels::Auto, false);
    let tables =
        quarry_searcher::calibrate(&built.searcher, CalibrationQueries::MadeVectors, 3, &|_| {})
            .unwrap();
    let table = tables[0].as_ref().unwrap();
    assert_eq!(table.source, "documents");
    for curve in &table.curves {
        assert!(curve.points.windows(2).all(|w| w[0].micros <= w[1].micros));
        assert!(curve.points.windows(2).all(|w| w[0].overlap < w[1].overlap));
    }
    assert!(["exact", "impact"].iter().all(|m| table.curves.iter().any(|c| c.method == *m)));
    let params = Options {
        sparse: SparseOptions { overlap: 1.0, ..SparseOptions::default() },
        ..Options::new(top(10))
    };
    let found = built.searcher.search(&ChannelQuery::Sparse(&queries()[7]), &params).unwrap();
    assert_eq!(found.method, Method::Exact);
}

/// Postings that no checksum guards may give wrong answers, never a panic or a hit that is not there.
#[test]
fn damaged_postings_are_survived() {
    let mut random = Random(5);
    let documents: Vec<_> = (0..3000u32)
        .map(|n| {
            with_terms(
                &n.to_string(),
                &vector(&[(n % 3, 2.0), (3 + n % 400, 1.0 + (n % 5) as f32)]),
            )
        })
        .collect();
    let built = built(documents, |o| o.seal.lists = Lists::IMPACT);
    let folder = built.index().folder().to_path_buf();
    let part = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.to_string_lossy().contains("-impact"))
        .unwrap();
    let whole = std::fs::read(&part).unwrap();
    let mut opened = 0;
    for _ in 0..300 {
        let mut spoilt = whole.clone();
        for _ in 0..20 {
            let at = 64 + random.below(9_000) as usize;
            spoilt[at] = u8::try_from(random.below(256)).unwrap();
        }
        // A new file: the mapping of the old one is left alone.
        std::fs::remove_file(&part).unwrap();
        std::fs::write(&part, &spoilt).unwrap();
        let Ok(index) = quarry_index::Index::open(&folder, quarry_index::Verify::Envelope) else {
            continue;
        };
        opened += 1;
        let searcher = Searcher::new(std::sync::Arc::new(index));
        for method in [Method::Impact, Method::Exact] {
            let query = vector(&[(0, 1.0), (1, 0.5), (2, 0.1), (7, 2.0), (100, 3.0)]);
            let found =
                searcher.search(&ChannelQuery::Sparse(&query), &thorough(20, method)).unwrap();
            assert!(found.hits.iter().all(|h| h.doc.0 < 3000));
        }
    }
    assert!(opened > 100, "{opened} of 300 opened");
}
