#!/usr/bin/env bash
# Line coverage of `cargo test`: a table on the terminal and pages under target/coverage.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

cargo_tool cargo-llvm-cov 0.6.21
if command -v rustup >/dev/null; then
    rustup component add llvm-tools
fi
cargo llvm-cov --workspace --locked --no-fail-fast --html --output-dir "$TARGET_DIR/coverage"
cargo llvm-cov report --summary-only
say "pages: $TARGET_DIR/coverage/html/index.html"
