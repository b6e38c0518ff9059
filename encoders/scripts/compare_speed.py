#!/usr/bin/env python3
"""Times our document encoder beside Python's ONNX Runtime on the same graph, passages and cores.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install onnxruntime==1.30.0 tokenizers numpy
    cargo build --release -p quarry-encoders --example encode_speed
    /tmp/venv/bin/python encoders/scripts/compare_speed.py CORPUS.jsonl [--passages N] [--passes N]

Python's side: one session of one thread a core, each in its own thread (the runtime lets go of
the interpreter's lock), passages sorted by length, the fastest of several batch sizes, found
first; only the runtime is timed, with tokenisation done before and no component selected. Ours is
timed from text to sparse vectors. Passes alternate; a JSON line gives both medians in passages a
second, and their ratio.
"""

import argparse
import json
import os
import statistics
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
# (largest batch, most tokens in a padded batch)
SETTINGS = [(1, 1 << 20), (2, 1 << 20), (4, 1 << 20), (8, 1 << 20), (16, 1 << 20),
            (64, 256), (64, 384), (64, 512), (64, 768), (64, 1024)]


def sessions(path, count):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # faster here: shapes vary
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return [onnxruntime.InferenceSession(str(path), options) for _ in range(count)]


def batches(rows, most_rows, most_tokens):
    """Rows, longest first, as ready tensors."""
    out, at = [], 0
    while at < len(rows):
        length = len(rows[at])
        count = max(1, min(most_rows, most_tokens // length))
        ids = np.zeros((min(count, len(rows) - at), length), np.int64)
        mask = np.zeros_like(ids)
        for to, row in zip(range(len(ids)), rows[at:at + count]):
            ids[to, :len(row)] = row
            mask[to, :len(row)] = 1
        out.append({"input_ids": ids, "attention_mask": mask})
        at += count
    return out


def timed(workers, work):
    """Seconds that the sessions need for all batches, shared through one queue."""
    queue, lock = iter(work), threading.Lock()

    def run(session):
        while True:
            with lock:
                batch = next(queue, None)
            if batch is None:
                return
            session.run(None, batch)

    threads = [threading.Thread(target=run, args=(s,)) for s in workers]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("corpus")
    parser.add_argument("--passages", type=int, default=300)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "quarry-mini")
    parser.add_argument("--ours", type=Path, default=ROOT / "target/release/examples/encode_speed")
    a = parser.parse_args()

    manifest = json.loads((a.model / "quarry-model.json").read_text())
    parameters = manifest["document"]["parameters"]
    with open(a.corpus, encoding="utf-8") as file:
        records = [json.loads(line) for line, _ in zip(file, range(a.passages))]
    texts = [parameters["separator"].join(p for p in (r.get("title", ""), r["text"]) if p) for r in records]
    tokenizer = Tokenizer.from_file(str(a.model / manifest["tokenizer"]["file"]))
    tokenizer.no_padding()
    tokenizer.enable_truncation(parameters["max_tokens"])
    rows = sorted((e.ids for e in tokenizer.encode_batch(texts)), key=len, reverse=True)

    workers = sessions(a.model / manifest["document"]["file"], a.sessions)
    timed(workers, batches(rows[:16], 4, 1024))
    sweep = {s: min(timed(workers, batches(rows, *s)) for _ in range(2)) for s in SETTINGS}
    best = min(sweep, key=sweep.get)
    work = batches(rows, *best)

    command = [str(a.ours), str(a.model), a.corpus, str(a.passages), str(a.sessions)]
    python, ours = [], []
    for _ in range(a.passes):
        python.append(len(rows) / timed(workers, work))
        line = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        ours += [line["passages"] / seconds for seconds in line["seconds"]]
    medians = statistics.median(python), statistics.median(ours)
    print(json.dumps({
        "corpus": Path(a.corpus).parent.name,
        "passages": len(rows),
        "mean_tokens": round(sum(map(len, rows)) / len(rows), 1),
        "sessions": a.sessions,
        "python_onnxruntime": onnxruntime.__version__,
        "python_batch": {"rows": best[0], "tokens": best[1]},
        "python_per_second": round(medians[0], 1),
        "ours_per_second": round(medians[1], 1),
        "ratio": round(medians[1] / medians[0], 3),
        "python_passes": [round(p, 1) for p in python],
        "our_passes": [round(p, 1) for p in ours],
    }))


if __name__ == "__main__":
    main()
