"""Worker that keeps one Seismic index and answers requests, one JSON object a line on stdin and stdout.

{"do": "build", "file": PATH, "n_postings": N}                     -> {"s": seconds, "bytes": {...}}
{"do": "pass", "queries": PATH, "first": N, "k": K, "points": [[cut, heap], ...], "found": PATH or null}
    -> a list: {"us": mean, "p50_us", "p99_us"} of each point, one thread, one call a query;
       with "found", the ids go there (npz, one array a point, -1 where fewer were found), untimed
{"do": "batch", "queries": PATH, "k": K, "point": [cut, heap], "threads": T}  -> {"s": seconds, "rss": bytes}

What the package itself prints goes to stderr.
"""
import json
import os
import re
import sys
import tempfile
import time

import numpy as np
from seismic import SeismicIndexRaw

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
index = None
read = {}


def queries_of(path, first):
    if (path, first) not in read:
        raw, at, out = open(path, "rb").read(), 4, []
        for _ in range(min(first, int(np.frombuffer(raw[:4], "<u4")[0]))):
            nnz = int(np.frombuffer(raw[at : at + 4], "<u4")[0])
            terms = np.frombuffer(raw[at + 4 : at + 4 + 4 * nnz], "<u4").astype(np.int32)
            out.append((terms, np.frombuffer(raw[at + 4 + 4 * nnz : at + 4 + 8 * nnz], "<f4").copy()))
            at += 4 + 8 * nnz
        read[path, first] = out
    return read[path, first]


def build(request):
    global index
    index = None
    started = time.perf_counter()
    index = SeismicIndexRaw.build(request["file"], n_postings=request["n_postings"], centroid_fraction=0.1,
                                  min_cluster_size=2, summary_energy=0.4, max_fraction=6.0, doc_cut=15)
    seconds = time.perf_counter() - started
    # The package prints its sizes and returns nothing: catch what it prints.
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 1)
        index.print_space_usage_byte()
        os.dup2(2, 1)
        caught.seek(0)
        text = caught.read().decode()
    sizes = {name.lower(): int(n) for name, n in re.findall(r"([A-Za-z_ ]+): (\d+) Bytes", text)}
    return {"s": seconds, "bytes": {name.strip(): n for name, n in sizes.items()}}


def one_pass(request):
    k, out, ids = request["k"], [], {}
    queries = queries_of(request["queries"], request["first"])
    for at, (cut, heap) in enumerate(request["points"]):
        each = np.empty(len(queries))
        found, clock, search = [], time.perf_counter, index.search
        started = clock()
        for i, (terms, weights) in enumerate(queries):
            one = clock()
            found.append(search(terms, weights, k, cut, heap, 0, False))
            each[i] = clock() - one
        mean = (clock() - started) / len(queries)
        out.append({"us": mean * 1e6, "p50_us": float(np.median(each)) * 1e6,
                    "p99_us": float(np.percentile(each, 99)) * 1e6})
        if request.get("found"):
            table = np.full((len(queries), k), -1, np.int64)
            for row, hits in zip(table, found):
                row[: len(hits)] = [hit[1] for hit in hits]
            ids[str(at)] = table
    if request.get("found"):
        np.savez(request["found"], **ids)
    return out


def batch(request):
    cut, heap = request["point"]
    index.batch_search(request["queries"], request["k"], cut, heap, 0, False, request["threads"])
    started = time.perf_counter()
    index.batch_search(request["queries"], request["k"], cut, heap, 0, False, request["threads"])
    seconds = time.perf_counter() - started
    status = open("/proc/self/status").read()
    return {"s": seconds, "rss": int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024}


for line in sys.stdin:
    request = json.loads(line)
    answer = {"build": build, "pass": one_pass, "batch": batch}[request["do"]](request)
    print(json.dumps(answer), file=answers, flush=True)
