//! Every method gives the same hits with the same scores, to the bit, by the kernels of every tier that
//! this processor has; a tier that it lacks is named.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::io::Write;
use std::sync::Arc;

use common::{built_of_segments, id, top, with_terms};
use quarry_indexer::{Levels, Lists};
use quarry_searcher::{Kernels, Method, Searcher, SparseParams};
use quarry_vectors::SparseVector;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const TIERS: [Kernels; 3] = [Kernels::Scalar, Kernels::Avx2, Kernels::Avx512];

fn some_vector(random: &mut SmallRng, terms: usize, wide: bool) -> SparseVector {
    let mut pairs: Vec<(u32, f32)> = (0..terms)
        .map(|_| {
            let at = random.random_range(0.0f32..1.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "below 400"
            )]
            let term = (at * at * 400.0) as u32 + if wide { 65_500 } else { 0 };
            (term, f32::from(random.random_range(1u8..250)) * 0.25)
        })
        .collect();
    pairs.sort_by_key(|pair| pair.0);
    pairs.dedup_by_key(|pair| pair.0);
    SparseVector::from_pairs(pairs).unwrap()
}

#[test]
fn every_tier_gives_the_same_hits() {
    let best = Kernels::detect();
    for tier in TIERS.into_iter().filter(|tier| *tier > best) {
        let line = format!("not run: kernels {} (this processor lacks them)\n", tier.name());
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    let mut random = SmallRng::seed_from_u64(15);
    // One byte a level, two bytes, four bytes a term.
    for (levels, wide) in [(Levels::Auto, false), (Levels::U16, false), (Levels::Auto, true)] {
        let mut number = 0;
        let collections = [700, 300].map(|count| {
            let one = |_| {
                number += 1;
                with_terms(&id(number), &some_vector(&mut random, 1 + number % 40, wide))
            };
            (0..count).map(one).collect()
        });
        let built = built_of_segments(Vec::from(collections), |options| {
            options.levels = levels;
            options.lists = Lists::These { impact: true, seismic: true, clusters: true };
            options.clusters.size = 16;
        });
        for _ in 0..20 {
            let query = some_vector(&mut random, 12, wide);
            for method in Method::ALL {
                for k in [1, 10, 200] {
                    let params = SparseParams { method, ..SparseParams::new(top(k)) };
                    let hits = |tier: Kernels| {
                        let index = Arc::clone(built.searcher.index());
                        let searcher = Searcher::new(index).with_kernels(tier);
                        assert_eq!(searcher.kernels(), tier);
                        let found = searcher.sparse(&query, &params).unwrap().hits;
                        found
                            .iter()
                            .map(|hit| (searcher.id(hit).to_owned(), hit.score.to_bits()))
                            .collect::<Vec<_>>()
                    };
                    let want = hits(Kernels::Scalar);
                    for tier in TIERS.into_iter().filter(|tier| *tier <= best) {
                        assert_eq!(hits(tier), want, "{tier:?} {method:?} {levels:?} {wide} {k}");
                    }
                }
            }
        }
    }
}
