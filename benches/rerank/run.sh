#!/usr/bin/env bash
# MaxSim on one core beside its peers, and on a GPU where there is one: `benches/rerank/run.sh [OPTIONS]` (--help shows them).
#
# Makes a virtual environment with the pinned packages, builds the binary, and runs the script.
# WORK (target/bench-rerank) holds the environment, the rows, the index and the results.
# NO_BUILD=1 measures the binary that is there.
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
if [ -z "${NO_BUILD:-}" ]; then
    "${CARGO:-cargo}" build --release --locked --manifest-path "$root/Cargo.toml" --bin maxsim --bin rerank_cuda --bin rerank_depth >&2
fi
"$venv/bin/python" "$here/bench.py" "$@"
# Without a device they say so.
bin=${CARGO_TARGET_DIR:-$root/target}/release
"$bin/rerank_cuda"
"$bin/rerank_depth" --work "$WORK/depth"
