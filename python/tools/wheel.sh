#!/usr/bin/env bash
# Writes a wheel into dist/.
#
#   python/tools/wheel.sh            quarry_search-VERSION-*.whl, for this machine's platform and any Python from 3.10 on
#   python/tools/wheel.sh model      quarry_search_model-VERSION-*.whl: the bundled model, for any machine
#
# The crates that the binary has too are compiled once for both: the workspace's target folder is shared, and
# python/Cargo.toml asks for the same features. Tools come from PyPI, into target/python/build.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${CARGO_TARGET_DIR:-target}/python/build
if ! cmp -s python/tools/requirements-build.txt "$build/installed.txt"; then
    rm -rf "$build"
    python3 -m venv "$build"
    "$build/bin/pip" install --quiet --disable-pip-version-check -r python/tools/requirements-build.txt
    cp python/tools/requirements-build.txt "$build/installed.txt"
fi
mkdir -p dist
if [ "${1:-}" = model ]; then
    # A wheel's largest file on PyPI has 100 MB.
    name=quarry_search_model most=100000000
    rm -f dist/$name-*.whl
    "$build/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist python/model
else
    name=quarry_search most=15000000
    rm -f dist/$name-*.whl
    "$build/bin/maturin" build --quiet --release --locked --manifest-path python/Cargo.toml --out dist
fi
for wheel in dist/$name-*.whl; do
    bytes=$(wc -c <"$wheel")
    if [ "$bytes" -gt "$most" ]; then
        echo "$wheel has $bytes bytes; $most at most" >&2
        exit 1
    fi
    echo "$wheel: $bytes bytes"
done
