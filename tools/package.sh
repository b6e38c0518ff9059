#!/usr/bin/env bash
# Every public crate as it would be published, without building it; none may be larger than a registry takes.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
most=10485760
"$cargo" package --workspace --locked --no-verify --allow-dirty --quiet \
    --exclude quarry-benches --exclude quarry-embed --exclude quarry-python "$@"
for crate in "${CARGO_TARGET_DIR:-target}"/package/*.crate; do
    bytes=$(wc -c <"$crate")
    if [ "$bytes" -gt "$most" ]; then
        echo "$crate has $bytes bytes; $most at most" >&2
        exit 1
    fi
done
