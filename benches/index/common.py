"""What the two benchmarks of the sparse index share: running both sides, and reading overlap and time off."""
import json
import os
import re
import subprocess
import sys
import threading
import time
from importlib import metadata
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BIN = ROOT / "target" / "release"
SETS = ("expanded", "inference-free")
CORES = os.cpu_count() or 1
STARTED = time.monotonic()

# Seismic's search settings: query_cut, heap_factor.
PEER_POINTS = {
    10: [(2, .9), (3, .9), (3, 1.0), (4, .9), (4, 1.0), (5, .9), (5, 1.0), (6, .8), (6, .9), (8, .8), (8, .9),
         (10, .7), (12, .7), (20, .6), (40, .5)],
    100: [(4, .9), (5, .9), (6, .8), (8, .8), (8, .9), (10, .7), (12, .7), (20, .6)],
    1000: [(6, .8), (8, .8), (10, .7), (12, .7), (20, .6), (40, .5)],
}


def impact_grid(k, documents):
    """Postings grow with the collection, candidates with k."""
    shares = (.005, .01, .02, .03, .04, .055, .07, .09, .12, .15, .2, .28, .4)
    candidates = {10: (25, 40, 65, 100, 150, 220), 100: (130, 180, 250, 350, 500)}
    candidates = candidates.get(k, (int(1.1 * k), int(1.25 * k), int(1.5 * k), 2 * k, 3 * k))
    return [f"impact:postings={max(500, int(share * documents))},candidates={c}" for share in shares for c in candidates]


def seismic_grid(_k, _documents):
    cuts, heaps = (2, 3, 4, 5, 6, 8, 12, 20), (.4, .5, .6, .7, .8, .9)
    return [f"seismic:cut={cut},heap={heap}" for cut in cuts for heap in heaps]


def clusters_grid(k, documents):
    """Postings grow with the square root of the collection, clusters with k."""
    size = (documents / 396_059) ** .5
    candidates = {10: (30, 50, 70, 100, 150, 220), 100: (80, 120, 180, 260, 400)}
    candidates = candidates.get(k, (int(.5 * k), int(.7 * k), k, int(1.4 * k), 2 * k))
    postings = (10_000, 15_000, 22_000, 32_000, 46_000, 70_000, 100_000)
    return [f"clusters:postings={int(p * size)},candidates={c}" for p in postings for c in candidates]


# Methods of ours: what is built for each (options of `quarry index`) and the settings that are tried.
# A further method is a further line here; methods that the binary does not know are left out.
METHODS = {
    "impact": {"lists": ["--lists", "impact"], "grid": impact_grid},
    "clusters": {"lists": ["--lists", "clusters"], "grid": clusters_grid},
    "seismic": {"lists": ["--lists", "seismic", "--min-per-document", "0"], "grid": seismic_grid},
}


def known_methods():
    text = subprocess.run([BIN / "quarry", "index", "--help"], capture_output=True, text=True, check=True).stdout
    return {name: method for name, method in METHODS.items() if re.search(rf"- {name}:", text)}


def say(text):
    print(f"[{time.monotonic() - STARTED:6.0f} s] {text}", file=sys.stderr, flush=True)


def tool(name, *arguments):
    shared = os.environ.get("QUARRY_SHARED", "")
    path = Path(shared) / "tools" / name
    if not shared or not path.is_file():
        sys.exit(f"SKIPPED, nothing was measured: QUARRY_SHARED ({shared or 'not set'}) has no tools/{name}")
    subprocess.run([sys.executable, path, *map(str, arguments)], check=True, stdout=sys.stderr)


def machine():
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    versions = {name: metadata.version(name) for name in ("pyseismic-lsr", "bmp", "numpy", "scipy")}
    for name, command in {"quarry": [BIN / "quarry", "--version"], "rustc": ["rustc", "--version"],
                          "commit": ["git", "-C", ROOT, "describe", "--always", "--dirty"]}.items():
        try:
            versions[name] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            versions[name] = "unknown"
    flags = Path("/proc/cpuinfo").read_text()
    return {"cpu": model[1] if model else "unknown", "cores": CORES, "load_average": os.getloadavg(),
            "avx512_vbmi": "avx512_vbmi" in flags, "avx512_vnni": "avx512_vnni" in flags,
            "python": sys.version.split()[0], "versions": versions}


def evict(path):
    """Asks the system to forget a file, so that reading it counts."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def build(documents, out, lists, threads=None):
    """Builds an index; wall-clock seconds, reading and starting included."""
    evict(documents)
    environment = {**os.environ, **({"RAYON_NUM_THREADS": str(threads)} if threads else {})}
    command = [BIN / "quarry", "index", documents, "--out", out, "--overwrite", *lists]
    command += ["--threads", str(threads)] if threads else []
    started = time.monotonic()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"quarry index failed: {done.stderr[-2000:]}")
    return time.monotonic() - started


def tune(folder):
    """Lets an index measure itself; wall-clock seconds."""
    started = time.monotonic()
    done = subprocess.run([BIN / "quarry", "tune", folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"quarry tune failed: {done.stderr[-2000:]}")
    return time.monotonic() - started


def inspect(folder):
    command = [BIN / "quarry", "inspect", folder, "--json", "--no-verify"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def points(index, queries, settings, only="1-1000", k=10, passes=1, kernels=None, batch=False, oracle="exact"):
    """Runs our measuring program; a list of points as it prints them, and its peak resident bytes."""
    command = [BIN / "points", index, "--queries", queries, "--only", only, "--k", k, "--passes", passes]
    command += ["--oracle", oracle, "--preload", *(["--batch"] if batch else [])]
    command += ["--kernels", kernels] if kernels else []
    for setting in settings:
        command += ["--point", setting]
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak = [0]

    def watch():
        while process.poll() is None:
            try:
                found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
                peak[0] = max(peak[0], int(found[1]) * 1024 if found else 0)
            except OSError:
                return
            time.sleep(.2)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, errors = process.communicate()
    watcher.join()
    if process.returncode:
        sys.exit(f"points failed: {errors[-2000:]}")
    return [json.loads(line) for line in out.splitlines()], peak[0]


class Worker:
    """A peer's index in a process of its own, spoken to in JSON lines."""

    def __init__(self, script):
        self.process = subprocess.Popen([sys.executable, HERE / script], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # The package prints progress bars: they are read away, the last of them kept for an error.
        self.printed = []
        threading.Thread(target=self.drain, daemon=True).start()

    def drain(self):
        for line in self.process.stderr:
            self.printed = [*self.printed[-20:], line]

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request, default=str) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.process.args[1].name} ended: {''.join(self.printed)}")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Peer(Worker):
    """A Seismic index."""

    def __init__(self, n_postings):
        super().__init__("peer.py")
        self.n_postings = n_postings

    def build(self, documents):
        evict(documents)
        return self.ask(do="build", file=documents, n_postings=self.n_postings)


class Truth:
    """Overlap with the exact top k; a document whose score equals the k-th counts as found."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.words = np.memmap(self.folder / "documents.bin", "<u4", "r")
        self.starts = self.rows_of(self.words)
        self.kept = {}

    @staticmethod
    def rows_of(words, limit=None):
        count = int(words[0]) if limit is None else min(limit, int(words[0]))
        starts, at = np.empty(count, np.int64), 1
        for row in range(count):
            starts[row] = at
            at += 1 + 2 * int(words[at])
        return starts

    def scores(self, query, ids):
        dense = np.zeros(1 << 17)
        terms, weights = query
        dense[terms] = weights
        out = np.zeros(len(ids))
        for i, row in enumerate(ids):
            at, nnz = self.starts[row] + 1, int(self.words[self.starts[row]])
            out[i] = dense[self.words[at : at + nnz]] @ self.words[at + nnz : at + 2 * nnz].view("<f4").astype(np.float64)
        return out

    def of(self, name):
        if name not in self.kept:
            truth = np.load(self.folder / f"truth-{name}.npy")
            words = np.fromfile(self.folder / f"queries-{name}.bin", "<u4")
            queries = []
            for at in self.rows_of(words, len(truth)):
                nnz = int(words[at])
                queries.append((words[at + 1 : at + 1 + nnz], words[at + 1 + nnz : at + 1 + 2 * nnz].view("<f4")))
            self.kept[name] = truth, queries
        return self.kept[name]

    def overlap(self, name, k, table):
        """`table`: the ids that were found, a row a query, -1 where there are none."""
        truth, queries = self.of(name)
        total = 0
        for row, best, query in zip(table, truth[:, :k], queries):
            found = np.intersect1d(row, best).size
            others = np.setdiff1d(row[row >= 0], best)
            # Ties are looked for only where documents are missing, and among few of the others.
            if found < k and len(others):
                least = self.scores(query, best[-1:])[0]
                found += int((self.scores(query, others) >= least * (1 - 1e-6)).sum())
            total += min(found, k) / k
        return total / len(table)


def median(values):
    return float(np.median(values))


def front(curve):
    """The points that no other is both quicker and better than, quickest first."""
    best, kept = -1.0, []
    for point in sorted(curve, key=lambda p: (p["us"], -p["overlap"])):
        if point["overlap"] > best:
            kept.append(point)
            best = point["overlap"]
    return kept


def thinned(curve, step=.002, least=.8):
    """A front with no two points nearer than `step`, for measuring again."""
    kept, last = [], 0.0
    for point in front(curve):
        if point["overlap"] >= least and (point["overlap"] >= last + step or point["overlap"] > .998):
            kept.append(point)
            last = point["overlap"]
    return kept


def interpolated(curve, overlap):
    """Time at an overlap on the front, linear between points; none beyond its end."""
    points_ = front(curve)
    for below, above in zip([None, *points_], points_):
        if above["overlap"] >= overlap:
            if below is None or below["overlap"] >= overlap:
                return above["us"]
            share = (overlap - below["overlap"]) / (above["overlap"] - below["overlap"])
            return below["us"] + share * (above["us"] - below["us"])
    return None
