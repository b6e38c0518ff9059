#!/usr/bin/env python3
"""Times our document encoder beside Python's ONNX Runtime on the same graphs, passages and cores.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install onnxruntime==1.30.0 tokenizers numpy onnx
    cargo build --release -p quarry-encoders --example encode_speed
    /tmp/venv/bin/python encoders/scripts/compare_speed.py CORPUS.jsonl [--model FOLDER] [--passages N] [--passes N]

Modes: `sparse`; and where the model has them `tokens` and `both` (the two outputs, one after the
other); `outside` where the model's own graph gives logits, which ours pools inside otherwise.

Python's side: sessions of one thread a core, or one session of a thread a core, each in its own
Python thread (the runtime lets go of the interpreter's lock), passages sorted by length, the fastest
of several batch sizes, found first; only the runtime is timed, with tokenisation done before, and
neither logits pooled nor components selected. Ours is timed from text to vectors. All modes, and the
body alone (the sparse graph up to its last layer), take turns; a JSON line gives medians in passages a
second, ratios, and the peak memory of our process.
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
import onnx
import onnxruntime
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
# (sessions of one thread a core?, largest batch, most tokens in a padded batch)
SETTINGS = [(True, 1, 1 << 20), (True, 2, 1 << 20), (True, 4, 1 << 20), (True, 8, 1 << 20),
            (True, 64, 256), (True, 64, 512), (True, 64, 1024), (False, 4, 1 << 20), (False, 64, 512)]


def sessions(graph, count, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # faster here: shapes vary
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return [onnxruntime.InferenceSession(graph, options) for _ in range(count)]


def body(path):
    """The graph up to its last layer: what the head's own normalisation is made of."""
    model = onnx.load(path)
    norms = [n for n in model.graph.node if n.op_type == "LayerNormalization"]
    end = norms[-2].output[0]
    inputs = [i.name for i in model.graph.input]
    model = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model(inputs, [end])
    return model.SerializeToString()


def batches(rows, most_rows, most_tokens, names):
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
        batch = {names["token_ids"]: ids, names["attention_mask"]: mask}
        if names.get("token_types"):
            batch[names["token_types"]] = np.zeros_like(ids)
        out.append(batch)
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


class Python:
    """A graph in Python's runtime, at its fastest setting."""

    def __init__(self, graph, rows, names, cores):
        kinds = {True: sessions(graph, cores, 1), False: sessions(graph, 1, cores)}
        for workers in kinds.values():
            timed(workers, batches(rows[:16], 4, 1024, names))
        sample = rows[:: max(1, len(rows) // 60)]
        sweep = {s: min(timed(kinds[s[0]], batches(sample, *s[1:], names)) for _ in range(2)) for s in SETTINGS}
        self.best = min(sweep, key=sweep.get)
        self.workers, self.work = kinds[self.best[0]], batches(rows, *self.best[1:], names)

    def seconds(self):
        return timed(self.workers, self.work)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("corpus")
    parser.add_argument("--passages", type=int, default=200)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "quarry-mini")
    parser.add_argument("--ours", type=Path, default=ROOT / "target/release/examples/encode_speed")
    a = parser.parse_args()

    shown = subprocess.run([a.ours, a.model, "--manifest"], check=True, capture_output=True).stdout
    manifest = json.loads(shown)
    document, tokens = manifest["document"], manifest.get("tokens")
    parameters = document["parameters"]
    with open(a.corpus, encoding="utf-8") as file:
        records = [json.loads(line) for line, _ in zip(file, range(a.passages))]
    tokenizer = Tokenizer.from_file(str(a.model / manifest["tokenizer"]["file"]))
    tokenizer.no_padding()

    def rows(parameters):
        texts = [parameters["separator"].join(p for p in (r.get("title", ""), r["text"]) if p) for r in records]
        tokenizer.enable_truncation(parameters["max_tokens"])
        return sorted((e.ids for e in tokenizer.encode_batch(texts)), key=len, reverse=True)

    sparse_rows = rows(parameters)
    graph = a.model / document["file"]
    python = {"sparse": Python(str(graph), sparse_rows, document["inputs"], a.sessions),
              "body": Python(body(graph), sparse_rows, document["inputs"], a.sessions)}
    ours = ["sparse"] if document["pooling"] == "in-graph" else ["sparse", "outside"]
    if tokens:
        python["tokens"] = Python(str(a.model / tokens["file"]), rows(tokens["parameters"]), tokens["inputs"], a.sessions)
        ours += ["tokens", "both"]

    seconds = {f"python {name}": [] for name in python} | {f"ours {mode}": [] for mode in ours}
    memory = {}
    for _ in range(a.passes):
        for name, runner in python.items():
            seconds[f"python {name}"].append(runner.seconds())
        for mode in ours:
            command = [a.ours, a.model, a.corpus, a.passages, a.sessions, mode]
            line = json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True).stdout)
            seconds[f"ours {mode}"] += line["seconds"]
            memory[mode] = {"loaded": line["loaded_mib"], "peak": line["peak_mib"]}
    if tokens:
        pairs = zip(seconds["python sparse"], seconds["python tokens"])
        seconds["python both"] = [sum(pair) for pair in pairs]
    rate = {name: len(records) / statistics.median(s) for name, s in seconds.items()}
    print(json.dumps({
        "corpus": Path(a.corpus).parent.name,
        "model": manifest["name"],
        "passages": len(records),
        "mean_tokens": round(sum(map(len, sparse_rows)) / len(records), 1),
        "sessions": a.sessions,
        "python_onnxruntime": onnxruntime.__version__,
        "python_settings": {n: {"one_thread": r.best[0], "rows": r.best[1], "tokens": r.best[2]} for n, r in python.items()},
        "per_second": {name: round(r, 1) for name, r in rate.items()},
        "ratios": {m: round(rate[f"ours {m}"] / rate[f"python {'sparse' if m == 'outside' else m}"], 3) for m in ours},
        "mib": memory,
        "passes": {name: [round(len(records) / s, 1) for s in all_] for name, all_ in seconds.items()},
        "load_average": os.getloadavg()[0],
    }))


if __name__ == "__main__":
    main()
