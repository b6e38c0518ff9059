#!/usr/bin/env python3
"""`quarry fuse` beside ranx and PyTerrier on the same run files: the largest difference of a score.

    pip install -r benches/fusion/requirements.txt
    benches/fusion/compare.py target/release/quarry [RUN RUN...]

Without runs, two made ones: 50 queries, 1 to 200 documents each, of 300. Fails where a score differs by more than
1e-6, or a document is there on one side alone. Where definitions differ, the setting that makes them equal is named.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from pyterrier_alpha.fusion import rr_fusion
from ranx import Run, fuse

MOST = 1e-6


def made(folder: Path) -> list[Path]:
    rng = random.Random(1)
    paths = []
    for name in ("a", "b"):
        lines = []
        for query in range(50):
            documents = rng.sample(range(300), rng.randint(2, 200))
            scores = sorted((rng.uniform(0.1, 30) for _ in documents), reverse=True)
            for rank, (document, score) in enumerate(zip(documents, scores), 1):
                lines.append(f"q{query} Q0 d{document} {rank} {score:.7g} {name}\n")
        path = folder / f"{name}.run"
        path.write_text("".join(lines))
        paths.append(path)
    return paths


def read(text: str) -> dict[str, dict[str, float]]:
    run: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        query, _, document, _, score, _ = line.split()
        run.setdefault(query, {})[document] = float(score)
    return run


def frame(run: dict[str, dict[str, float]]) -> pd.DataFrame:
    rows = [(q, q, d, s) for q, hits in run.items() for d, s in hits.items()]
    return pd.DataFrame(rows, columns=["qid", "query", "docno", "score"])


def of_frame(results: pd.DataFrame) -> dict[str, dict[str, float]]:
    run: dict[str, dict[str, float]] = {}
    for row in results.itertuples():
        run.setdefault(row.qid, {})[row.docno] = row.score
    return run


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("quarry", type=Path)
    arguments.add_argument("runs", type=Path, nargs="*")
    args = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = args.runs or made(Path(folder))
        runs = [read(path.read_text()) for path in paths]

        def ours(*options: str) -> dict[str, dict[str, float]]:
            command = [args.quarry, "fuse", *paths, "--window", "1000000", "-k", "1000000", *options]
            return read(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

        def ranx(norm: str | None, method: str, params: dict | None = None) -> dict[str, dict[str, float]]:
            given = [Run.from_dict(run) for run in runs]
            return fuse(runs=given, norm=norm, method=method, params=params).to_dict()

        weights = [1.0, 0.3, 0.7, 0.5][: len(runs)]
        listed = ",".join(map(str, weights))
        frames = [frame(run) for run in runs]
        rows = [
            ("max", "ranx max, sum", ours("--fusion", "max"), ranx("max", "sum")),
            ("max, weights", "ranx max, wsum", ours("--fusion", "max", "--weights", listed),
             ranx("max", "wsum", {"weights": weights})),
            ("minmax", "ranx min-max, sum", ours("--fusion", "minmax"), ranx("min-max", "sum")),
            ("minmax, weights", "ranx min-max, wsum", ours("--fusion", "minmax", "--weights", listed),
             ranx("min-max", "wsum", {"weights": weights})),
            ("rrf", "ranx rrf k 60", ours("--fusion", "rrf"), ranx(None, "rrf", {"k": 60})),
            ("rrf, --rrf-k 59", "PyTerrier rr_fusion k 60, ranks from 0", ours("--fusion", "rrf", "--rrf-k", "59"),
             of_frame(rr_fusion(*frames, k=60, num_results=10**9))),
        ]
        worst = 0.0
        for name, peer, left, right in rows:
            if {q: set(h) for q, h in left.items()} != {q: set(h) for q, h in right.items()}:
                sys.exit(f"{name}: documents differ from {peer}")
            most = max(abs(left[q][d] - right[q][d]) for q in left for d in left[q])
            worst = max(worst, most)
            print(f"{name:18} {peer:42} {most:.1e}")
        if worst > MOST:
            sys.exit(f"a score differs by {worst:.1e}; at most {MOST} was expected")


if __name__ == "__main__":
    main()
