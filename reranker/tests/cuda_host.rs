//! The CUDA kernels' very sources, compiled for the host (`cuda/host.h`), against MaxSim as written
//! down. Needs g++; without one the tests say so and pass.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "tests"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// The compiled kernels; `None` without a compiler.
fn host() -> Option<&'static Path> {
    static HOST: OnceLock<Option<PathBuf>> = OnceLock::new();
    HOST.get_or_init(|| {
        if !Command::new("g++")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
        {
            eprintln!(
                "skipped: g++ is not installed, so the kernels cannot be compiled for the host"
            );
            return None;
        }
        let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("maxsim-host");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/cuda/host.cpp");
        let options = [
            "-std=c++17",
            "-O1",
            "-ffp-contract=off",
            "-U_FORTIFY_SOURCE",
            "-Wall",
            "-Wno-unknown-pragmas",
            "-Werror",
        ];
        let done = Command::new("g++").args(options).arg(source).arg("-o").arg(&binary).status();
        assert!(done.unwrap().success(), "the kernels do not compile for the host");
        Some(binary)
    })
    .as_deref()
}

/// Runs a kernel; gives all fields back.
fn run(
    kernel: &str,
    grid: (usize, usize),
    threads: usize,
    shared: usize,
    fields: &[Vec<u8>],
) -> Vec<Vec<u8>> {
    let mut child = Command::new(host().unwrap())
        .arg(kernel)
        .args([grid.0, grid.1, threads, shared].map(|n| n.to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = Vec::new();
    for field in fields {
        input.extend((field.len() as u64).to_le_bytes());
        input.extend(field);
    }
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{kernel} failed");
    let mut rest = &output.stdout[..];
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        fields.push(rest[8..8 + length].to_vec());
        rest = &rest[8 + length..];
    }
    fields
}

fn bytes<T: bytemuck::Pod>(values: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(values).to_vec()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Rows of queries and documents, in bytes with a scale and an error, or in halves.
struct Case {
    dims: usize,
    starts: Vec<u64>,
    docs: Vec<i8>,
    scales: Vec<f32>,
    errors: Vec<f32>,
    half_docs: Vec<u16>,
    queries: Vec<Query>,
}

struct Query {
    rows: usize,
    values: Vec<i8>,
    scales: Vec<f32>,
    reach: Vec<f32>,
    halves: Vec<u16>,
}

/// Lengths that touch every edge: empty, one token, a tile more or less, long.
const LENGTHS: [u64; 20] = [0, 1, 2, 7, 8, 9, 0, 15, 16, 17, 24, 40, 63, 64, 65, 80, 1, 0, 131, 0];

fn case(dims: usize, rows: &[usize], seed: u64) -> Case {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut starts = vec![0];
    for length in LENGTHS {
        starts.push(starts.last().unwrap() + length);
    }
    let tokens = *starts.last().unwrap() as usize;
    let half = |r: &mut SmallRng| half::f16::from_f32(r.random_range(-0.2..0.2f32)).to_bits();
    let mut byte = |n: usize| (0..n).map(|_| random.random_range(-127..=127i8)).collect::<Vec<_>>();
    let docs = byte(tokens * dims);
    let values: Vec<Vec<i8>> = rows.iter().map(|rows| byte(rows * dims)).collect();
    let mut some =
        |n: usize| (0..n).map(|_| random.random_range(1e-4..2e-3f32)).collect::<Vec<_>>();
    let (scales, errors) = (some(tokens), some(tokens));
    let queries: Vec<(Vec<f32>, Vec<f32>)> = rows.iter().map(|n| (some(*n), some(*n))).collect();
    let half_docs = (0..tokens * dims).map(|_| half(&mut random)).collect();
    let queries = rows
        .iter()
        .zip(values)
        .zip(queries)
        .map(|((rows, values), (scales, reach))| Query {
            rows: *rows,
            values,
            scales,
            reach: reach.iter().map(|r| r * 1e6).collect(),
            halves: (0..rows * dims).map(|_| half(&mut random)).collect(),
        })
        .collect();
    Case { dims, starts, docs, scales, errors, half_docs, queries }
}

impl Case {
    /// Score, upper, lower of one query with one document as the crate's head comment fixes them: row
    /// i of the query is added to sum i % 16, the sums are added in halves.
    fn int8(&self, query: &Query, document: usize) -> [f32; 3] {
        let mut sums = [[0f32; 16]; 3];
        let tokens = self.starts[document] as usize..self.starts[document + 1] as usize;
        if tokens.is_empty() {
            return [0.0; 3];
        }
        for (i, row) in query.values.chunks_exact(self.dims).enumerate() {
            let mut best = [f32::NEG_INFINITY; 3];
            for t in tokens.clone() {
                let document = &self.docs[t * self.dims..][..self.dims];
                let dot: i32 =
                    row.iter().zip(document).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
                let value = dot as f32 * self.scales[t];
                let off = query.reach[i] * self.errors[t];
                best[0] = best[0].max(value);
                best[1] = best[1].max(value + off);
                best[2] = best[2].max(value - off);
            }
            for (sums, best) in sums.iter_mut().zip(best) {
                sums[i % 16] += best * query.scales[i];
            }
        }
        sums.map(|mut sums| {
            for half in [8, 4, 2, 1] {
                for i in 0..half {
                    sums[i] += sums[i + half];
                }
            }
            sums[0]
        })
    }

    fn fp16(&self, query: &Query, document: usize) -> f64 {
        let value = |bits: u16| f64::from(half::f16::from_bits(bits).to_f32());
        let tokens = self.starts[document] as usize..self.starts[document + 1] as usize;
        if tokens.is_empty() {
            return 0.0;
        }
        let dot = |row: &[u16], t: usize| -> f64 {
            let document = &self.half_docs[t * self.dims..][..self.dims];
            row.iter().zip(document).map(|(a, b)| value(*a) * value(*b)).sum()
        };
        let rows = query.halves.chunks_exact(self.dims);
        rows.map(|row| tokens.clone().map(|t| dot(row, t)).fold(f64::NEG_INFINITY, f64::max)).sum()
    }

    /// All queries' rows, each query padded to whole tiles: bytes or halves, scales, reach, tiles.
    fn packed(&self, half: bool) -> (Vec<u8>, Vec<f32>, Vec<f32>, Vec<usize>) {
        let (mut rows, mut scales, mut reach, mut tiles) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for query in &self.queries {
            let padded = query.rows.next_multiple_of(32);
            let row_bytes = if half { 2 * self.dims } else { self.dims };
            let end = rows.len() + padded * row_bytes;
            rows.extend(if half { bytes(&query.halves) } else { bytes(&query.values) });
            rows.resize(end, 0);
            scales.extend(&query.scales);
            scales.resize(end / row_bytes, 0.0);
            reach.extend(&query.reach);
            reach.resize(end / row_bytes, 0.0);
            tiles.push(padded / 32);
        }
        (rows, scales, reach, tiles)
    }
}

fn gather(dims: usize, half: bool, bounds: bool, seed: u64) {
    let case = case(dims, &[32, 5, 70, 33], seed);
    let (rows, scales, reach, tiles) = case.packed(half);
    let mut random = SmallRng::seed_from_u64(seed);
    let (mut tasks, mut candidates) = (Vec::<u32>::new(), Vec::<u32>::new());
    let (mut pairs, mut row) = (Vec::<(usize, usize)>::new(), 0);
    for (query, tiles) in tiles.iter().enumerate() {
        let count = [LENGTHS.len(), 40][query % 2];
        let ids: Vec<u32> = (0..count as u32)
            .map(|i| if count > 20 { random.random_range(0..LENGTHS.len() as u32) } else { i })
            .collect();
        for chunk in ids.chunks([32, 7][query % 2]) {
            tasks.extend([row as u32, *tiles as u32, candidates.len() as u32, chunk.len() as u32]);
            candidates.extend(chunk);
            pairs.extend(chunk.iter().map(|d| (query, *d as usize)));
        }
        row += tiles * 32;
    }
    let count = candidates.len();
    let nothing = bytes(&vec![f32::NAN; count]);
    let null = |wanted: bool, field: Vec<u8>| if wanted { field } else { Vec::new() };
    let fields = [
        rows,
        null(!half, bytes(&scales)),
        null(bounds, bytes(&reach)),
        if half { bytes(&case.half_docs) } else { bytes(&case.docs) },
        null(!half, bytes(&case.scales)),
        null(bounds, bytes(&case.errors)),
        bytes(&case.starts),
        bytes(&candidates),
        bytes(&tasks),
        nothing.clone(),
        nothing.clone(),
        nothing,
        bytes(&vec![f32::NAN; 3 * 16 * count]),
        bytes(&[tasks.len() as u32 / 4]),
        bytes(&[count as u32]),
        bytes(&[0f32]),
    ];
    let kind = if half { "f16" } else { "i8" };
    let name = format!("{}_{kind}_{dims}", if bounds { "bounds" } else { "gather" });
    let out = run(&name, ((tasks.len() / 4).div_ceil(4), 1), 128, 0, &fields);
    let found = [&out[9], &out[10], &out[11]].map(|f| floats(f));
    for (i, (query, document)) in pairs.into_iter().enumerate() {
        let place = format!("{name}: query {query}, document {document}");
        if half {
            let wanted = case.fp16(&case.queries[query], document);
            assert!(
                (f64::from(found[0][i]) - wanted).abs() < 1e-4,
                "{place}: {} {wanted}",
                found[0][i]
            );
            continue;
        }
        let wanted = case.int8(&case.queries[query], document);
        for (which, wanted) in wanted.iter().enumerate().take(if bounds { 3 } else { 1 }) {
            assert_eq!(
                found[which][i].to_bits(),
                wanted.to_bits(),
                "{place}: {} {wanted}",
                found[which][i]
            );
        }
    }
}

#[test]
fn gathered_scores_are_maxsim() {
    if host().is_none() {
        return;
    }
    for (seed, dims) in [32, 64, 96, 128, 256].into_iter().enumerate() {
        gather(dims, false, false, seed as u64);
    }
    for (seed, dims) in [32, 64, 96, 128].into_iter().enumerate() {
        gather(dims, true, false, seed as u64);
    }
}

#[test]
fn bounds_are_the_processors() {
    if host().is_none() {
        return;
    }
    for (seed, dims) in [32, 64, 96, 128, 256].into_iter().enumerate() {
        gather(dims, false, true, seed as u64);
    }
}

fn exhaustive(dims: usize, half: bool, seed: u64) {
    let rows: Vec<usize> = (0..19).map(|i| if i % 3 == 0 { 32 } else { 1 + i }).collect();
    let case = case(dims, &rows, seed);
    let (rows, scales, _, tiles) = case.packed(half);
    assert!(tiles.iter().all(|t| *t == 1));
    let documents = LENGTHS.len();
    let bounds = [0u32, 1, 2, 9, 9, 17, 18, documents as u32];
    let per_warp = if half && dims >= 96 || dims == 256 { 1 } else { 2 };
    let stride = documents + 3;
    let row_bytes = if half { 2 * dims } else { dims };
    let fields = [
        rows,
        if half { Vec::new() } else { bytes(&scales) },
        if half { bytes(&case.half_docs) } else { bytes(&case.docs) },
        if half { Vec::new() } else { bytes(&case.scales) },
        bytes(&case.starts),
        bytes(&bounds),
        bytes(&vec![f32::NAN; stride * case.queries.len()]),
        bytes(&[stride as u64]),
        bytes(&[0u32]),
        bytes(&[case.queries.len() as u32]),
        bytes(&[0f32]),
    ];
    let name = format!("exhaustive_{}_{dims}", if half { "f16" } else { "i8" });
    let groups = case.queries.len().div_ceil(8 * per_warp);
    let out = run(&name, (bounds.len() - 1, groups), 256, 4 * (64 * row_bytes + 256), &fields);
    let found = floats(&out[6]);
    for (q, query) in case.queries.iter().enumerate() {
        for document in 0..documents {
            let found = found[q * stride + document];
            if half {
                let wanted = case.fp16(query, document);
                assert!(
                    (f64::from(found) - wanted).abs() < 1e-4,
                    "{name}: {q} {document}: {found} {wanted}"
                );
            } else {
                let wanted = case.int8(query, document)[0];
                assert_eq!(
                    found.to_bits(),
                    wanted.to_bits(),
                    "{name}: {q} {document}: {found} {wanted}"
                );
            }
        }
        assert!(found[q * stride + documents..(q + 1) * stride].iter().all(|f| f.is_nan()));
    }
}

#[test]
fn exhaustive_scores_are_maxsim() {
    if host().is_none() {
        return;
    }
    for (seed, (dims, half)) in [
        (32, false),
        (64, false),
        (96, false),
        (128, false),
        (256, false),
        (64, true),
        (96, true),
        (128, true),
    ]
    .into_iter()
    .enumerate()
    {
        exhaustive(dims, half, seed as u64);
    }
}

#[test]
fn the_best_are_all_listed() {
    if host().is_none() {
        return;
    }
    let mut random = SmallRng::seed_from_u64(7);
    for (count, k, levels) in
        [(1, 1, 5), (40, 50, 1000), (3000, 10, 100_000), (3000, 10, 3), (500, 1, 7)]
    {
        let (lines, stride, room) = (2, count + 5, k + 100);
        let scores: Vec<f32> = (0..lines * stride)
            .map(|_| random.random_range(-levels..levels) as f32 / 64.0)
            .collect();
        let fields = [
            bytes(&scores),
            bytes(&[stride as u64]),
            bytes(&[count as u32]),
            bytes(&[k as u32]),
            bytes(&[room as u32]),
            bytes(&vec![0u32; lines]),
            bytes(&vec![u32::MAX; lines * room]),
            bytes(&vec![f32::NAN; lines * room]),
        ];
        let out = run("select_best", (lines, 1), 512, (2048 + 4) * 4, &fields);
        for line in 0..lines {
            let row = &scores[line * stride..][..count];
            let mut sorted = row.to_vec();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let least = sorted[k.min(count) - 1];
            let at_least = row.iter().filter(|s| **s >= least).count();
            let length = u32::from_le_bytes(out[5][4 * line..][..4].try_into().unwrap()) as usize;
            assert!(length >= at_least, "{length} of {at_least}");
            if length > room {
                continue;
            }
            let ids: Vec<u32> = bytemuck::pod_collect_to_vec(&out[6]);
            let values = floats(&out[7]);
            let listed = &ids[line * room..][..length];
            for (id, value) in listed.iter().zip(&values[line * room..]) {
                assert_eq!(row[*id as usize].to_bits(), value.to_bits());
            }
            for (id, score) in row.iter().enumerate() {
                assert!(*score < least || listed.contains(&(id as u32)));
            }
        }
    }
}

#[test]
fn long_queries_are_added_up() {
    if host().is_none() {
        return;
    }
    let (to, from) = (vec![1f32, 2.0, 3.0, 4.0, 5.0], vec![10f32, 20.0, 30.0, 40.0, 50.0]);
    let out = run("add_rows", (2, 1), 32, 0, &[bytes(&to), bytes(&from), bytes(&[4u64])]);
    assert_eq!(floats(&out[0]), [11.0, 22.0, 33.0, 44.0, 5.0]);
}
