#!/usr/bin/env bash
# MaxSim on one core beside maxsim-cpu; on a GPU too, where there is one: `benches/rerank/run.sh [OPTIONS]`.
#
# Makes a virtual environment with the pinned packages, builds the programs, and runs them.
# WORK (target/bench-rerank) holds the environment, the rows, the index and the results.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export WORK=${WORK:-$root/target/bench-rerank}
venv=$WORK/venv
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    echo "installing $(tr '\n' ' ' <"$here/requirements.txt")into $venv" >&2
    mkdir -p "$WORK"
    "${PYTHON:-python3}" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi
"${CARGO:-cargo}" build --release --locked --manifest-path "$root/Cargo.toml" --bin maxsim --bin rerank_cuda >&2
"$venv/bin/python" "$here/bench.py" "$@"
# Without a device it says so.
"$root/target/release/rerank_cuda" || true
