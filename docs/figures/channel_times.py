#!/usr/bin/env python3
"""Times of searches through a running server, one at a time: one row for each kind of search.

    docs/figures/channel_times.py INDEX --queries FILE [--dense-queries FILE] [--passes 3] [--only 6980] [--kinds "NAME;NAME"]

Serves INDEX with one search at a time and asks it every query of FILE: JSON lines with "id", "text" and "vector", by token.
Dense vectors are the rows of the .npy file if the index's were imported; without it the server makes them of the texts.
A time is the sum of the server's `timings_us` without `encode`: search, fusion and feedback in the program, without HTTP and
encoding. Kinds take turns, so that what disturbs a pass disturbs each. After each pass the table is printed: the median of all
times, the median of each query's fastest, the 99th percentile, and overlap@10 with the exact result of the same channel.
"""

import argparse
import ast
import http.client
import json
import os
import statistics
import struct
import subprocess
import sys
from pathlib import Path

GRAPH = {"dense_method": "graph"}
THREE = ["sparse", "bm25", "dense"]
FEEDBACK = {"feedback": {"condition": "after"}}


def window(size):
    return {"fusion": {"window": size}}


def kinds():
    """Name: (request without the query, which share of the queries is asked, as one in so many)."""
    found = {
        "sparse": ({"channels": ["sparse"]}, 1),
        "sparse exact": ({"channels": ["sparse"], "method": "exact"}, 1),
        "bm25": ({"channels": ["bm25"]}, 1),
        "dense scan": ({"channels": ["dense"]}, 10),
        "dense graph, overlap .98": ({"channels": ["dense"], **GRAPH}, 1),
        "dense graph, overlap .95": ({"channels": ["dense"], **GRAPH, "overlap": 0.95}, 1),
    }
    for beam in (96, 128, 160, 192):
        found[f"dense graph, beam {beam}"] = ({"channels": ["dense"], **GRAPH, "dense_beam": beam}, 1)
    # Sparse hits, at which the walk begins, count next to nothing in the fused list: it is what dense found.
    alone = {"fusion": {"window": 10, "weights": {"sparse": 0.000001}}}
    for beam in (64, 96, 128, 160, 192):
        options = {"channels": ["sparse", "dense"], **GRAPH, "dense_beam": beam, **alone}
        found[f"sparse and dense graph, beam {beam}"] = (options, 1)
    for size, step in ((100, 3), (1000, 9)):
        at = f", window {size}"
        found["sparse,bm25" + at] = ({"channels": ["sparse", "bm25"], **window(size)}, step)
        found["sparse,dense graph" + at] = ({"channels": ["sparse", "dense"], **GRAPH, **window(size)}, step)
        found["three, graph" + at] = ({"channels": THREE, **GRAPH, **window(size)}, step)
        found["sparse,bm25" + at + ", fed back"] = ({"channels": ["sparse", "bm25"], **window(size), **FEEDBACK}, step)
        found["three, graph" + at + ", fed back"] = ({"channels": THREE, **GRAPH, **window(size), **FEEDBACK}, step)
        fewer = {**GRAPH, "overlap": 0.95}
        found["three, graph" + at + ", overlap .95"] = ({"channels": THREE, **fewer, **window(size)}, step)
        found["three, graph" + at + ", overlap .95, fed back"] = ({"channels": THREE, **fewer, **window(size), **FEEDBACK}, step)
        found["three, scan" + at] = ({"channels": THREE, **window(size)}, 40)
        found["three, scan" + at + ", fed back"] = ({"channels": THREE, **window(size), **FEEDBACK}, 40)
    return found


def npy(path):
    """The rows of a two-dimensional .npy file in fp32."""
    data = Path(path).read_bytes()
    start = 10 + struct.unpack("<H", data[8:10])[0] if data[6] == 1 else 12 + struct.unpack("<I", data[8:12])[0]
    head = ast.literal_eval(data[10 if data[6] == 1 else 12 : start].decode("latin-1"))
    if head["descr"] != "<f4" or head["fortran_order"]:
        sys.exit(f"{path}: expected rows of fp32 (<f4), found {head['descr']}")
    rows, width = head["shape"]
    values = struct.unpack(f"<{rows * width}f", data[start:])
    return [list(values[at * width : (at + 1) * width]) for at in range(rows)]


class Server:
    def __init__(self, quarry, index):
        command = [quarry, "serve", index, "--name", "x", "--listen", "127.0.0.1:0", "--in-flight", "1", "--threads", "1"]
        env = {"QUARRY_LOG": "error"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **env})
        address = self.process.stdout.readline().split("/")[2]
        self.connection = http.client.HTTPConnection(address, timeout=60)
        while True:
            self.connection.request("GET", "/readyz")
            answer = self.connection.getresponse()
            answer.read()
            if answer.status == 200:
                break

    def search(self, request):
        self.connection.request("POST", "/v1/collections/x/search", request, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        found = json.loads(answer.read())
        if answer.status != 200:
            sys.exit(f"{answer.status}: {found}\n{request[:300]}")
        return found


def asked(query, dense, options):
    wanted = {"k": 10, "timeout_ms": 60000, **options}
    given = {}
    if "sparse" in options["channels"]:
        given["sparse"] = {"tokens": query["vector"]}
    if "bm25" in options["channels"]:
        given["text"] = query["text"]
    if "dense" in options["channels"]:
        given |= {"dense": dense} if dense else {"text": query["text"]}
    return json.dumps({"query": given, **wanted})


def show(names, times, hits, to):
    """The table, and the same as JSON."""
    exact = {"sparse": "sparse exact"}
    exact |= {name: "dense scan" for name in names if name.startswith(("dense graph", "sparse and dense"))}
    print("| kind | queries | passes | median us | median of the fastest | p99 | overlap@10 |")
    print("|---|---|---|---|---|---|---|")
    report = {}
    for name in names:
        every_time = sorted(t for of in times[name].values() for t in of)
        fastest = statistics.median(min(of) for of in times[name].values())
        against = hits.get(exact.get(name), {})
        both = [at for at in hits[name] if against.get(at)]
        found = statistics.mean(len(hits[name][at] & against[at]) / len(against[at]) for at in both) if both else None
        count, passes = len(times[name]), len(every_time) // len(times[name])
        report[name] = [count, passes, statistics.median(every_time), fastest, every_time[len(every_time) * 99 // 100], found]
        cells = [name, f"{count:,}", str(passes), *(f"{value:,.0f}" for value in report[name][2:5]), f"{found:.4f}" if found else ""]
        print(f"| {' | '.join(cells)} |", flush=True)
    if to:
        Path(to).write_text(json.dumps(report), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index")
    parser.add_argument("--quarry", default="target/release/quarry")
    parser.add_argument("--queries", required=True)
    parser.add_argument("--dense-queries", help="rows of fp32 (.npy), one a query; without it the server encodes the texts")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--only", type=int, default=6980, help="queries, the first of the file")
    parser.add_argument("--kinds", help="names of kinds, separated by ;")
    parser.add_argument("--json", help="file for all results")
    options = parser.parse_args()
    queries = [json.loads(line) for line in open(options.queries, encoding="utf-8")]
    dense = npy(options.dense_queries) if options.dense_queries else [None] * len(queries)
    if len(queries) != len(dense):
        sys.exit(f"{len(queries)} queries, {len(dense)} rows")
    places = range(min(options.only, len(queries)))
    every = kinds()
    names = [n for n in options.kinds.split(";")] if options.kinds else list(every)
    server = Server(options.quarry, options.index)
    times = {name: {} for name in names}
    hits = {name: {} for name in names}
    try:
        for number in range(-1, options.passes):
            for name in names:
                request, step = every[name]
                # The first pass warms.
                for at in places[:: step if number >= 0 else step * 20]:
                    answer = server.search(asked(queries[at], dense[at], request))
                    if number < 0:
                        continue
                    spent = answer["timings_us"]
                    took = sum(spent[part] for part in ("search", "feedback", "second_search", "fuse"))
                    times[name].setdefault(at, []).append(took)
                    hits[name][at] = {hit["id"] for hit in answer["hits"]}
            if number >= 0:
                show(names, times, hits, options.json)
    finally:
        server.process.terminate()
        server.process.wait()


if __name__ == "__main__":
    main()
