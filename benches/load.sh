#!/usr/bin/env bash
# Load test of `quarry serve` on this machine: requests a second, p50 and p99, and the overlap@10 of
# the default method with exact search. Prints one JSON object a line, then a table.
#
#   benches/load.sh                      on wiki396k of $QUARRY_SHARED (unpacked and indexed first)
#   benches/load.sh INDEX QUERIES...     on an index that is there
#
# SECONDS_EACH (10) and CONNECTIONS ("1 2 4") may be set. Client and server share the cores. The
# server listens on loopback alone and ends with the script. Needs python3 (numpy for wiki396k).
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
bin=$root/target/release
each=${SECONDS_EACH:-10}
connections=${CONNECTIONS:-1 2 4}
work=$(mktemp -d)
server=
stop() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        server=
    fi
}
trap 'stop; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

for binary in quarry load; do
    if [ ! -x "$bin/$binary" ]; then
        echo "$bin/$binary is missing: make bench-load builds it" >&2
        exit 1
    fi
done
if [ $# -gt 0 ]; then
    index=$1
    shift
    queries=("$@")
    if [ ${#queries[@]} -eq 0 ]; then
        echo "usage: benches/load.sh [INDEX QUERIES...]" >&2
        exit 2
    fi
else
    if [ ! -d "${QUARRY_SHARED:-}/data/vectors/wiki396k" ]; then
        echo "skipped: QUARRY_SHARED names no folder with data/vectors/wiki396k" >&2
        exit 0
    fi
    echo "unpacking and indexing wiki396k" >&2
    python3 "$QUARRY_SHARED/tools/unpack_vectors.py" "$work" --format seismic >&2
    index=$work/index
    timeout 1800 "$bin/quarry" index "$work/documents.bin" --out "$index" >&2
    rm "$work/documents.bin"
    queries=("$work/queries-expanded.bin" "$work/queries-inference-free.bin")
fi

"$bin/quarry" serve "$index" --name load --listen 127.0.0.1:0 >"$work/address" 2>"$work/log" &
server=$!
for _ in $(seq 600); do
    address=$(sed -n 's|^http://\([^/]*\)/.*|\1|p' "$work/address")
    if [ -n "$address" ] && python3 - "$address" <<'PY' 2>/dev/null
import sys, urllib.request
urllib.request.urlopen(f"http://{sys.argv[1]}/readyz", timeout=2)
PY
    then
        break
    fi
    kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
    address=
    sleep 0.2
done
if [ -z "$address" ]; then
    echo "the server was not ready within two minutes" >&2
    exit 1
fi

for file in "${queries[@]}"; do
    for count in $connections; do
        # Once to warm the mapping, then to measure.
        timeout 60 "$bin/load" "$address" load --queries "$file" --connections "$count" --seconds 2 >/dev/null
        timeout $((each + 60)) "$bin/load" "$address" load --queries "$file" \
            --connections "$count" --seconds "$each" >"$work/load-$(basename "$file")-$count"
    done
done
stop
for file in "${queries[@]}"; do
    timeout 600 "$bin/quarry" eval "$index" --queries "$file" --only 1-1000 --method auto \
        --against-exact 10 --json >"$work/overlap-$(basename "$file")"
done

python3 - "$work" "$connections" "${queries[@]}" <<'PY'
import json, os, sys
work, connections, files = sys.argv[1], sys.argv[2].split(), sys.argv[3:]
rows = []
for file in files:
    name = os.path.basename(file)
    overlap = json.load(open(f"{work}/overlap-{name}"))
    for count in connections:
        report = json.load(open(f"{work}/load-{name}-{count}"))
        report = {"queries": name, **report, "overlap@10": overlap["overlap@10"], "cores": os.cpu_count()}
        print(json.dumps(report))
        rows.append(report)
print()
print("| queries | connections | requests/s | p50 ms | p99 ms | other than 200 | overlap@10 |")
print("|---|---|---|---|---|---|---|")
for r in rows:
    other = sum(n for status, n in r["statuses"].items() if status != "200")
    print(f"| {r['queries']} | {r['connections']} | {r['requests_per_second']:.0f} | {r['p50_us'] / 1000:.2f} "
          f"| {r['p99_us'] / 1000:.2f} | {other} | {r['overlap@10']:.4f} |")
PY
