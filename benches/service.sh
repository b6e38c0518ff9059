#!/usr/bin/env bash
# Load test of `quarry serve --data` on this machine, with writes: closed loop on four connections, then open loop at 50, 80
# and 95 % of what that gave, each read only, with 5 % and with 50 % writes (one document each, acknowledged as synced).
# Prints one JSON object a line.
#
#   benches/service.sh                  on wiki396k of $QUARRY_SHARED (unpacked and indexed first)
#   benches/service.sh INDEX QUERIES    on a copy of an index that is there
#
# SECONDS_EACH (10) may be set. Client and server share the cores. Needs python3 (numpy for wiki396k).
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
bin=$root/target/release
each=${SECONDS_EACH:-10}
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

for binary in quarry service; do
    if [ ! -x "$bin/$binary" ]; then
        echo "$bin/$binary is missing: make bench-service builds it" >&2
        exit 1
    fi
done
if [ $# -eq 2 ]; then
    index=$1
    queries=$2
elif [ $# -gt 0 ]; then
    echo "usage: benches/service.sh [INDEX QUERIES]" >&2
    exit 2
elif [ ! -d "${QUARRY_SHARED:-}/data/vectors/wiki396k" ]; then
    echo "skipped: QUARRY_SHARED names no folder with data/vectors/wiki396k" >&2
    exit 0
else
    echo "unpacking and indexing wiki396k" >&2
    python3 "$QUARRY_SHARED/tools/unpack_vectors.py" "$work" --format csr >&2
    index=$work/index
    queries=$work/queries-expanded.csr
    timeout 1800 "$bin/quarry" index "$work/documents.csr" --out "$index" >&2
    rm "$work/documents.csr"
fi

# A fresh copy for each run: writes change it.
start() {
    stop
    rm -rf "$work/data"
    mkdir "$work/data"
    cp -r "$index" "$work/data/load"
    "$bin/quarry" serve --data "$work/data" --listen 127.0.0.1:0 >"$work/address" 2>"$work/log" &
    server=$!
    address=
    for _ in $(seq 600); do
        address=$(sed -n 's|^http://\([^/]*\)/.*|\1|p' "$work/address")
        if [ -n "$address" ] && python3 - "$address" <<'PY' 2>/dev/null
import sys, urllib.request
urllib.request.urlopen(f"http://{sys.argv[1]}/v1/collections/load", timeout=2)
PY
        then
            return
        fi
        kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
        sleep 0.2
    done
    echo "the server was not ready within two minutes" >&2
    exit 1
}

run() {
    timeout $((each + 120)) "$bin/service" "$address" load --queries "$queries" --seconds "$each" "$@"
}

for writes in 0 0.05 0.5; do
    start
    # Once to warm the mapping.
    timeout 60 "$bin/service" "$address" load --queries "$queries" --seconds 2 >/dev/null
    run --writes "$writes" | tee "$work/closed"
    capacity=$(python3 -c '
import json, sys
report = json.load(open(sys.argv[1]))
print(sum(report["statuses"].values()) / float(sys.argv[2]))' "$work/closed" "$each")
    for share in 0.5 0.8 0.95; do
        start
        timeout 60 "$bin/service" "$address" load --queries "$queries" --seconds 2 >/dev/null
        run --writes "$writes" --connections 64 --rate "$(python3 -c "print($capacity * $share)")"
    done
done
