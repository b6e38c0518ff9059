#!/usr/bin/env python3
"""Writes the first table of effectiveness.md: nDCG@10 of BM25, quarry-mini and reranking.

    docs/figures/effectiveness.py [--quarry target/release/quarry] [--work DIR] [--sets NAME,NAME] [--write]

Reads collections from $QUARRY_SHARED/data/beir. Indexes and runs are kept in --work and reused, so that an
interrupted call goes on. Prints the table; with --write it replaces the one in effectiveness.md, which needs all
collections. Encoding takes about an hour of CPU time in all.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# The five of the mean first.
MEAN = ["scifact", "nfcorpus", "arguana", "cranfield", "msmarco-v1-pool"]
OTHERS = ["cacm", "medline", "nq-sure1997"]
ROWS = [("bm25", "BM25"), ("sparse", "quarry-mini"), ("reranked", "reranked, default settings")]
BEGIN, END = "<!-- effectiveness.py -->", "<!-- end of effectiveness.py -->"


def number(value):
    """0.6820 as .6820."""
    return f"{value:.4f}".lstrip("0")


def table(found):
    """The table of `quarry eval --sets --json`."""
    names = [name for name in MEAN + OTHERS if name in found]
    whole = all(name in found for name in MEAN)
    first = [name for name in names if name in MEAN]
    heads = first + (["**mean of these**"] if whole else []) + [name for name in names if name in OTHERS]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for key, label in ROWS:
        value = {name: found[name][key]["nDCG@10"] for name in names}
        cells = [number(value[name]) for name in first]
        if whole:
            cells.append(f"**{number(sum(value[name] for name in MEAN) / len(MEAN))}**")
        cells += [number(value[name]) for name in names if name in OTHERS]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quarry", default="target/release/quarry")
    parser.add_argument("--work", default="target/effectiveness")
    parser.add_argument("--sets", default=",".join(MEAN + OTHERS))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    shared = os.environ.get("QUARRY_SHARED")
    if not shared:
        sys.exit("QUARRY_SHARED names no folder: it has to hold data/beir/NAME")
    names = options.sets.split(",")
    if options.write and set(names) != set(MEAN + OTHERS):
        sys.exit("--write needs all collections: leave out --sets")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            source = Path(shared, "data/beir", name).resolve()
            if not source.is_dir():
                sys.exit(f"{source}: no such collection")
            Path(folder, name).symlink_to(source)
        command = [options.quarry, "eval", options.work, "--sets", folder, "--method", "exact", "--overwrite", "--json"]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    made = table(found)
    print(made)
    if options.write:
        page = Path(__file__).with_name("effectiveness.md")
        text = page.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN, 1)
        after = rest.split(END, 1)[1]
        page.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
