#!/usr/bin/env bash
# Miri over the vectors and what parses an index, where it is installed. Files are read, not mapped.
set -euo pipefail
cd "$(dirname "$0")/.."
for toolchain in "" +nightly; do
    # shellcheck disable=SC2086
    if cargo $toolchain miri --version >/dev/null 2>&1; then
        export MIRIFLAGS="-Zmiri-disable-isolation" PROPTEST_CASES=4
        cargo $toolchain miri test --locked -p quarry-vectors
        exec cargo $toolchain miri test --locked -p quarry-index --lib
    fi
done
echo "not run: Miri (rustup component add miri --toolchain nightly)"
