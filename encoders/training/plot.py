#!/usr/bin/env python3
"""Draws curves.png of the trainings' histories and rows.png of rows.jsonl: plot.py FOLDER (needs matplotlib)."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RUNS = (("tokens", "near", "token encoder"), ("sparse", "near", "sparse encoder, first run"),
        ("sparse2", "near", "sparse encoder, second run"))


FIVE = ("scifact", "nfcorpus", "arguana", "cranfield", "msmarco-v1-pool")


def draw_rows(folder):
    """nDCG@10 by how much the whole counts, at the weight that is best held out; a line a cap."""
    lines = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    sets = {x["collection"]: x for x in lines if "values" in x}
    held = [n for n in sets if n.startswith("held-")]
    weights = next(iter(sets.values()))["weights"]
    mean = lambda names, key, i: sum(sets[n]["values"][key][i] for n in names) / len(names)
    figure, columns = plt.subplots(1, 2, figsize=(9, 3.2))
    for cap in (32, 64, 256):
        points = []
        for share in (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0):
            key = f"cap {cap} s {share} special 0 power 0"
            i = max(range(len(weights)), key=lambda i: mean(held, key, i))
            points.append((share, mean(held, key, i), mean(FIVE, key, i)))
        for axis, column in ((0, 1), (1, 2)):
            columns[axis].plot([p[0] for p in points], [p[column] for p in points], marker="o", label=f"{cap} tokens have rows")
    for axis, title in zip(columns, ("held-out collections", "the five of the report")):
        axis.set_title(f"nDCG@10, {title}"), axis.set_xlabel("weight of the whole, for each token of a question")
    columns[0].legend()
    figure.tight_layout()
    figure.savefig(folder / "rows.png", dpi=70)


def main():
    folder = Path(sys.argv[1])
    if (folder / "rows.jsonl").exists():
        draw_rows(folder)
    figure, rows = plt.subplots(2, 3, figsize=(12, 6))
    for column, (name, near, title) in enumerate(RUNS):
        lines = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        losses = [x for x in lines if x["kind"] == "loss"]
        for loss, label in ((near, "KL, own eight passages"), ("far", "KL, the batch")):
            rows[0][column].plot([x["step"] for x in losses], [x[loss] for x in losses], label=label)
        rows[0][column].set_title(title)
        held, last = [(0, None)], losses[-1]["step"]
        for x in lines:
            if x["kind"] == "eval" and x.get("top", 128) == 128 and x.get("weight", 0.3) == 0.3:
                tag = x["model"]
                at = 0 if tag == "start" else int(tag[5:]) if tag.startswith("step ") else last if tag == "last" else None
                if at is not None:
                    held.append((at, x["mean"]))
        held = [h for h in held if h[1] is not None]
        rows[1][column].plot(*zip(*held), marker="o")
        rows[1][column].set_xlabel("step")
    rows[0][0].set_ylabel("loss")
    rows[1][0].set_ylabel("nDCG@10, held-out collections")
    rows[0][0].legend()
    figure.tight_layout()
    figure.savefig(folder / "curves.png", dpi=70)


if __name__ == "__main__":
    main()
