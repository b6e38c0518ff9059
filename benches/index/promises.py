#!/usr/bin/env python3
"""What an index promises and what real queries find: `benches/index/promises.py INDEX QUERIES`.

For each k and method the overlap with exact search that is found where --targets are asked for, and the
time beside the exact search's: each query's fastest pass, all settings taking turns in one run. INDEX has
been measured (`quarry tune`); QUERIES are vectors. Needs `cargo build --release --bin points`. Ends with 1
where a method reaches less than a target by more than .015 (`--slack`), although its table promises it.
"""
import argparse
import json
import os
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index")
    parser.add_argument("queries")
    parser.add_argument("--only", default="1-1000", help="queries used, by position from 1")
    parser.add_argument("--k", default="10,100,1000")
    parser.add_argument("--methods", default="auto,impact,clusters")
    parser.add_argument("--targets", default=".90,.95,.97,.99")
    parser.add_argument("--passes", default="5", help="timed passes; 1 where only overlaps are of interest")
    parser.add_argument("--slack", type=float, default=0.015)
    parser.add_argument("--points", default=os.path.join(ROOT, "target", "release", "points"))
    args = parser.parse_args()
    targets = args.targets.split(",")
    print("load averages", " ".join(f"{load:.1f}" for load in os.getloadavg()))
    print("found (us a query, times the exact search's); ! misses the target by more than the slack\n")
    print("| k | method | " + " | ".join(targets) + " | exact us |")
    print("|---|---|" + "---|" * (len(targets) + 1))
    missed = 0
    for k in args.k.split(","):
        points = [("exact", "")] + [(m, t) for m in args.methods.split(",") for t in targets]
        command = [args.points, args.index, "--queries", args.queries, "--only", args.only, "--k", k]
        command += ["--passes", args.passes, "--preload", "--oracle", "exact"]
        for method, target in points:
            command += ["--point", f"{method}:overlap={target}" if target else method]
        lines = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
        found = {point: json.loads(line) for point, line in zip(points, lines, strict=True)}
        exact = found[("exact", "")]["fastest_us"]
        for method in args.methods.split(","):
            cells = []
            for target in targets:
                point = found[(method, target)]
                low = point["overlap"] < float(target) - args.slack
                missed += low
                us = point["fastest_us"]
                taken = f" {point['method']}" if method == "auto" else ""
                cells.append(f"{point['overlap']:.3f}{'!' if low else ''}{taken} ({us:.0f}, {us / exact:.2f})")
            print(f"| {k} | {method} | " + " | ".join(cells) + f" | {exact:.0f} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
