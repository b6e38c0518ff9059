#!/usr/bin/env python3
"""From text to an index that was killed on the way and resumed: rate, ETA beside the time taken, peak memory.

1. the first passages of $QUARRY_SHARED/data/train/wiki2014-en-311k.tsv.xz as a collection  2. `quarry index`, killed
after each of --kill seconds and started again with --resume  3. the MS MARCO dev questions of queries.tsv.xz, their
overlap@10 with the exact search  4. one JSON object on standard output

Needs `make build` and nothing but Python.
"""
import argparse
import itertools
import json
import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
QUARRY = ROOT / "target" / "release" / "quarry"
LINE = re.compile(r"^encoding: ([\d,]+) of [\d,]+ \((\d+) documents/s.*?(?:, ETA (\d+) (second|minute|hour|day)s?)?\)$")
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
NEEDED = ("wiki2014-en-311k.tsv", "wiki2014-en-311k.ids", "queries.tsv")


def arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--documents", type=int, default=100_000)
    ap.add_argument("--kill", default="317,641", help="seconds after which a run is killed, separated by commas")
    ap.add_argument("--model", type=Path, default=ROOT / "models" / "quarry-mini")
    ap.add_argument("--threads", type=int, help="threads of quarry [default: all]")
    ap.add_argument("--work", type=Path, default=ROOT / "target" / "bench-text",
                    help="folder for the collection and the index; an index of an earlier run there is replaced")
    return ap.parse_args()


def collect(train, count, path):
    with lzma.open(train / "wiki2014-en-311k.tsv.xz", "rt") as texts, lzma.open(
        train / "wiki2014-en-311k.ids.xz", "rt"
    ) as ids, open(path, "w") as out:
        for line, name in itertools.islice(zip(texts, ids), count):
            title, text = line.rstrip("\n").split("\t", 1)
            out.write(json.dumps({"_id": name.strip(), "title": title, "text": text}) + "\n")


def run(command, kill_after):
    """Runs `quarry index`; what it said of its progress, when it ended, peak memory and processor seconds."""
    started, shown = time.monotonic(), []
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    # Not `Popen.kill`, which would wait and lose the usage that `wait4` gives.
    killer = threading.Timer(kill_after or 0, os.kill, (process.pid, signal.SIGKILL))
    killer.daemon = True
    if kill_after is not None:
        killer.start()
    for line in process.stderr:
        print(line, end="", file=sys.stderr)
        if said := LINE.match(line.strip()):
            done, rate, eta, unit = said.groups()
            eta = int(eta) * SECONDS[unit] if eta else None
            shown.append((time.monotonic(), int(done.replace(",", "")), int(rate), eta))
    killer.cancel()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != (0 if kill_after is None else -signal.SIGKILL):
        raise SystemExit(f"quarry index ended with {process.returncode}, which was not expected")
    seconds = time.monotonic() - started
    return shown, {"s": seconds, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_bytes": usage.ru_maxrss * 1024}


def main():
    args = arguments()
    shared = os.environ.get("QUARRY_SHARED")
    if not shared:
        raise SystemExit("SKIPPED, nothing was measured: QUARRY_SHARED names no folder")
    train, work = Path(shared) / "data" / "train", args.work
    missing = [p for p in (QUARRY, args.model, *(train / f"{n}.xz" for n in NEEDED)) if not p.exists()]
    if missing:
        raise SystemExit(f"not there: {', '.join(map(str, missing))}; `make build` makes the binary")
    work.mkdir(parents=True, exist_ok=True)
    # Only what this script itself made: --work may be a folder that holds other things.
    index = work / "interrupted.qry"
    if index.exists():
        shutil.rmtree(index)
    collect(train, args.documents, work / "corpus.jsonl")
    threads = ["--threads", str(args.threads)] if args.threads else []
    command = [QUARRY, *threads, "index", work / "corpus.jsonl", "--model", args.model, "--out", index]
    kills = [float(s) for s in args.kill.split(",") if s]
    runs, etas = [], []
    for number, kill_after in enumerate([*kills, None]):
        shown, used = run([*command, *(["--resume"] if number else [])], kill_after)
        runs.append({**used, "killed": kill_after is not None, "last_shown": shown[-1][1] if shown else None})
        etas.append(shown)
    # What was promised in the last run, beside when its encoding ended (at its last line, about).
    last = etas[-1]
    promised = [
        {"documents": done, "rate": rate, "eta_s": eta, "left_s": round(last[-1][0] - at)}
        for at, done, rate, eta in last[:: max(1, len(last) // 5)]
        if eta is not None
    ]
    with lzma.open(train / "queries.tsv.xz", "rt") as lines, open(work / "questions.tsv", "w") as out:
        fields = (line.rstrip("\n").split("\t") for line in lines)
        asked = [f[1] for f in fields if f[0] == "topics.msmarco-passage.dev-subset.txt"]
        out.writelines(f"q{at}\t{text}\n" for at, text in enumerate(asked, 1))
    started = time.monotonic()
    searched = [QUARRY, "eval", index, "--queries", work / "questions.tsv", "--model", args.model,
                "--against-exact", "10", "--json"]
    answer = subprocess.run(searched, check=True, capture_output=True, text=True).stdout
    json.dump({"documents": args.documents, "runs": runs, "promised": promised, "questions": len(asked),
               "search_s": time.monotonic() - started, "search": json.loads(answer)}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
