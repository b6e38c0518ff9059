#!/usr/bin/env python3
"""Draws results/curves.png from the histories: plot.py FOLDER (needs matplotlib)."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RUNS = (("tokens", "near", "token encoder"), ("sparse", "near", "sparse encoder, first run"),
        ("sparse2", "near", "sparse encoder, second run"))


def main():
    folder = Path(sys.argv[1])
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
