//! The second stage on a GPU against the one on the CPU: the same hits and counts for many random
//! cases, in every mode. Without a device it says so.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod shared;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use quarry_index::Index;
use quarry_reranker::cuda::CudaError;
use quarry_reranker::{CpuReranker, Device, GpuReranker, open};
use quarry_searcher::{Hit, Rerank, RerankParams, RerankQuery, Reranked};
use quarry_vectors::TokenEmbeddings;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use shared::{alike, candidates, rows};

const DIMS: usize = 128;
const DOCUMENTS: usize = 3_000;
/// Cases of each mode; four modes.
const CASES: usize = 250;

/// Documents of 0 to 180 rows, one of 2,000, some alike.
fn index() -> (TempDir, Arc<Index>) {
    let mut rng = SmallRng::seed_from_u64(3);
    let mut last = rows(&mut rng, DIMS, 20);
    let mut read = |id: &str| {
        if id == "17" {
            return rows(&mut rng, DIMS, 2_000);
        }
        if rng.random_range(0..5) > 0 {
            let count = if rng.random_range(0..12) == 0 { 0 } else { rng.random_range(1..=180) };
            last = rows(&mut rng, DIMS, count);
        }
        last.clone()
    };
    shared::index(DOCUMENTS, DIMS, &mut read)
}

#[test]
fn the_device_decides_as_the_processor() {
    let (_folder, index) = index();
    let gpu = match GpuReranker::new(Arc::clone(&index), false, None) {
        Ok(gpu) => gpu,
        Err(why @ (CudaError::NoDriver | CudaError::NoDevice)) => {
            eprintln!("skipped: {why}");
            assert!(
                open(Arc::clone(&index), Device::Cuda, None).is_err(),
                "asked for, not there: refused"
            );
            assert!(open(index, Device::Auto, None).is_ok(), "the CPU takes over");
            return;
        }
        Err(why) => panic!("{why}"),
    };
    eprintln!("{}", gpu.device());
    let cpu = CpuReranker::new(Arc::clone(&index)).unwrap();
    // A device that holds a part of the rows only.
    let part = GpuReranker::new(Arc::clone(&index), false, Some(20 << 20)).unwrap();
    assert!(part.resident() < DOCUMENTS, "{} of {DOCUMENTS}", part.resident());
    let mut rng = SmallRng::seed_from_u64(11);
    let k = |n| NonZeroUsize::new(n).unwrap();
    let modes = [
        ("all scored", RerankParams::new(k(10))),
        ("pruned", RerankParams { k: k(7), ..RerankParams::pruned(k(7)) }),
        ("early exit", RerankParams { beta: Some(k(4)), weight: 0.1, ..RerankParams::new(k(10)) }),
        ("exact", RerankParams { exact: true, ..RerankParams::new(k(10)) }),
    ];
    for (name, params) in modes {
        let (mut on_gpu, mut on_cpu, mut scored) = (0.0, 0.0, 0);
        for case in 0..CASES / 5 {
            let batch: Vec<(TokenEmbeddings, Vec<Hit>)> = (0..5)
                .map(|_| {
                    let count = [3, 60, 400][case % 3];
                    let length = rng.random_range(1..=40);
                    (rows(&mut rng, DIMS, length), candidates(&mut rng, DOCUMENTS, count))
                })
                .collect();
            let queries: Vec<RerankQuery<'_>> = batch
                .iter()
                .map(|(tokens, candidates)| RerankQuery { tokens, candidates })
                .collect();
            let timed = |reranker: &dyn Rerank, sum: &mut f64| -> Vec<Reranked> {
                let started = Instant::now();
                let found = reranker.rerank(&queries, &params).unwrap();
                *sum += started.elapsed().as_secs_f64();
                found
            };
            let want = timed(&cpu, &mut on_cpu);
            for (which, found) in [
                ("all", timed(&gpu, &mut on_gpu)),
                ("a part", part.rerank(&queries, &params).unwrap()),
            ] {
                for (found, want) in found.iter().zip(&want) {
                    assert_eq!(found.hits.len(), want.hits.len(), "{name}, case {case}, {which}");
                    if params.exact {
                        alike(found, want, &format!("{name}, case {case}, {which}"));
                    } else {
                        let bits = |r: &Reranked| {
                            r.hits.iter().map(|h| (h.doc, h.score.to_bits())).collect::<Vec<_>>()
                        };
                        assert_eq!(bits(found), bits(want), "{name}, case {case}, {which}");
                    }
                    assert_eq!(found.stats.pruned, want.stats.pruned, "{name}, case {case}");
                    scored += found.stats.scored;
                }
            }
        }
        eprintln!(
            "{name}: {CASES} cases alike; {:.0} us a batch on the device, {:.0} on the CPU; {} scored",
            on_gpu * 1e6 / (CASES / 5) as f64,
            on_cpu * 1e6 / (CASES / 5) as f64,
            scored
        );
    }
    let queries: Vec<TokenEmbeddings> = (0..8).map(|n| rows(&mut rng, DIMS, 1 + 4 * n)).collect();
    let queries: Vec<&TokenEmbeddings> = queries.iter().collect();
    let params = RerankParams::new(k(20));
    let want = cpu.exhaustive(&queries, &params).unwrap();
    for reranker in [&gpu, &part] {
        let found = reranker.exhaustive(&queries, &params).unwrap();
        for (found, want) in found.iter().zip(&want) {
            assert_eq!(found.hits, want.hits, "exhaustive");
        }
    }
    let exact = RerankParams { exact: true, ..params };
    let want = cpu.exhaustive(&queries, &exact).unwrap();
    let found = gpu.exhaustive(&queries, &exact).unwrap();
    for (found, want) in found.iter().zip(&want) {
        alike(found, want, "exhaustive over fp16");
    }
}
