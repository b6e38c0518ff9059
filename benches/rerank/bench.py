"""MaxSim on one core: our kernels beside maxsim-cpu and numpy, on the same rows, in turns.

1. rows: seeded, of length one, in fp16; one query of 32 rows
2. the binary `maxsim` measures every kernel, one round at a time
3. between its rounds the peers score the same documents in fp32, from cache and in random order from
   memory; their scores must agree with ours
4. of everything the fastest round; results.json and a table
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import json
import subprocess
import time
from pathlib import Path

import maxsim_cpu
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DIMS, CACHED, SEED = 128, 16, 7


def rows_of(rng, count):
    rows = rng.standard_normal((count, DIMS), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float16)


def save(stem, rows, lengths):
    np.save(f"{stem}.npy", rows)
    np.save(f"{stem}.lengths.npy", np.asarray(lengths, dtype=np.int32))
    Path(f"{stem}.ids").write_text("".join(f"{i}\n" for i in range(len(lengths))))


def make(work, documents, tokens):
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "docs.ids").exists():
        rng = np.random.default_rng(SEED)
        save(work / "query", rows_of(rng, 32), [32])
        save(work / "docs", rows_of(rng, documents * tokens), [tokens] * documents)
    query = np.load(work / "query.npy").astype(np.float32)
    docs = np.load(work / "docs.npy").astype(np.float32).reshape(documents, tokens, DIMS)
    return query, docs


def with_numpy(query, docs):
    products = docs.reshape(-1, DIMS) @ query.T
    return products.reshape(len(docs), -1, len(query)).max(1).sum(1)


def peers(query, docs, order, size):
    """Nanoseconds a document of each peer, from cache and from memory, one round."""
    out = {}
    cached = np.ascontiguousarray(docs[:CACHED])
    for name, score in (("maxsim-cpu", maxsim_cpu.maxsim_scores), ("numpy", with_numpy)):
        score(query, cached)
        begun = time.perf_counter()
        for _ in range(50):
            score(query, cached)
        cache = (time.perf_counter() - begun) / 50 / CACHED
        # Its call takes one array, so candidates are gathered first; the gathering is not counted,
        # which favours the peer.
        total = 0.0
        for i in range(0, len(order) - size + 1, size):
            wanted = docs[order[i:i + size]]
            begun = time.perf_counter()
            score(query, wanted)
            total += time.perf_counter() - begun
        out[name] = (cache * 1e9, total / (len(order) // size * size) * 1e9)
    return out


def ours(work, candidates):
    command = [ROOT / "target/release/maxsim", "--npy", work / "docs.npy", "--lengths", work / "docs.lengths.npy",
               "--ids", work / "docs.ids", "--query", work / "query", "--work", work / "index",
               "--candidates", str(candidates), "--rounds", "1"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=24_000)
    parser.add_argument("--tokens", type=int, default=80)
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    base = Path(os.environ.get("WORK", ROOT / "target/bench-rerank"))
    work = base / f"rows-{args.documents}x{args.tokens}"
    query, docs = make(work, args.documents, args.tokens)
    order = np.random.default_rng(1).permutation(args.documents)[:4 * args.candidates]
    best, report = {}, None
    for _ in range(args.rounds):
        got = ours(work, args.candidates)
        theirs = peers(query, docs, order, args.candidates)
        far = np.abs(maxsim_cpu.maxsim_scores(query, docs[:100]) - np.array(got["fp16_scores"])).max()
        if far > 1e-3:
            raise SystemExit(f"scores differ from maxsim-cpu's by {far}: nothing is compared")
        if report is None:
            report = got
        for key, take in (("read_gb_s", max), ("copy_gb_s", max), ("prepare_ns", min)):
            report[key] = take(report[key], got[key])
        for kept, point in zip(report["points"], got["points"]):
            for key in ("cache_ns", "memory_ns", "memory_in_order_ns"):
                kept[key] = min(kept[key], point[key])
            kept["memory_gb_s"] = kept["bytes_a_document"] / kept["memory_ns"]
        for name, times in theirs.items():
            old = best.get(name, (float("inf"),) * 2)
            best[name] = tuple(map(min, old, times))
    del report["fp16_scores"]
    report["rounds"] = args.rounds
    report["peers"] = {n: {"cache_ns": c, "memory_ns": m} for n, (c, m) in best.items()}
    (base / "results.json").write_text(json.dumps(report, indent=1) + "\n")
    peer = report["peers"]["maxsim-cpu"]
    print(f"{report['documents']:,} documents of {args.tokens} rows, query of {report['query_rows']}, {DIMS} dimensions, one core "
          f"that reads {report['read_gb_s']:.1f} and copies {report['copy_gb_s']:.1f} GB/s")
    print(f"a question is prepared in {report['prepare_ns'] / 1e3:.1f} us; times in ns a document, x: times maxsim-cpu's speed\n")
    print(f"{'':16}{'cache':>9}{'x':>7}{'memory':>9}{'x':>7}{'in order':>9}{'GB/s':>7}")
    for p in report["points"]:
        print(f"{p['form'] + ' ' + p['kernels']:16}{p['cache_ns']:9.0f}{peer['cache_ns'] / p['cache_ns']:7.1f}"
              f"{p['memory_ns']:9.0f}{peer['memory_ns'] / p['memory_ns']:7.1f}{p['memory_in_order_ns']:9.0f}{p['memory_gb_s']:7.1f}")
    for name, p in report["peers"].items():
        print(f"{name:16}{p['cache_ns']:9.0f}{peer['cache_ns'] / p['cache_ns']:7.1f}{p['memory_ns']:9.0f}{peer['memory_ns'] / p['memory_ns']:7.1f}")
    print("\nno GPU was looked for: points 1 and 2 of the reranking benchmark only")


if __name__ == "__main__":
    main()
