#!/usr/bin/env bash
# The engine and the binary without their features; then the oldest Rust that Cargo.toml names, and aarch64,
# checked where toolchain and target are installed.
# Otherwise clippy's lint `incompatible_msrv` is all that is known of the first, and this says so.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
# What is left out of a build must not be needed by the rest, and is an error when it is called.
"$cargo" clippy --release --locked -p quarry-engine -p quarry-cli --no-default-features -- -D warnings
# Unoptimised: other features mean that all dependencies are built once more.
CARGO_PROFILE_DEV_DEBUG=none "$cargo" test --locked -p quarry-engine -p quarry-reranker \
    --no-default-features --test features
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if rustup run "$oldest" rustc --version >/dev/null 2>&1; then
    rustup run "$oldest" cargo check --release --locked --workspace --target-dir "target/rust-$oldest"
else
    echo "not run: cargo check with Rust $oldest (not installed); clippy's lint incompatible_msrv stands in"
fi
target=aarch64-unknown-linux-gnu
if [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] && command -v aarch64-linux-gnu-gcc >/dev/null; then
    "$cargo" check --release --locked --workspace --target "$target"
else
    echo "not run: cargo check for $target (the target, or aarch64-linux-gnu-gcc, is not installed)"
fi
