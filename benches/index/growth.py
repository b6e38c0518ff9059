#!/usr/bin/env python3
"""How time at overlap .95 grows with the collection, k = 10, one thread: every method of ours and Seismic.

For each size: grow the vectors (the first 396,059 documents are real), build one index of ours with every
kind of lists and Seismic with n_postings 250, choose settings of ours on queries from 1,001 on, and measure
in alternating rounds on the first queries. Times at the overlap are interpolated between measured points
on both sides; exact mode and what the planner chooses at .95 are measured as they are.
"""
import argparse
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np

import common
from common import PEER_POINTS, SETS, Peer, Truth, interpolated, median, points, say

TUNE = "1001-1300"
PLANNED = "auto:overlap=.95"


def arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--work", type=Path, default=os.environ.get("WORK", common.ROOT / "target" / "bench-index"),
                    help="folder of vectors, indexes and results [default: target/bench-index]")
    ap.add_argument("--out", type=Path, help="results as JSON, the plots beside it [default: WORK/growth.json]")
    ap.add_argument("--sizes", default="25000,100000,396059,1600000", help="numbers of documents")
    ap.add_argument("--rounds", type=int, default=3, help="rounds a size [default: 3]")
    ap.add_argument("--queries", type=int, default=300, help="first queries measured, at most 1000 [default: 300]")
    ap.add_argument("--overlap", type=float, default=.95, help="overlap@10 at which times are compared [default: .95]")
    ap.add_argument("--keep", action="store_true", help="leave the grown vectors and the indexes there")
    return ap.parse_args()


def one_size(args, documents):
    folder = args.work / f"growth-{documents}"
    data, index = folder / "data", folder / "index"
    truth = data / f"truth-{SETS[-1]}.npy"
    if not (truth.is_file() and len(np.load(truth, mmap_mode="r")) >= args.queries):
        say(f"{documents} documents: growing")
        common.tool("grow_vectors.py", data, "--documents", documents, "--truth", args.queries)
    result = {"documents": documents, "build_s": {}, "sets": {}}
    methods = common.known_methods()
    lists = []
    for method in methods.values():
        lists += method["lists"][2:]
    lists = ["--lists", ",".join(methods), *lists, "--n-postings", "250"]
    result["build_s"]["all methods"] = common.build(data / "documents.bin", index, lists)
    peer = Peer(250)
    result["build_s"]["Seismic"] = peer.build(data / "documents.bin")["s"]
    say(f"{documents} documents: built in {result['build_s']}")
    truth, only = Truth(data), f"1-{args.queries}"
    for query_set in SETS:
        queries, found = data / f"queries-{query_set}.bin", folder / "found.npz"
        settings = {}
        for name, method in methods.items():
            curve, _ = points(index, queries, method["grid"](10, documents), only=TUNE)
            settings[name] = [p["point"] for p in common.thinned(curve, step=.005)]
        request = {"do": "pass", "queries": queries, "first": args.queries, "k": 10, "points": PEER_POINTS[10]}
        peer.ask(**request, found=str(found))
        tables = np.load(found)
        overlaps = [truth.overlap(query_set, 10, tables[str(at)]) for at in range(len(PEER_POINTS[10]))]
        runs, ours = [], []
        asked = [*(s for each in settings.values() for s in each), "exact", PLANNED]
        for _ in range(args.rounds):
            runs.append(peer.ask(**request))
            ours.append(points(index, queries, asked, only=only)[0])
        merged = [{**ours[-1][at], "us": median([run[at]["us"] for run in ours])} for at in range(len(asked))]
        theirs = [{"overlap": o, "us": median([run[at]["us"] for run in runs])} for at, o in enumerate(overlaps)]
        curves = {name: [p for p in merged if p["point"] in wanted] for name, wanted in settings.items()}
        times = {name: interpolated(curve, args.overlap) for name, curve in curves.items()}
        times["exact"], times["Seismic"] = merged[-2]["us"], interpolated(theirs, args.overlap)
        planned = {key: merged[-1][key] for key in ("method", "overlap", "us")}
        result["sets"][query_set] = {"us": times, "planned": planned, "curves": {**curves, "Seismic": theirs}}
        say(f"{documents} documents, {query_set}: {times}, planned {planned}")
    peer.close()
    if not args.keep:
        shutil.rmtree(folder)
    return result


def show(results):
    m = results["machine"]
    print(f"{m['cpu']}, {m['cores']} cores, load average {m['load_average'][0]:.2f} at the start and "
          f"{os.getloadavg()[0]:.2f} at the end; {results['seconds'] / 60:.1f} minutes")
    print(f"µs a query at overlap@10 {results['overlap']}, one thread\n")
    names = list(results["sizes"][0]["sets"][SETS[0]]["us"])
    print(f"| queries | documents | {' | '.join(names)} | planner's choice |")
    print("|---|---|" + "---|" * (len(names) + 1))
    for query_set in SETS:
        for size in results["sizes"]:
            found = size["sets"][query_set]
            cells = ["not reached" if found["us"][n] is None else f"{found['us'][n]:.0f}" for n in names]
            p = found["planned"]
            print(f"| {query_set} | {size['documents']:,} | {' | '.join(cells)} "
                  f"| {p['method']}, {p['us']:.0f}, overlap {p['overlap']:.3f} |")


def plot(results, stem):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(SETS), figsize=(6.5 * len(SETS), 4.5), squeeze=False)
    for axis, query_set in zip(axes[0], SETS):
        for name in results["sizes"][0]["sets"][query_set]["us"]:
            line = [(s["documents"], s["sets"][query_set]["us"][name]) for s in results["sizes"]]
            line = [(n, us) for n, us in line if us is not None]
            axis.plot([n for n, _ in line], [us for _, us in line], "s--" if name == "Seismic" else "o-", label=name)
        planned = [(s["documents"], s["sets"][query_set]["planned"]["us"]) for s in results["sizes"]]
        axis.plot([n for n, _ in planned], [us for _, us in planned], "x:", color="black", label="planner's choice")
        axis.set(xscale="log", yscale="log", xlabel="documents", ylabel="µs a query, one thread",
                 title=f"{query_set} queries, overlap@10 {results['overlap']}")
        axis.grid(which="both", alpha=.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    for kind in ("png", "svg"):
        figure.savefig(f"{stem}.{kind}", dpi=130)


def main():
    args = arguments()
    args.work = Path(args.work)
    args.out = args.out or args.work / "growth.json"
    args.out.parent.mkdir(parents=True, exist_ok=True)
    results = {"machine": common.machine(), "overlap": args.overlap, "sizes": []}
    for documents in map(int, args.sizes.split(",")):
        results["sizes"].append(one_size(args, documents))
        results["seconds"] = time.monotonic() - common.STARTED
        args.out.write_text(json.dumps(results, indent=1))
    show(results)
    plot(results, args.out.with_suffix(""))
    say(f"wrote {args.out}, and plots beside it")


if __name__ == "__main__":
    main()
