//! The second stage on a GPU against the one on the processor: the same hits and counts for many random
//! cases, in every mode. Without a device it says so.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use quarry_index::tokens::Form;
use quarry_index::{Index, Verify};
use quarry_indexer::{
    BuildOptions, LEAST_MEMORY, Levels, Lists, TokenInput, TokenOptions, add_tokens, build,
    default_clusters, default_seismic,
};
use quarry_reranker::cuda::CudaError;
use quarry_reranker::{CpuReranker, Device, GpuReranker, open};
use quarry_searcher::{Hit, Rerank, RerankParams, RerankQuery, Reranked};
use quarry_vectors::{DocId, Document, InputVector, SparseVector, TokenEmbeddings};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value};
use tempfile::TempDir;

const DIMS: usize = 128;
const DOCUMENTS: usize = 3_000;
/// Cases of each mode; four modes.
const CASES: usize = 250;

fn rows(rng: &mut SmallRng, count: usize) -> TokenEmbeddings {
    let mut values = Vec::new();
    for _ in 0..count {
        let row: Vec<f32> = (0..DIMS).map(|_| rng.random_range(-1.0..1.0)).collect();
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        values.extend(row.into_iter().map(|v| v / norm));
    }
    TokenEmbeddings::new(DIMS, values).unwrap()
}

/// Documents of 0 to 180 rows, one of 2,000, some alike.
fn index() -> (TempDir, Arc<Index>) {
    let folder = tempfile::tempdir().unwrap();
    let options = BuildOptions {
        out: folder.path().to_path_buf(),
        overwrite: false,
        resume: false,
        memory: LEAST_MEMORY,
        seed: 7,
        levels: Levels::Auto,
        lists: Lists::NONE,
        seismic: default_seismic(),
        clusters: default_clusters(),
        shard_documents: 1 << 10,
        description: Map::new(),
        source: Value::Null,
        ids_are_unique: false,
        vocabulary: None,
        fields: std::collections::BTreeMap::new(),
    };
    let vector = SparseVector::from_pairs(vec![(0, 1.0)]).unwrap();
    let documents = (0..DOCUMENTS).map(|n| {
        let vector = Some(InputVector::Terms(vector.clone()));
        Ok::<_, Infallible>(Document { id: n.to_string(), vector, ..Document::default() })
    });
    build(documents, None, &options, &|_| {}).unwrap();
    let mut rng = SmallRng::seed_from_u64(3);
    let mut last = rows(&mut rng, 20);
    let mut read = |id: &str| {
        if id == "17" {
            return Ok(rows(&mut rng, 2_000));
        }
        if rng.random_range(0..5) > 0 {
            let count = if rng.random_range(0..12) == 0 { 0 } else { rng.random_range(1..=180) };
            last = rows(&mut rng, count);
        }
        Ok(last.clone())
    };
    let options = TokenOptions {
        forms: vec![Form::Int8, Form::Fp16],
        pool: 1,
        centroids: 4,
        replace: true,
        source: Value::Null,
    };
    add_tokens(folder.path(), &options, TokenInput::Rows(DIMS, &mut read), &|_| {}).unwrap();
    let index = Arc::new(Index::open(folder.path(), Verify::Full).unwrap());
    (folder, index)
}

fn candidates(rng: &mut SmallRng, count: usize) -> Vec<Hit> {
    let mut hits: Vec<Hit> = (0..count)
        .map(|at| {
            // Every document at most once.
            let doc = (at * 997 + rng.random_range(0..2) * 1_500) % DOCUMENTS;
            let score = f32::from(rng.random_range(-8i8..60)) * 0.25;
            Hit { segment: 0, doc: DocId(u32::try_from(doc).unwrap()), score }
        })
        .collect();
    hits.sort_by_key(|hit| hit.doc);
    hits.dedup_by_key(|hit| hit.doc);
    hits.sort_by(|a, b| {
        let (x, y) = (a.doc.0.to_string(), b.doc.0.to_string());
        quarry_vectors::better((a.score, x.as_bytes()), (b.score, y.as_bytes()))
    });
    hits
}

/// The same ranking but for documents whose fp16 scores differ by less than rounding.
fn alike(found: &Reranked, want: &Reranked, what: &str) {
    for (at, (a, b)) in found.hits.iter().zip(&want.hits).enumerate() {
        assert!((a.score - b.score).abs() < 1e-3, "{what}: {} and {}", a.score, b.score);
        let near = |hit: &&Hit| (hit.score - a.score).abs() < 1e-3;
        let moved = a.doc != b.doc;
        let last = want.hits.last().is_some_and(|hit| near(&hit));
        assert!(
            !moved || last || want.hits.iter().filter(near).any(|hit| hit.doc == a.doc),
            "{what}: place {at} has {a:?}, on the processor {b:?}"
        );
    }
}

#[test]
fn the_device_decides_as_the_processor() {
    let (_folder, index) = index();
    let gpu = match GpuReranker::new(Arc::clone(&index), false, None) {
        Ok(gpu) => gpu,
        Err(why @ (CudaError::NoDriver | CudaError::NoDevice)) => {
            eprintln!("skipped: {why}");
            assert!(
                open(Arc::clone(&index), Device::Cuda).is_err(),
                "asked for, not there: refused"
            );
            assert!(open(index, Device::Auto).is_ok(), "the processor takes over");
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
                    (rows(&mut rng, length), candidates(&mut rng, count))
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
            "{name}: {CASES} cases alike; {:.0} us a batch on the device, {:.0} on the processor; {} scored",
            on_gpu * 1e6 / (CASES / 5) as f64,
            on_cpu * 1e6 / (CASES / 5) as f64,
            scored
        );
    }
    let queries: Vec<TokenEmbeddings> = (0..8).map(|n| rows(&mut rng, 1 + 4 * n)).collect();
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
