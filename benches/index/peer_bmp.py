"""Worker that keeps one index of BMP (Block-Max Pruning, SIGIR 2024) and answers requests, as peer.py does.

{"do": "build", "file": PATH, "out": PATH}                                    -> {"s": seconds, "bytes": file}
{"do": "pass", "queries": PATH, "first": N, "k": K, "found": PATH or null}
    -> {"us": mean, "p50_us", "p99_us"}, one thread, one call a query, alpha and beta 1: BMP's exact search
       (of the query as it keeps it, 32 levels); with "found" the ids go there (npy, -1 where fewer were found)

The build reads the file in Python, which is most of its time. Document weights must be whole multiples, up to
255, of one step.
"""
import json
import os
import sys
import time

import numpy as np
from bmp import Indexer, Searcher

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
searcher = None
read = {}


def vectors_of(path, first=None):
    """(term ids, weights) of each vector of a .bin file."""
    words, at = np.memmap(path, "<u4", "r"), 1
    for _ in range(int(words[0]) if first is None else min(first, int(words[0]))):
        nnz = int(words[at])
        yield words[at + 1 : at + 1 + nnz], words[at + 1 + nnz : at + 1 + 2 * nnz].view("<f4")
        at += 1 + 2 * nnz


def step_of(path):
    """The step that the first weights are multiples of."""
    values = np.unique(np.concatenate([weights for _, weights in vectors_of(path, 2000)]).astype(np.float64))
    step = min(values[0], np.diff(values).min())
    step = values[-1] / round(values[-1] / step)
    if values[-1] / step > 255.5 or np.abs(values / step - np.rint(values / step)).max() > .02:
        sys.exit("weights are no multiples, up to 255, of one step")
    return step


def build(request):
    global searcher
    started = time.perf_counter()
    step = step_of(request["file"])
    indexer = Indexer(request["out"], bsize=32, compress_range=False)
    for number, (terms, weights) in enumerate(vectors_of(request["file"])):
        levels = np.rint(weights / step).astype(np.int64).tolist()
        indexer.add_document(str(number), dict(zip(map(str, terms.tolist()), levels)))
    indexer.finish()
    seconds = time.perf_counter() - started
    searcher = Searcher(request["out"])
    return {"s": seconds, "bytes": os.path.getsize(request["out"])}


def one_pass(request):
    key, k = (request["queries"], request["first"]), request["k"]
    if key not in read:
        read[key] = [dict(zip(map(str, terms.tolist()), weights.tolist()))
                     for terms, weights in vectors_of(*key)]
    found, each, clock, search = [], np.empty(len(read[key])), time.perf_counter, searcher.search
    for i, query in enumerate(read[key]):
        one = clock()
        ids, _ = search(query, k=k, alpha=1.0, beta=1.0)
        each[i] = clock() - one
        found.append(ids)
    if request.get("found"):
        table = np.full((len(found), k), -1, np.int64)
        for row, hits in zip(table, found):
            row[: len(hits)] = [int(hit) for hit in hits]
        np.save(request["found"], table)
    return {"us": float(each.mean()) * 1e6, "p50_us": float(np.median(each)) * 1e6,
            "p99_us": float(np.percentile(each, 99)) * 1e6}


for line in sys.stdin:
    request = json.loads(line)
    answer = {"build": build, "pass": one_pass}[request["do"]](request)
    print(json.dumps(answer), file=answers, flush=True)
