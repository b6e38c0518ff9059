//! Every method gives the same hits with the same scores, to the bit, by the kernels of every tier that
//! this processor has; a tier that it lacks is named.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a test fails by it")]

mod common;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use common::{Built, built_of_segments, id, top, with_terms};
use quarry_index::{Index, Verify};
use quarry_indexer::{Levels, Lists};
use quarry_searcher::{ChannelQuery, Kernels, Method, Options, Outcome, Searcher, SparseOptions};
use quarry_vectors::SparseVector;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const TIERS: [Kernels; 3] = [Kernels::Scalar, Kernels::Avx2, Kernels::Avx512];

/// The tiers that this processor has.
fn tiers() -> Vec<Kernels> {
    let (found, lacking): (Vec<_>, Vec<_>) =
        TIERS.into_iter().partition(|tier| *tier <= Kernels::detect());
    for tier in lacking {
        let line = format!("not run: kernels {} (this processor lacks them)\n", tier.name());
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    found
}

/// What a collection is made of.
#[derive(Debug, Clone, Copy)]
struct Shape {
    levels: Levels,
    /// Term ids from 65,500 on, so that they take four bytes.
    wide: bool,
    /// One weight in 200 is far above the others, so that there are scaled terms.
    heavy: bool,
}

fn some_vector(random: &mut SmallRng, terms: usize, shape: Shape) -> SparseVector {
    let mut pairs: Vec<(u32, f32)> = (0..terms)
        .map(|_| {
            let at = random.random_range(0.0f32..1.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "below 400"
            )]
            let term = (at * at * 400.0) as u32 + if shape.wide { 65_500 } else { 0 };
            let weight = f32::from(random.random_range(1u8..250)) * 0.25;
            let heavy = shape.heavy && random.random_ratio(1, 200);
            (term, if heavy { 65_504.0 } else { weight })
        })
        .collect();
    pairs.sort_by_key(|pair| pair.0);
    pairs.dedup_by_key(|pair| pair.0);
    SparseVector::from_pairs(pairs).unwrap()
}

/// Two segments with all lists.
fn collection(random: &mut SmallRng, shape: Shape) -> Built {
    let mut number = 0;
    let segments = [700, 300].map(|count| {
        let one = |_| {
            number += 1;
            with_terms(&id(number), &some_vector(random, 1 + number % 40, shape))
        };
        (0..count).map(one).collect()
    });
    built_of_segments(Vec::from(segments), |options| {
        options.seal.levels = shape.levels;
        options.seal.lists = Lists::These { impact: true, seismic: true, clusters: true };
        options.seal.clusters.size = 16;
    })
}

fn bits(searcher: &Searcher, outcomes: &[Outcome]) -> Vec<Vec<(String, u64)>> {
    let hits = |outcome: &Outcome| {
        let bits = |hit: &_| (searcher.id(hit).to_owned(), hit.score.to_bits());
        outcome.hits.iter().map(bits).collect()
    };
    outcomes.iter().map(hits).collect()
}

/// Asks alone and together, at several k, by every method; how many hits there were.
fn assert_alike(index: &Arc<Index>, queries: &[SparseVector], what: &str) -> usize {
    let mut hits = 0;
    // An index without a kind of lists refuses its method by whatever kernels.
    let clusters = index.segments().iter().all(|segment| segment.clusters().is_some());
    for method in Method::ALL.into_iter().filter(|method| clusters || *method != Method::Clusters) {
        for k in [1, 10, 200] {
            let params = Options {
                sparse: SparseOptions { method, ..SparseOptions::default() },
                ..Options::new(top(k))
            };
            let ask = |tier: Kernels| {
                let searcher = Searcher::new(Arc::clone(index)).with_kernels(tier);
                assert_eq!(searcher.kernels(), tier);
                let alone: Vec<Outcome> = queries
                    .iter()
                    .map(|q| searcher.search(&ChannelQuery::Sparse(q), &params).unwrap())
                    .collect();
                let together = searcher
                    .search_batch(
                        &queries.iter().map(ChannelQuery::Sparse).collect::<Vec<_>>(),
                        &params,
                    )
                    .unwrap();
                let alone = bits(&searcher, &alone);
                assert_eq!(bits(&searcher, &together), alone, "{tier:?} {method:?} {what} {k}");
                alone
            };
            let want = ask(Kernels::Scalar);
            hits += want.iter().map(Vec::len).sum::<usize>();
            for tier in tiers() {
                assert_eq!(ask(tier), want, "{tier:?} {method:?} {what} {k}");
            }
        }
    }
    hits
}

#[test]
fn every_tier_gives_the_same_hits() {
    let mut random = SmallRng::seed_from_u64(15);
    let shape = |levels, wide, heavy| Shape { levels, wide, heavy };
    // One byte a level, two bytes, four bytes a term, scaled terms.
    let shapes = [
        shape(Levels::Auto, false, false),
        shape(Levels::U16, false, false),
        shape(Levels::Auto, true, false),
        shape(Levels::Auto, false, true),
    ];
    for shape in shapes {
        let built = collection(&mut random, shape);
        let scaled = |s: &quarry_index::Segment| !s.forward().unwrap().scaled().is_empty();
        assert_eq!(built.index().segments().iter().all(scaled), shape.heavy, "{shape:?}");
        let plain = Shape { heavy: false, ..shape };
        let queries: Vec<_> = (0..20).map(|_| some_vector(&mut random, 12, plain)).collect();
        let hits = assert_alike(built.searcher.index(), &queries, &format!("{shape:?}"));
        assert!(hits > 10_000, "{hits}");
    }
}

#[test]
fn every_tier_gives_the_same_hits_of_the_golden_indexes() {
    for name in ["golden-v1", "golden-all"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../index/testdata").join(name);
        let index = Arc::new(Index::open(&folder, Verify::Full).unwrap());
        let terms = index.lexicon().unwrap().len();
        let mut queries: Vec<_> =
            (0..terms).map(|term| SparseVector::from_pairs([(term, 1.5)]).unwrap()).collect();
        let all = (0..terms).zip((1u8..).map(|n| 0.25 * f32::from(n)));
        queries.push(SparseVector::from_pairs(all).unwrap());
        assert!(assert_alike(&index, &queries, name) > 100, "{name}");
    }
}
