//! What goes wrong on a GPU, without one: `driver/libcuda.cpp` stands in for the driver, with the kernels'
//! own sources on the host's memory. Each case runs in a process of its own, which finds that library
//! where the driver's would be. Needs g++ and Linux; elsewhere the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "tests")]

mod shared;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use quarry_index::Index;
use quarry_reranker::{CpuReranker, Device, GpuReranker, open};
use quarry_searcher::{Hit, Rerank, RerankParams, RerankQuery, Reranked, SearchError};
use quarry_vectors::TokenEmbeddings;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use shared::{alike, candidates, rows};

const DIMS: usize = 32;
const DOCUMENTS: usize = 160;

/// Folders with the driver of the tests, and with a library that lacks its calls.
fn drivers() -> Option<&'static [PathBuf; 2]> {
    static MADE: OnceLock<Option<[PathBuf; 2]>> = OnceLock::new();
    MADE.get_or_init(|| {
        let found = Command::new("g++").arg("--version").stdout(Stdio::null()).status();
        if !cfg!(target_os = "linux") || !found.is_ok_and(|s| s.success()) {
            eprintln!("skipped: the driver of the tests needs g++ and Linux");
            return None;
        }
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let empty = base.join("empty.cpp");
        std::fs::write(&empty, "extern \"C\" int cuInit(unsigned) { return 0; }\n").unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/driver/libcuda.cpp");
        Some([("driver", source), ("empty", empty)].map(|(name, source)| {
            let folder = base.join(name);
            std::fs::create_dir_all(&folder).unwrap();
            let options = [
                "-std=c++17",
                "-O1",
                "-ffp-contract=off",
                "-U_FORTIFY_SOURCE",
                "-Wall",
                "-Wno-unknown-pragmas",
                "-Werror",
                "-shared",
                "-fPIC",
            ];
            let library = folder.join("libcuda.so");
            let done =
                Command::new("g++").args(options).arg(source).arg("-o").arg(&library).status();
            assert!(done.unwrap().success(), "the driver of the tests does not compile");
            folder
        }))
    })
    .as_ref()
}

/// Runs a case with the driver's settings and gives what it logged; `None` where there is no driver.
fn case(name: &str, driver: usize, settings: &[(&str, &str)]) -> Option<String> {
    let folder = &drivers()?[driver];
    let faults = tempfile::NamedTempFile::new().unwrap();
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_case", "--ignored", "--nocapture"])
        .env("LD_LIBRARY_PATH", folder)
        .env("RERANKER_CASE", name)
        .env("DRIVER_FAULTS", faults.path())
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let out = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && out.contains("1 passed"), "{name}: {said}{out}");
    Some(said)
}

/// Lets a call of the driver fail until it is told otherwise.
fn fail(fault: &str) {
    std::fs::write(std::env::var("DRIVER_FAULTS").unwrap(), fault).unwrap();
}

/// Why a device was not used.
fn refusal(opened: Result<Arc<dyn Rerank>, SearchError>) -> String {
    match opened {
        Ok(reranker) => panic!("it is used: {}", reranker.device()),
        Err(why) => why.to_string(),
    }
}

fn k(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

/// Documents of up to four rows, some without, some alike, one of forty.
fn index() -> (TempDir, Arc<Index>) {
    let mut rng = SmallRng::seed_from_u64(3);
    let mut last = rows(&mut rng, DIMS, 2);
    shared::index(DOCUMENTS, DIMS, &mut |id| {
        if id == "17" {
            return rows(&mut rng, DIMS, 40);
        }
        if rng.random_range(0..5) > 0 {
            let count = rng.random_range(0..=4);
            last = rows(&mut rng, DIMS, count);
        }
        last.clone()
    })
}

struct Batch(Vec<(TokenEmbeddings, Vec<Hit>)>);

impl Batch {
    fn new(rng: &mut SmallRng, count: usize) -> Self {
        let one = |_| {
            let length = rng.random_range(1..=40);
            (rows(rng, DIMS, length), candidates(rng, DOCUMENTS, 60))
        };
        Self((0..count).map(one).collect())
    }

    fn queries(&self) -> Vec<RerankQuery<'_>> {
        self.0.iter().map(|(tokens, candidates)| RerankQuery { tokens, candidates }).collect()
    }
}

fn bits(found: &[Reranked]) -> Vec<Vec<(u32, u64)>> {
    let one = |r: &Reranked| r.hits.iter().map(|h| (h.doc.0, h.score.to_bits())).collect();
    found.iter().map(one).collect()
}

/// Both answer alike, to the bit.
fn same(gpu: &dyn Rerank, cpu: &CpuReranker, batch: &Batch, params: &RerankParams) {
    let found = gpu.rerank(&batch.queries(), params).unwrap();
    let want = cpu.rerank(&batch.queries(), params).unwrap();
    assert_eq!(bits(&found), bits(&want));
    for (found, want) in found.iter().zip(&want) {
        assert_eq!(found.stats.pruned, want.stats.pruned);
    }
}

#[test]
#[ignore = "the other tests run it, over a driver of their own"]
fn a_case() {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
    log.init();
    let name = std::env::var("RERANKER_CASE").unwrap();
    let (_folder, index) = index();
    let cpu = CpuReranker::new(Arc::clone(&index)).unwrap();
    let mut rng = SmallRng::seed_from_u64(5);
    let all = RerankParams::new(k(10));
    match name.as_str() {
        "alike" => as_the_processor(&index, &cpu),
        "near ties" => near_ties(),
        "unusable" => {
            let why = refusal(open(Arc::clone(&index), Device::Cuda, None));
            eprintln!("refused: {why}");
            assert!(why.contains("use --device auto or cpu"), "{why}");
            let made = open(Arc::clone(&index), Device::Auto, None).unwrap();
            assert!(made.device().starts_with("cpu"), "{}", made.device());
            same(made.as_ref(), &cpu, &Batch::new(&mut rng, 2), &all);
        }
        "kernel" => {
            let gpu = GpuReranker::new(Arc::clone(&index), false, None).unwrap();
            let batch = Batch::new(&mut rng, 3);
            same(&gpu, &cpu, &batch, &all);
            let call = std::env::var("FAULT").unwrap();
            fail(&call);
            same(&gpu, &cpu, &batch, &all);
            fail("");
            eprintln!("now on {}", gpu.device());
            assert!(gpu.device().contains("in place of a device of tests, which failed"));
            same(&gpu, &cpu, &batch, &RerankParams::pruned(k(5)));
            exhaustive(&gpu, &cpu, &mut rng, &all);
        }
        "exhaustive kernel" => {
            let gpu = GpuReranker::new(Arc::clone(&index), false, None).unwrap();
            exhaustive(&gpu, &cpu, &mut rng, &all);
            fail("cuStreamSynchronize:700");
            exhaustive(&gpu, &cpu, &mut rng, &all);
            fail("");
            assert!(gpu.device().contains("in place of"), "{}", gpu.device());
            exhaustive(&gpu, &cpu, &mut rng, &all);
        }
        "memory of a query" => {
            let gpu = GpuReranker::new(Arc::clone(&index), false, None).unwrap();
            fail("cuMemAlloc:2");
            same(&gpu, &cpu, &Batch::new(&mut rng, 40), &all);
            exhaustive(&gpu, &cpu, &mut rng, &all);
            fail("");
            assert!(gpu.device().starts_with("cuda"), "it is not broken: {}", gpu.device());
            same(&gpu, &cpu, &Batch::new(&mut rng, 40), &all);
        }
        "memory of the rows" => {
            let gpu = GpuReranker::new(Arc::clone(&index), false, None).unwrap();
            assert!((1..DOCUMENTS).contains(&gpu.resident()), "{}", gpu.resident());
            assert!(gpu.device().contains(&format!("{} of {DOCUMENTS} documents", gpu.resident())));
            same(&gpu, &cpu, &Batch::new(&mut rng, 3), &all);
            same(&gpu, &cpu, &Batch::new(&mut rng, 3), &RerankParams::pruned(k(5)));
            exhaustive(&gpu, &cpu, &mut rng, &all);
        }
        "budget" => {
            let some = GpuReranker::new(Arc::clone(&index), false, Some(9 << 10)).unwrap();
            assert!((1..DOCUMENTS).contains(&some.resident()), "{}", some.resident());
            same(&some, &cpu, &Batch::new(&mut rng, 3), &all);
            let none = refusal(open(Arc::clone(&index), Device::Cuda, Some(100)));
            assert!(none.contains("--device-memory"), "{none}");
        }
        other => panic!("no case is called {other}"),
    }
}

fn exhaustive(gpu: &dyn Rerank, cpu: &CpuReranker, rng: &mut SmallRng, params: &RerankParams) {
    let queries: Vec<TokenEmbeddings> = (0..4).map(|n| rows(rng, DIMS, 3 + 19 * n)).collect();
    let queries: Vec<&TokenEmbeddings> = queries.iter().collect();
    let found = gpu.exhaustive(&queries, params).unwrap();
    let want = cpu.exhaustive(&queries, params).unwrap();
    assert_eq!(bits(&found), bits(&want), "exhaustive");
}

/// Every mode, a device that holds all rows and one that holds a part.
fn as_the_processor(index: &Arc<Index>, cpu: &CpuReranker) {
    let whole = GpuReranker::new(Arc::clone(index), false, None).unwrap();
    let part = GpuReranker::new(Arc::clone(index), false, Some(12 << 10)).unwrap();
    assert_eq!(whole.resident(), DOCUMENTS);
    assert!(part.resident() < DOCUMENTS);
    let mut rng = SmallRng::seed_from_u64(9);
    let early = RerankParams { beta: Some(k(3)), weight: 0.1, ..RerankParams::new(k(6)) };
    for gpu in [&whole, &part] {
        for params in [RerankParams::new(k(10)), RerankParams::pruned(k(7)), early] {
            same(gpu, cpu, &Batch::new(&mut rng, 4), &params);
        }
        let exact = RerankParams { exact: true, ..RerankParams::new(k(10)) };
        let batch = Batch::new(&mut rng, 4);
        let found = gpu.rerank(&batch.queries(), &exact).unwrap();
        let want = cpu.rerank(&batch.queries(), &exact).unwrap();
        for (found, want) in found.iter().zip(&want) {
            alike(found, want, "exact");
        }
        exhaustive(gpu, cpu, &mut rng, &RerankParams::new(k(10)));
    }
    // The one that is measured first, as `--device auto` does.
    let auto = GpuReranker::new(Arc::clone(index), true, None).unwrap();
    same(&auto, cpu, &Batch::new(&mut rng, 4), &RerankParams::new(k(10)));
}

/// Documents whose scores are the same sum in another order: which are best depends on roundings alone,
/// and the device adds long queries up in another order.
fn near_ties() {
    let shifted =
        |row: &[f32], by: usize| -> Vec<f32> { (0..DIMS).map(|d| row[(d + by) % DIMS]).collect() };
    let mut rng = SmallRng::seed_from_u64(21);
    let base = rows(&mut rng, DIMS, 4);
    let (_folder, index) = shared::index(4 * DIMS, DIMS, &mut |id| {
        let n: usize = id.parse().unwrap();
        let row = base.rows().nth(n / DIMS).unwrap();
        TokenEmbeddings::new(DIMS, shifted(row, n)).unwrap()
    });
    let cpu = CpuReranker::new(Arc::clone(&index)).unwrap();
    let gpu = GpuReranker::new(Arc::clone(&index), false, None).unwrap();
    let queries: Vec<TokenEmbeddings> = (0..4)
        .map(|_| {
            let row = rows(&mut rng, DIMS, 1);
            let row = row.rows().next().unwrap().to_vec();
            let values = (0..2 * DIMS).flat_map(|n| shifted(&row, n)).collect();
            TokenEmbeddings::new(DIMS, values).unwrap()
        })
        .collect();
    let queries: Vec<&TokenEmbeddings> = queries.iter().collect();
    for n in [3, 10] {
        let params = RerankParams::new(k(n));
        let found = gpu.exhaustive(&queries, &params).unwrap();
        let want = cpu.exhaustive(&queries, &params).unwrap();
        assert_eq!(bits(&found), bits(&want), "the {n} best");
        let all = cpu.exhaustive(&queries, &RerankParams::new(k(40))).unwrap();
        for all in &all {
            let apart = all.hits[0].score - all.hits[31].score;
            assert!(apart < 1e-4, "the case has no near ties: {apart}");
        }
    }
}

#[test]
fn the_driver_of_the_tests_gives_what_the_processor_gives() {
    case("alike", 0, &[]);
}

#[test]
fn near_ties_of_long_queries_are_decided_as_on_the_processor() {
    case("near ties", 0, &[]);
}

#[test]
fn a_kernel_error_is_redone_on_the_processor_which_goes_on() {
    for fault in ["cuLaunchKernel:719", "cuStreamSynchronize:700", "cuMemcpyHtoDAsync:700"] {
        let Some(said) = case("kernel", 0, &[("FAULT", fault)]) else { return };
        assert!(said.contains("the CPU reranks this batch instead"), "{said}");
        assert!(said.contains("now on cpu"), "{said}");
    }
    let Some(said) = case("exhaustive kernel", 0, &[]) else { return };
    assert!(said.contains("an illegal memory access was encountered"), "{said}");
}

#[test]
fn too_little_memory_for_a_batch_leaves_it_to_the_processor() {
    let Some(said) = case("memory of a query", 0, &[]) else { return };
    assert!(said.contains("bytes left") && said.contains("the CPU reranks"), "{said}");
}

#[test]
fn too_little_memory_for_the_rows_keeps_some_of_them() {
    // It calls a gigabyte free, and refuses a few thousand bytes three times.
    let settings = [("DRIVER_REFUSE", "4000:3")];
    let Some(said) = case("memory of the rows", 0, &settings) else { return };
    assert!(said.contains("fewer documents' int8 rows go up"), "{said}");
    assert!(said.contains("the CPU scores the others"), "{said}");
}

#[test]
fn a_budget_is_kept() {
    case("budget", 0, &[]);
}

#[test]
fn a_driver_that_cannot_be_used_is_refused_or_replaced() {
    let faults = |fault: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), fault).unwrap();
        file
    };
    let init = faults("cuInit:999");
    let module = faults("cuModuleLoadData:209");
    let cases = [
        (0, ("DRIVER_VERSION", "11080"), "supports CUDA 11.8, 12.0 is needed"),
        (0, ("DRIVER_DEVICES", "0"), "sees no device"),
        (0, ("DRIVER_FAULTS", init.path().to_str().unwrap()), "cuInit failed"),
        (0, ("DRIVER_FAULTS", module.path().to_str().unwrap()), "cuModuleLoadData failed"),
        (0, ("DRIVER_WRONG", "1"), "self-test"),
        (1, ("DRIVER_WRONG", "0"), "the CUDA driver has no cuDriverGetVersion"),
    ];
    for (driver, setting, why) in cases {
        let Some(said) = case("unusable", driver, &[setting]) else { return };
        assert!(said.contains(why), "{setting:?}: {said}");
        assert!(said.contains("reranking runs on the CPU: "), "{setting:?}: {said}");
        assert_eq!(said.matches("reranking runs on the CPU").count(), 1, "one line");
    }
}
