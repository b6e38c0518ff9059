#!/usr/bin/env python3
"""Prints the tables of channels.md: channels alone, fused, fed back and reranked, and the conditions of feedback.

    docs/figures/channels.py [--quarry target/release/quarry] [--work DIR] [--sets NAME,NAME] [--conditions]

Reads collections from $QUARRY_SHARED/data/beir. Indexes, runs and results are kept in --work and reused, so that an
interrupted call goes on. All collections take about two hours on two cores, --conditions as much again.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

# The five of the mean first.
MEAN = ["scifact", "nfcorpus", "arguana", "cranfield", "msmarco-v1-pool"]
OTHERS = ["cacm", "medline", "nq-sure1997"]
# Parts of the judgements of msmarco-v1-pool, reported apart.
PARTS = [("msmarco-v1-pool", "dl19"), ("msmarco-v1-pool", "dl20")]
MEASURES = ["nDCG@10", "R@100", "AP@1000", "RR@10"]
FUSED = ["sparse,bm25", "sparse,dense", "sparse,bm25,dense"]
AFTER, RERANK = ["--feedback", "after"], ["--rerank", "--no-exhaustive"]
ROWS = (
    [(f"`{channel}`", channel, []) for channel in ["sparse", "bm25", "dense"]]
    + [(f"`{channels}`", channels, []) for channels in FUSED]
    + [("`sparse,dense`, minmax", "sparse,dense", ["--fusion", "minmax"])]
    + [("`sparse,bm25,dense`, rrf", "sparse,bm25,dense", ["--fusion", "rrf"])]
    + [(f"`{channels}`, fed back", channels, AFTER) for channels in ["sparse", "bm25", "dense", *FUSED[1:]]]
    + [(f"`{channels}`, reranked", channels, RERANK) for channels in ["sparse", *FUSED[1:]]]
)


def number(value):
    """0.6820 as .6820."""
    return f"{value:.4f}".lstrip("0")


def signed(value):
    """0.0123 as +.0123."""
    return f"{value:+.4f}".replace("0.", ".", 1)


class Collections:
    """Indexes of the collections, and what was measured on them."""

    def __init__(self, quarry, shared, work):
        self.quarry, self.shared, self.work = quarry, shared, work
        work.mkdir(parents=True, exist_ok=True)

    def index(self, name):
        folder = self.work / f"{name}.qry"
        if not (folder / "CURRENT").is_file():
            source = self.shared / name
            command = [self.quarry, "index", source, "--out", folder, "--dense", "--tokens", "--no-tune"]
            subprocess.run([*command, *(["--resume"] if folder.exists() else [])], check=True)
        return folder

    def measured(self, name, split, channels, options):
        """The report of `quarry eval`."""
        words = "_".join([name, split, channels, *options]).replace(",", "+").replace("/", "_")
        kept = self.work / f"{words}.json"
        if not kept.is_file():
            command = [self.quarry, "eval", self.index(name), "--collection", self.shared / name]
            command += ["--split", split, "--measures", ",".join(MEASURES), "--channel", channels, "--json"]
            found = subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE, text=True)
            kept.write_text(found.stdout, encoding="utf-8")
        report = json.loads(kept.read_text(encoding="utf-8"))
        return report.get("reranked", report)


def mean(values):
    return sum(values) / len(values)


def effectiveness(collections, names, measure):
    """A row a kind of search."""
    first, others = ([n for n in group if n in names] for group in (MEAN, OTHERS))
    parts = [part for part in PARTS if part[0] in names]
    heads = [measure, *first, f"**mean of {len(first)}**", *others, f"**of {len(first + others)}**"]
    heads += [split for _, split in parts]
    lines = [heads, ["---"] * len(heads)]
    for label, channels, options in ROWS:
        if measure != "nDCG@10" and "--rerank" in options:
            continue
        value = {n: collections.measured(n, "test", channels, options)[measure] for n in first + others}
        of = lambda group: [number(value[n]) for n in group]
        means = [f"**{number(mean([value[n] for n in group]))}**" for group in (first, first + others)]
        cells = [label, *of(first), means[0], *of(others), means[1]]
        cells += [number(collections.measured(n, s, channels, options)[measure]) for n, s in parts]
        lines.append(cells)
    return lines


def conditions(collections, names, channels):
    """A row a condition: mean differences from no feedback, and on how many collections they are significant."""
    reports = []
    for name in names:
        runs = collections.work / f"runs-{name}-{channels.replace(',', '+')}"
        report = collections.measured(name, "test", channels, ["--conditions", str(runs), "--overwrite"])
        reports.append(report["conditions"])
    lines = [[f"`{channels}`", *MEASURES, "significant: nDCG, R, AP"], ["---"] * 6]
    for rows in zip(*reports):
        label = " ".join([rows[0]["condition"], "+".join(rows[0]["channels"])]).strip()
        found = {measure: [row["measures"][measure] for row in rows] for measure in MEASURES}
        if label == "none":
            cells = [number(mean([one["mean"] for one in found[m]])) for m in MEASURES] + [""]
        else:
            cells = [signed(mean([one["difference"] for one in found[m]])) for m in MEASURES]
            clear = lambda m, up: sum(one["p"] < 0.05 and (one["difference"] > 0) == up for one in found[m])
            cells.append(", ".join(f"+{clear(m, True)} -{clear(m, False)}" for m in MEASURES[:3]))
        lines.append([label, *cells])
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quarry", default="target/release/quarry")
    parser.add_argument("--work", default="target/channels", type=Path)
    parser.add_argument("--sets", default=",".join(MEAN + OTHERS))
    parser.add_argument("--conditions", action="store_true", help="also the tables of feedback's conditions")
    options = parser.parse_args()
    shared = os.environ.get("QUARRY_SHARED")
    if not shared:
        sys.exit("QUARRY_SHARED names no folder: it has to hold data/beir/NAME")
    names = options.sets.split(",")
    if unknown := set(names) - set(MEAN + OTHERS):
        sys.exit(f"--sets: no figures of {', '.join(sorted(unknown))}; there are {', '.join(MEAN + OTHERS)}")
    collections = Collections(options.quarry, Path(shared, "data/beir"), options.work)
    tables = [effectiveness(collections, names, measure) for measure in MEASURES[:2]]
    if options.conditions:
        tables += [conditions(collections, names, channels) for channels in [*FUSED[:2], "bm25,dense", FUSED[2]]]
    for table in tables:
        print("\n".join(f"| {' | '.join(cells)} |" for cells in table), end="\n\n")


if __name__ == "__main__":
    main()
