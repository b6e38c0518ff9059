#!/usr/bin/env bash
# A short run of every fuzz target under AddressSanitizer, bounded by runs and not by time: the same inputs
# each time, from the committed seeds. What a run finds lies in fuzz/artifacts.
#
#   tools/fuzz.sh [TARGET...]      all of them (make fuzz), or these
#   RUNS=1000000 tools/fuzz.sh     longer
#
# Instrumentation asks for a switch of the compiler that is not stable; RUSTC_BOOTSTRAP lets the installed
# one take it. Nothing of the standard library is built.
set -euo pipefail
cd "$(dirname "$0")/.."
# Leaks are not looked for: that needs rights over other processes which a container may lack.
export RUSTC_BOOTSTRAP=1 CARGO_TERM_COLOR=never ASAN_OPTIONS=detect_leaks=0
cargo=${CARGO:-cargo}
host=$(rustc -vV | sed -n 's/^host: //p')
if ! ls "$(rustc --print sysroot)/lib/rustlib/$host/lib/"*asan* >/dev/null 2>&1; then
    echo "not run: fuzz targets ($(rustc --version) has no AddressSanitizer for $host)"
    exit 0
fi
# cargo-fuzz would write a lock file that is out of date anew, in silence.
"$cargo" fetch --locked --quiet --manifest-path fuzz/Cargo.toml
targets=("$@")
if [ $# -gt 0 ]; then
    for target in "$@"; do "$cargo" fuzz build --sanitizer address "$target"; done
else
    mapfile -t targets < <("$cargo" fuzz list)
    "$cargo" fuzz build --sanitizer address
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for target in "${targets[@]}"; do
    case $target in
    index_parts | manifests | model_folders) runs=${RUNS:-1500} ;;
    shares) runs=${RUNS:-200} ;;
    *) runs=${RUNS:-10000} ;;
    esac
    if ! [ -d "fuzz/seeds/$target" ]; then
        echo "fuzz: $target has no seeds (fuzz/seeds/$target)" >&2
        exit 1
    fi
    mkdir -p "$work/$target" "fuzz/artifacts/$target"
    # New inputs go to the first folder; the seeds stay as they are.
    if ! "fuzz/target/$host/release/$target" "$work/$target" "fuzz/seeds/$target" \
        -artifact_prefix="fuzz/artifacts/$target/" -runs="$runs" -seed=1 -max_len=20000 -timeout=60 \
        -rss_limit_mb=4096 -malloc_limit_mb=2048 >"$work/log" 2>&1; then
        tail -n 60 "$work/log" >&2
        echo "fuzz: $target found something: fuzz/artifacts/$target; again with \`cargo fuzz run $target FILE\`" >&2
        exit 1
    fi
    grep -E '^Done ' "$work/log" | sed "s/^/fuzz: $target: /"
done
