#!/usr/bin/env bash
# The sparse index beside Seismic: `benches/index/run.sh bench|growth|scale [OPTIONS]` (--help shows them).
#
# Makes a virtual environment with the pinned packages, builds the binaries, and runs the script.
# WORK (target/bench-index) holds the environment, the unpacked vectors, the indexes and the results.
# QUARRY_SHARED names the folder of collections. NO_BUILD=1 measures the binaries that are there.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
script=${1:-}
case "$script" in
bench | growth | scale) shift ;;
*)
    echo "usage: benches/index/run.sh bench|growth|scale [OPTIONS]" >&2
    exit 2
    ;;
esac
if [ ! -d "${QUARRY_SHARED:-}/data/vectors/wiki396k" ]; then
    echo "SKIPPED, nothing was measured: QUARRY_SHARED names no folder with data/vectors/wiki396k" >&2
    exit 1
fi
export WORK=${WORK:-$root/target/bench-index}
venv=$WORK/venv
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    echo "installing $(tr '\n' ' ' <"$here/requirements.txt")into $venv" >&2
    mkdir -p "$WORK"
    "${PYTHON:-python3}" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi
if [ -z "${NO_BUILD:-}" ]; then
    "${CARGO:-cargo}" build --release --locked --manifest-path "$root/Cargo.toml" --bin quarry --bin points --bin texts >&2
fi
exec "$venv/bin/python" "$here/$script.py" "$@"
