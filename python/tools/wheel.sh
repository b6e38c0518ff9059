#!/usr/bin/env bash
# Writes dist/quarry_search-VERSION-*.whl, for this machine's platform and any Python from 3.10 on.
#
# The crates that the binary has too are compiled once for both: the workspace's target folder is shared, and
# python/Cargo.toml asks for the same features. maturin comes from PyPI, into target/python/build.
set -euo pipefail
cd "$(dirname "$0")/../.."
most=15000000
build=${CARGO_TARGET_DIR:-target}/python/build
if ! "$build/bin/pip" freeze 2>/dev/null | grep -qxFf python/tools/requirements-build.txt; then
    rm -rf "$build"
    python3 -m venv "$build"
    "$build/bin/pip" install --quiet --disable-pip-version-check -r python/tools/requirements-build.txt
fi
mkdir -p dist
rm -f dist/quarry_search-*.whl
"$build/bin/maturin" build --quiet --release --locked --manifest-path python/Cargo.toml --out dist
for wheel in dist/quarry_search-*.whl; do
    bytes=$(wc -c <"$wheel")
    if [ "$bytes" -gt "$most" ]; then
        echo "$wheel has $bytes bytes; $most at most" >&2
        exit 1
    fi
    echo "$wheel: $bytes bytes"
done
