#!/usr/bin/env python3
"""The sparse index beside Seismic on wiki396k: build, bytes, and time at equal overlap.

1. unpack the vectors  2. build every index, ours and theirs taking turns, documents.bin forgotten by the
system before each  3. choose settings of ours: the front of a grid on queries from 1,001 on
4. rounds over the first 1,000 queries, in each of which every build and method takes its turn; the medians
of the rounds are reported  5. batches over all cores, and exact mode beside BMP (Block-Max Pruning) and a scan

Seismic gets the better of its builds at every overlap, linearly interpolated between its measured points.
Ours is the setting that was cheapest for the overlap on the other queries, reported with the overlap it then
has; where that is lower, Seismic is read off at the lower one too. Nothing of ours is interpolated.
"""
import argparse
import json
import os
import struct
import time
from pathlib import Path

import numpy as np

import common
import report
from common import CORES, SETS, Peer, Truth, Worker, median, points, say

QUERIES = {10: "1-1000", 100: "1-1000", 1000: "1-500"}
TUNE = {10: "1001-2000", 100: "1001-1500", 1000: "1001-1250"}
PLANNED = ["auto:overlap=.9", "auto:overlap=.95", "auto:overlap=.97", "auto:overlap=.99"]


def arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--work", type=Path, default=os.environ.get("WORK", common.ROOT / "target" / "bench-index"),
                    help="folder of vectors, indexes and results [default: target/bench-index]")
    ap.add_argument("--out", type=Path, help="results as JSON; the plots lie beside it [default: WORK/results.json]")
    ap.add_argument("--rounds", type=int, default=3, help="rounds at most [default: 3]")
    ap.add_argument("--minutes", type=float, default=18,
                    help="no further round, after the second, that would end later than this [default: 18]")
    ap.add_argument("--peers", default="250,1000", help="n_postings of Seismic's builds [default: 250,1000]")
    ap.add_argument("--seismic", default="250", help="n_postings of our seismic lists, as 250,1000 [default: 250]")
    ap.add_argument("--k", default="10,100,1000", help="numbers of results [default: 10,100,1000]")
    return ap.parse_args()


def unpack(folder):
    truth = folder / f"truth-{SETS[-1]}.npy"
    if truth.is_file() and np.load(truth, mmap_mode="r").shape == (1000, 1000):
        say(f"vectors are there: {folder}")
        return
    say("unpacking wiki396k, with the exact top 1,000")
    common.tool("unpack_vectors.py", folder, "--truth", "--truth-k", "1000")


def build_all(args, data, results):
    """Ours and theirs take turns; returns the workers of Seismic and our folders by name.

    Builds are timed without our measuring of the index itself, which Seismic has nothing of; that is timed in
    the end. Clusters and seismic lists are built alone for time and bytes, and once more with impact-ordered
    lists beside them, so that overlaps are taken from the quick exact search and a planner has a choice.
    """
    documents, seconds = data / "documents.bin", results["build_s"]
    peers, indexes = [], {}

    def ours(name, lists, threads=None):
        folder = args.work / f"index-{name}"
        took = common.build(documents, folder, [*lists, "--no-tune"], threads)
        seconds.setdefault(name if threads is None else f"{name}, {threads} thread", []).append(took)
        say(f"built {name}{'' if threads is None else f' with {threads} thread'}: {took:.1f} s")
        indexes[name] = folder

    methods = common.known_methods()
    simple = {name: m["lists"] for name, m in methods.items() if name != "seismic"}
    for n in map(int, args.peers.split(",")):
        for name, lists in simple.items():
            ours(name, lists)
        peer = Peer(n)
        built = peer.build(documents)
        seconds[f"peer {n}"] = [built["s"]]
        results["bytes"][f"peer {n}"] = built["bytes"]
        say(f"built Seismic, n_postings {n}: {built['s']:.1f} s")
        peers.append(peer)
    for name, lists in simple.items():
        ours(name, lists)
        ours(name, lists, threads=1)
        ours(name, lists)
    for n in filter(None, args.seismic.split(",")):
        ours(f"seismic-{n}", [*methods["seismic"]["lists"], "--n-postings", n])
    for name, folder in indexes.items():
        results["bytes"][name] = sizes(folder)
        lists = methods[name.split("-")[0]]["lists"]
        if name != "impact":
            more = [lists[0], f"impact,{lists[1]}", *lists[2:], "--no-tune"]
            more += ["--n-postings", name.split("-")[1]] if name.startswith("seismic") else []
            common.build(documents, folder, more)
        if not name.startswith("seismic"):
            what = name if name == "impact" else f"impact and {name}"
            results["measuring_s"][what] = common.tune(folder)
    return peers, indexes


def sizes(folder):
    shown = common.inspect(folder)
    out = {"total": sum(file.stat().st_size for file in Path(folder).iterdir())}
    for segment, described in zip(shown["manifest"]["segments"], shown["segments"]):
        for part in segment["parts"]:
            out[part["kind"]] = out.get(part["kind"], 0) + part["bytes"]
        lists = described.get("seismic")
        if lists:
            # Of the part all but postings, their ends by block and the blocks' ends by list.
            out["summaries"] = out["seismic"] - 4 * (lists["postings"] + lists["blocks"] + lists["lists"])
    return out


def tune(indexes, data, ks, documents):
    """Settings worth measuring: {(index, set, k): {setting: its overlap and time on the other queries}}."""
    chosen = {}
    for name, folder in indexes.items():
        method = name.split("-")[0]
        for k in ks if method != "seismic" else [10]:
            only = TUNE[k] if method != "seismic" else "1001-1500"
            for query_set in SETS:
                grid = common.METHODS[method]["grid"](k, documents)
                curve, _ = points(folder, data / f"queries-{query_set}.bin", grid, only=only, k=k)
                kept = common.thinned(curve, step=.003 if k == 10 else .006)
                settings = {p["point"]: {"overlap": p["overlap"], "us": p["us"]} for p in kept}
                chosen[name, query_set, k] = settings
                say(f"settings of {name}, {query_set}, k {k}: {len(settings)} of {len(grid)}")
    return chosen


def first(k):
    return int(QUERIES[k].split("-")[1])


def peer_overlaps(peers, data, ks, work):
    """One untimed pass, also for warmth: {(n_postings, set, k): [overlap of each point]}."""
    truth, out = Truth(data), {}
    for peer in peers:
        for query_set in SETS:
            for k in ks:
                found = work / "found.npz"
                peer.ask(do="pass", queries=data / f"queries-{query_set}.bin", first=first(k), k=k,
                         points=common.PEER_POINTS[k], found=str(found))
                tables = np.load(found)
                out[peer.n_postings, query_set, k] = [
                    truth.overlap(query_set, k, tables[str(at)]) for at in range(len(common.PEER_POINTS[k]))]
                found.unlink()
        say(f"overlaps of Seismic, n_postings {peer.n_postings}")
    return out


def one_round(peers, indexes, data, chosen, overlaps, collected):
    """Every build and method once, in turn; appends each point's times to `collected`."""
    for query_set, k in sorted({(s, k) for _, s, k in chosen}, key=lambda c: (c[1], c[0])):
        queries = data / f"queries-{query_set}.bin"

        def keep(curve, label, overlap, times):
            point = collected.setdefault((curve, query_set, k), {}).setdefault(label, {"overlap": overlap, "runs": []})
            point["runs"].append(times)

        for peer in peers:
            times = peer.ask(do="pass", queries=queries, first=first(k), k=k, points=common.PEER_POINTS[k])
            for point, time_, overlap in zip(common.PEER_POINTS[k], times,
                                             overlaps[peer.n_postings, query_set, k]):
                keep(f"peer {peer.n_postings}", f"cut={point[0]},heap={point[1]}", overlap, time_)
        for name, folder in indexes.items():
            settings = chosen.get((name, query_set, k))
            if not settings:
                continue
            main = not name.startswith("seismic")
            # Exact search needs one kind of lists; the planner is shown the index that has two.
            extra = {"impact": ["exact"], "clusters": PLANNED}.get(name, [])
            runs = [(name, None)] + ([(f"{name} avx2", "avx2")] if main and k == 10 else [])
            for curve, kernels in runs:
                measured, _ = points(folder, queries, [*settings, *(extra if kernels is None else [])],
                                     only=QUERIES[k], k=k, kernels=kernels)
                for p in measured:
                    kind = p["point"] if p["point"] in extra else None
                    times = {**p, "tuned": settings.get(p["point"])}
                    keep(curve if kind is None else kind.split(":")[0], p["point"], p["overlap"], times)


def summarised(collected):
    """{set: {k: {curve: [point, ...]}}} with the medians over the rounds."""
    out = {}
    for (curve, query_set, k), labels in collected.items():
        rows = []
        for label, point in labels.items():
            row = {"point": label, "overlap": point["overlap"], "rounds": len(point["runs"])}
            for key in ("us", "p50_us", "p99_us"):
                row[key] = median([run[key] for run in point["runs"]])
            last = point["runs"][-1]
            row.update({key: last[key] for key in ("method", "kernels", "tuned", "postings", "documents_scored",
                                                   "blocks_estimated", "blocks_visited") if key in last})
            rows.append(row)
        out.setdefault(query_set, {}).setdefault(str(k), {})[curve] = rows
    return out


def batches(args, peers, indexes, data, curves):
    """Queries a second over all cores at overlap .95, and memory."""
    out = {}
    for query_set in SETS:
        out[query_set] = {}
        queries = data / f"queries-{query_set}.bin"
        for name, folder in indexes.items():
            best = report.chosen(curves[query_set]["10"][name], .95)
            if best is None:
                continue
            measured, peak = points(folder, queries, [best["point"]], passes=5, batch=True)
            out[query_set][name] = {"point": best["point"], "queries_per_s": measured[0]["batch_queries_per_s"],
                                    "resident": peak, "what": "peak of the process"}
        few = args.work / "first.bin"
        words = np.fromfile(queries, "<u4")
        end = int(Truth.rows_of(words, 1001)[1000])
        few.write_bytes(struct.pack("<I", 1000) + words[1:end].tobytes())
        for peer in peers:
            curve = curves[query_set]["10"][f"peer {peer.n_postings}"]
            best = next((p for p in common.front(curve) if p["overlap"] >= .95), None)
            if best is None:
                continue
            cut, heap = (part.split("=")[1] for part in best["point"].split(","))
            done = peer.ask(do="batch", queries=few, k=10, point=[int(cut), float(heap)], threads=CORES)
            out[query_set][f"peer {peer.n_postings}"] = {
                "point": best["point"], "queries_per_s": 1000 / done["s"], "resident": done["rss"],
                "what": "of the worker, after building"}
        few.unlink()
    return out


def check_exact(indexes, data):
    """Exact mode against a scan over every document, and what the scan costs."""
    out = {}
    name = "impact" if "impact" in indexes else None
    for query_set in SETS if name else []:
        found, _ = points(indexes[name], data / f"queries-{query_set}.bin", ["exact", "scan"], only="1-50", oracle="scan")
        out[query_set] = {p["point"]: {"overlap": p["overlap"], "us": p["us"]} for p in found}
    return out


def beside_bmp(args, indexes, data):
    """Exact mode and BMP's, in turns of three passes over the first 1,000 queries."""
    if "impact" not in indexes:
        return {}
    bmp, truth, file = Worker("peer_bmp.py"), Truth(data), args.work / "index.bmp"
    file.unlink(missing_ok=True)
    built = bmp.ask(do="build", file=data / "documents.bin", out=file)
    say(f"built BMP: {built['s']:.1f} s")
    out, table = {"bytes": built["bytes"], "build_s": built["s"]}, args.work / "found.npy"
    for query_set in SETS:
        queries, ours, theirs = data / f"queries-{query_set}.bin", [], []
        bmp.ask(do="pass", queries=queries, first=1000, k=10, found=table)
        for _ in range(3):
            theirs.append(bmp.ask(do="pass", queries=queries, first=1000, k=10)["us"])
            ours.append(points(indexes["impact"], queries, ["exact"])[0][0]["us"])
        out[query_set] = {"us": median(ours), "peer_us": median(theirs), "peer_runs": theirs, "runs": ours,
                          "peer_overlap": truth.overlap(query_set, 10, np.load(table))}
        table.unlink()
    bmp.close()
    file.unlink()
    return out


def main():
    args = arguments()
    args.work = Path(args.work)
    args.out = args.out or args.work / "results.json"
    data, ks = args.work / "data", [int(k) for k in args.k.split(",")]
    results = {"machine": common.machine(), "build_s": {}, "measuring_s": {}, "bytes": {}}
    say(f"{results['machine']['cpu']}, {CORES} cores, load average {os.getloadavg()}")
    unpack(data)
    peers, indexes = build_all(args, data, results)
    documents = common.inspect(next(iter(indexes.values())))["manifest"]["segments"]
    chosen = tune(indexes, data, ks, sum(segment["rows"] for segment in documents))
    overlaps = peer_overlaps(peers, data, ks, args.work)
    collected, loads = {}, []
    for number in range(args.rounds):
        began = time.monotonic()
        one_round(peers, indexes, data, chosen, overlaps, collected)
        took = time.monotonic() - began
        loads.append(os.getloadavg()[0])
        say(f"round {number + 1}: {took:.0f} s, load average {loads[-1]:.2f}")
        if number and time.monotonic() + took + 60 - common.STARTED > 60 * args.minutes:
            break
    results["rounds"], results["load_averages"] = len(loads), loads
    results["curves"] = summarised(collected)
    results["batch"] = batches(args, peers, indexes, data, results["curves"])
    results["exact_check"] = check_exact(indexes, data)
    for peer in peers:
        peer.close()
    results["bmp"] = beside_bmp(args, indexes, data)
    results["seconds"] = time.monotonic() - common.STARTED
    results["table"] = report.table(results)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1))
    report.show(results)
    report.plot(results["curves"], args.out.with_suffix(""))
    say(f"wrote {args.out}, and plots beside it")


if __name__ == "__main__":
    main()
