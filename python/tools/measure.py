"""What the package costs beside the engine: importing it, and taking queries in and giving results back.

    target/python/tests/bin/python python/tools/measure.py

The index has one document, so that a search itself is next to nothing; one thread; the least of seven processor times.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import quarry

QUERIES, TERMS, VOCABULARY = 20_000, 40, 30_000


def least(work: Callable[[], object]) -> float:
    """Microseconds a query."""
    times = []
    for _ in range(7):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times) / QUERIES * 1e6


def main() -> None:
    script = "import time; t = time.perf_counter(); import quarry; print((time.perf_counter() - t) * 1e3)"
    imports = [float(subprocess.check_output([sys.executable, "-c", script])) for _ in range(7)]
    print(f"import quarry: {min(imports):.1f} ms")
    quarry.set_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        document = sp.csr_matrix(np.ones((1, VOCABULARY), dtype=np.float32))
        index = quarry.Index.build(Path(folder) / "index", document, tune=False)
        random = np.random.default_rng(1)
        columns = [np.sort(random.choice(VOCABULARY, TERMS, replace=False)) for _ in range(QUERIES)]
        ends = np.arange(0, QUERIES * TERMS + 1, TERMS)
        matrix = sp.csr_matrix(
            (random.random(QUERIES * TERMS, dtype=np.float32), np.concatenate(columns), ends),
            shape=(QUERIES, VOCABULARY),
        )
        dicts = [{int(c): 0.5 for c in some} for some in columns]
        one = sp.csr_matrix((QUERIES, VOCABULARY), dtype=np.float32)
        print(f"CSR of {TERMS} terms, search and arrays: {least(lambda: index.batch(matrix).arrays()):.2f} us a query")
        print(f"the same without terms: {least(lambda: index.batch(one).arrays()):.2f} us a query")
        print(f"dicts of {TERMS} terms, search and arrays: {least(lambda: index.batch(dicts).arrays()):.2f} us a query")


if __name__ == "__main__":
    main()
