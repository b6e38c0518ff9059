#!/usr/bin/env python3
"""The sparse index at MS MARCO's size: builds, bytes, memory and time at overlap@10 .95, k = 10, one thread.

The collection is grow_vectors.py's 8.8 million documents; smaller sizes are its first ones. For each size: one
index with clusters alone, one with what `--lists auto` builds; the largest also gets generated ids and texts,
as large as MS MARCO's, and lists that are added afterwards. Up to --peer-limit documents Seismic is built and
measured in the same run. Exact answers of the whole come from the generator, those of smaller sizes from scipy.
"""
import argparse
import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import common
from common import PEER_POINTS, SETS, Peer, Truth, interpolated, median, points, say

TUNE = "1001-1200"
PLANNED = "auto:overlap=.95"


def arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--work", type=Path, default=os.environ.get("WORK", common.ROOT / "target" / "bench-index"),
                    help="folder of vectors, indexes and results [default: target/bench-index]")
    ap.add_argument("--sizes", default="396059,2000000,8841823", help="numbers of documents")
    ap.add_argument("--peers", default="500,2000", help="n_postings of Seismic")
    ap.add_argument("--peer-limit", type=int, default=2_000_000, help="Seismic is built up to so many documents")
    ap.add_argument("--rounds", type=int, default=2, help="rounds a size [default: 2]")
    ap.add_argument("--queries", type=int, default=200, help="first queries measured [default: 200]")
    ap.add_argument("--options", default="", help="further options of `quarry index`, as one string")
    return ap.parse_args()


def whole(args):
    """The largest collection, made once: vectors, exact answers, ids and texts."""
    folder, documents = args.work / "scale-data", max(map(int, args.sizes.split(",")))
    if not (folder / f"truth-{SETS[-1]}.npy").is_file():
        common.tool("grow_vectors.py", folder, "--documents", documents, "--truth", args.queries)
    if not (folder / "texts.tsv").is_file():
        say("generating texts")
        with open(folder / "texts.partial", "wb") as out:
            subprocess.run([common.BIN / "texts", "--documents", str(documents)], stdout=out, check=True)
        (folder / "texts.partial").rename(folder / "texts.tsv")
    # A collection that is there may be larger than what is asked for.
    return folder, int(np.fromfile(folder / "documents.bin", "<u4", 1)[0])


def rows(words, count):
    """Where each of the first documents begins in Seismic's inner format, and where the last ends."""
    starts = np.empty(count + 1, np.int64)
    at = 1
    for row in range(count):
        starts[row] = at
        at += 1 + 2 * int(words[at])
    starts[count] = at
    return starts


def prefix(args, source, count):
    """The first documents as a collection of their own, with exact answers."""
    folder = args.work / f"scale-data-{count}"
    if (folder / f"truth-{SETS[-1]}.npy").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    words = np.memmap(source / "documents.bin", "<u4", "r")
    starts = rows(words, count)
    with open(folder / "documents.bin", "wb") as out:
        np.array([count], "<u4").tofile(out)
        for at in range(1, starts[-1], 1 << 26):
            words[at : min(at + (1 << 26), starts[-1])].tofile(out)
    for name in SETS:
        path = folder / f"queries-{name}.bin"
        path.unlink(missing_ok=True)
        path.symlink_to((source / f"queries-{name}.bin").resolve())
        np.save(folder / f"truth-{name}.npy", exact(words, starts, path, args.queries))
    return folder


def exact(words, starts, queries, first, block=65_536, k=100):
    """The ids of the k documents with the largest dot products, by a matrix product over all of them."""
    raw = np.fromfile(queries, "<u4")
    at, columns = rows(raw, first), np.zeros((1 << 17, first), np.float32)
    for q in range(first):
        nnz = int(raw[at[q]])
        columns[raw[at[q] + 1 : at[q] + 1 + nnz], q] = raw[at[q] + 1 + nnz : at[q] + 1 + 2 * nnz].view("<f4")
    columns = columns[: np.flatnonzero(columns.any(1)).max() + 1]
    scores, ids = np.zeros((first, 0), np.float32), np.zeros((first, 0), np.int64)
    for low in range(0, len(starts) - 1, block):
        high = min(low + block, len(starts) - 1)
        part = np.asarray(words[starts[low] : starts[high]])
        begin = starts[low:high] - starts[low]
        nnz = part[begin].astype(np.int64)
        bounds = np.r_[0, np.cumsum(nnz)]
        of_row = np.repeat(begin + 1, nnz) + np.arange(bounds[-1]) - np.repeat(bounds[:-1], nnz)
        terms = part[of_row].astype(np.int64)
        weights = part[of_row + np.repeat(nnz, nnz)].view("<f4")
        kept = terms < len(columns)
        bounds = np.r_[0, np.cumsum(np.add.reduceat(np.r_[kept, False].astype(np.int64), bounds[:-1]) * (nnz > 0))]
        some = sp.csr_matrix((weights[kept], terms[kept], bounds), shape=(high - low, len(columns)))
        scores = np.concatenate([scores, (some @ columns).T], 1)
        ids = np.concatenate([ids, np.broadcast_to(np.arange(low, high), (first, high - low))], 1)
        if scores.shape[1] > k:
            some_best = np.argpartition(-scores, k, 1)[:, : k]
            scores, ids = np.take_along_axis(scores, some_best, 1), np.take_along_axis(ids, some_best, 1)
        best = np.argsort(-scores, 1, kind="stable")
        scores, ids = np.take_along_axis(scores, best, 1), np.take_along_axis(ids, best, 1)
    return ids


def run(command):
    """Runs a command: seconds, processor seconds, and peak resident bytes."""
    started = time.monotonic()
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen([str(c) for c in command], stdout=nowhere, stderr=subprocess.PIPE)
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[:3]} failed: {errors.decode()[-2000:]}")
    seconds = time.monotonic() - started
    return {"s": seconds, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_bytes": usage.ru_maxrss * 1024}


def parts(index):
    """Bytes of the index's parts by name."""
    sizes = {}
    for path in Path(index).iterdir():
        name = path.stem.split("-", 1)[1] if path.suffix == ".qry" and "-" in path.stem else path.name
        sizes[name.split("-")[0]] = sizes.get(name.split("-")[0], 0) + path.stat().st_size
    return sizes


def grid_of(name, method, documents):
    """Settings to try: every second of the usual ones, and more clusters where there are many more."""
    grid = [p for p in method["grid"](10, documents) if int(p.rsplit("=", 1)[1]) >= 65][::2]
    if name == "clusters" and documents > 1_000_000:
        size = (documents / 396_059) ** .5
        grid += [f"clusters:postings={int(p * size)},candidates={c}"
                 for p in (32_000, 46_000, 70_000, 100_000, 150_000) for c in (220, 350, 500)]
    return grid


def one_size(args, source, documents, largest):
    data = source if documents == largest else prefix(args, source, documents)
    result = {"documents": documents, "builds": {}, "sets": {}}
    clusters = args.work / f"scale-{documents}-clusters"
    more = args.options.split()
    texts = ["--texts", source / "texts.tsv"] if documents == largest else []

    def build(name, lists, extra=()):
        common.evict(data / "documents.bin")
        command = [common.BIN / "quarry", "index", data / "documents.bin", "--out", clusters, "--overwrite",
                   "--no-tune", *lists, *more, *extra]
        result["builds"][name] = {**run(command), "parts": parts(clusters)}
        say(f"{documents:,} documents, {name}: {result['builds'][name]}")

    build("clusters", ["--lists", "clusters"], texts)
    if documents == largest:
        result["builds"]["impact added"] = {
            **run([common.BIN / "quarry", "lists", clusters, "--add", "impact", "--no-tune"]), "parts": parts(clusters)}
    else:
        build("impact and clusters", ["--lists", "impact,clusters"])
    result["tune_s"] = common.tune(clusters)
    truth, only = Truth(data), f"1-{args.queries}"
    peers = [int(n) for n in args.peers.split(",") if documents <= args.peer_limit]
    methods = {n: m for n, m in common.METHODS.items() if n != "seismic"}
    for query_set in SETS:
        queries, settings = data / f"queries-{query_set}.bin", {}
        for name, method in methods.items():
            tried = points(clusters, queries, grid_of(name, method, documents), only=TUNE)[0]
            settings[name] = [p["point"] for p in common.thinned(tried, step=.01)]
        asked = [*(s for each in settings.values() for s in each), "exact", PLANNED]
        ours = [points(clusters, queries, asked, only=only)[0] for _ in range(args.rounds)]
        merged = [{**ours[-1][at], "us": median([r[at]["us"] for r in ours])} for at in range(len(asked))]
        curves = {name: [p for p in merged if p["point"] in wanted] for name, wanted in settings.items()}
        planned = {key: merged[-1][key] for key in ("method", "overlap", "us")}
        times = {name: {str(o): interpolated(curve, o) for o in (.9, .95, .97, .99)} for name, curve in curves.items()}
        times["exact"] = merged[-2]["us"]
        result["sets"][query_set] = {"us": times, "planned": planned, "curves": curves}
        say(f"{documents:,} documents, {query_set}: {times}, planned {planned}")
    for n_postings in peers:
        peer = Peer(n_postings)
        built = peer.build(data / "documents.bin")
        result["builds"][f"Seismic {n_postings}"] = built
        say(f"{documents:,} documents, Seismic {n_postings}: {built}")
        for query_set in SETS:
            found = args.work / "found.npz"
            request = {"do": "pass", "queries": data / f"queries-{query_set}.bin", "first": args.queries, "k": 10,
                       "points": PEER_POINTS[10]}
            runs = [peer.ask(**request, found=str(found)) for _ in range(args.rounds)]
            tables = np.load(found)
            curve = [{"overlap": truth.overlap(query_set, 10, tables[str(at)]), "us": median([r[at]["us"] for r in runs])}
                     for at in range(len(PEER_POINTS[10]))]
            times = {str(o): interpolated(curve, o) for o in (.9, .95, .97, .99)}
            result["sets"][query_set]["us"][f"Seismic {n_postings}"] = times
            result["sets"][query_set]["curves"][f"Seismic {n_postings}"] = curve
            say(f"{documents:,} documents, {query_set}: Seismic {n_postings} {times}")
        peer.close()
    return result


def plot(results, stem):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(SETS), figsize=(6.5 * len(SETS), 4.5), squeeze=False)
    for axis, query_set in zip(axes[0], SETS):
        lines = {}
        for size in results["sizes"]:
            found = size["sets"][query_set]
            for name, us in [*found["us"].items(), ("planner's choice", found["planned"]["us"])]:
                us = us.get("0.95") if isinstance(us, dict) else us
                if us is not None:
                    lines.setdefault(name, []).append((size["documents"], us))
        for name, line in lines.items():
            style = "s--" if name.startswith("Seismic") else "x:" if "planner" in name else "o-"
            axis.plot(*zip(*line), style, label=name)
        axis.set(xscale="log", yscale="log", xlabel="documents", ylabel="µs a query, one thread",
                 title=f"{query_set} queries, overlap@10 .95")
        axis.grid(which="both", alpha=.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(f"{stem}.png", dpi=130)


def main():
    args = arguments()
    args.work = Path(args.work)
    args.work.mkdir(parents=True, exist_ok=True)
    source, largest = whole(args)
    out = args.work / "scale.json"
    results = json.loads(out.read_text()) if out.is_file() else {"machine": common.machine(), "sizes": []}
    for documents in map(int, args.sizes.split(",")):
        size = one_size(args, source, documents, largest)
        results["sizes"] = sorted([*(s for s in results["sizes"] if s["documents"] != documents), size],
                                  key=lambda s: s["documents"])
        out.write_text(json.dumps(results, indent=1))
        plot(results, args.work / "scale")
    say(f"wrote {out}, and a plot beside it")


if __name__ == "__main__":
    main()
