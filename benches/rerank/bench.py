#!/usr/bin/env python3
"""MaxSim on one core beside the package maxsim-cpu and numpy: synthetic rows, 128 dimensions.

1. unit rows at random: documents of 80 tokens, one query of 32  2. `maxsim` measures ours: every form and
kernel from cache and from memory, and the rates at which the core reads and copies  3. maxsim-cpu and numpy
score the same documents, in lists of 1,000 that no cache holds  4. a table, and JSON

Rounds take turns; the fastest counts. The first 100 scores of maxsim-cpu are compared with our fp16 ones.
"""
import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
TOKENS, QUERY, DIMS, LIST = 80, 32, 128, 1000


def arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--work", type=Path, default=Path(os.environ.get("WORK", ROOT / "target" / "bench-rerank")))
    ap.add_argument("--documents", type=int, default=40_000)
    ap.add_argument("--rounds", type=int, default=5)
    return ap.parse_args()


def unit(rng, rows):
    x = rng.standard_normal((rows, DIMS), dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def written(work, documents):
    """Rows, lengths and ids as `quarry tokens add` takes them."""
    rng = np.random.default_rng(1)
    rows = np.concatenate([unit(rng, TOKENS * 1000) for _ in range(documents // 1000)])
    query = unit(rng, QUERY)
    for name, x, count, length in (("docs", rows, documents, TOKENS), ("query", query, 1, QUERY)):
        np.save(work / f"{name}.npy", x.astype(np.float16) if name == "docs" else x)
        np.save(work / f"{name}.lengths.npy", np.full(count, length, np.int64))
        (work / f"{name}.ids").write_text("".join(f"{name}-{i}\n" for i in range(count)))
    return rows.astype(np.float16).astype(np.float32).reshape(documents, TOKENS, DIMS), query


def lists(documents):
    order = np.random.default_rng(2).permutation(documents)
    return [order[at : at + LIST] for at in range(0, documents - LIST + 1, LIST)]


def peers(docs, query, rounds):
    """Documents a second of maxsim-cpu and numpy, and maxsim-cpu's first 100 scores."""
    import maxsim_cpu

    def package(chosen):
        return maxsim_cpu.maxsim_scores(query, docs[chosen])

    def views(chosen):
        return maxsim_cpu.maxsim_scores_variable(query, [docs[i] for i in chosen])

    def plain(chosen):
        return np.array([(query @ docs[i].T).max(1).sum() for i in chosen])

    out = {}
    sets = lists(len(docs))
    ways = {"maxsim-cpu, one array": package, "numpy, a document at a time": plain}
    if hasattr(maxsim_cpu, "maxsim_scores_variable"):
        ways["maxsim-cpu, a list of arrays"] = views
    for _ in range(rounds):
        for name, way in ways.items():
            # What gathers the documents is not counted where the package wants one array.
            took = 0.0
            for chosen in sets:
                arrays = docs[chosen] if way is package else None
                started = time.perf_counter()
                maxsim_cpu.maxsim_scores(query, arrays) if way is package else way(chosen)
                took += time.perf_counter() - started
            out[name] = max(out.get(name, 0), len(sets) * LIST / took)
    return out, np.asarray(package(np.arange(100)), dtype=np.float64)


def main():
    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    docs, query = written(args.work, args.documents)
    theirs, scores = peers(docs, query, args.rounds)
    index = args.work / "index"
    subprocess.run(["rm", "-rf", index], check=True)
    command = [ROOT / "target" / "release" / "maxsim", "--npy", args.work / "docs.npy", "--lengths",
               args.work / "docs.lengths.npy", "--ids", args.work / "docs.ids", "--query", args.work / "query",
               "--work", index, "--rounds", args.rounds]
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True, check=True)
    ours = json.loads(done.stdout)
    results = {"ours": ours, "peers": theirs, "load_average": os.getloadavg()}
    (args.work / "results.json").write_text(json.dumps(results, indent=1))
    report(results, scores)


def report(results, scores):
    ours, peer = results["ours"], max(v for k, v in results["peers"].items() if k.startswith("maxsim"))
    print(f"documents of {TOKENS} tokens, a query of {QUERY}, {DIMS} dimensions, one core; load {results['load_average'][0]:.2f}")
    print(f"the core reads {ours['read_gb_s']:.1f} GB/s and copies {ours['copy_gb_s']:.1f}; a query is prepared in {ours['prepare_ns'] / 1e3:.1f} µs")
    print("| | from cache, documents/s | times maxsim-cpu | from memory | times | GB/s | from memory, in the order given | times |")
    print("|---|---|---|---|---|---|---|---|")
    for p in ours["points"]:
        cache, memory, order = (1e9 / p[f"{key}_ns"] for key in ("cache", "memory", "memory_in_order"))
        print(f"| {p['form']}, {p['kernels']} | {cache:,.0f} | {cache / peer:.1f} | {memory:,.0f} | {memory / peer:.1f} "
              f"| {p['memory_gb_s']:.1f} | {order:,.0f} | {order / peer:.1f} |")
    for name, rate in results["peers"].items():
        print(f"| {name} | | | {rate:,.0f} | {rate / peer:.2f} | | | |")
    off = np.abs(np.array(ours["fp16_scores"]) - scores).max()
    print(f"largest difference of 100 scores, our fp16 and maxsim-cpu: {off:.1e}")


if __name__ == "__main__":
    sys.exit(main())
