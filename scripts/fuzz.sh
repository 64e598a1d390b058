#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS (60). Ends with the counts; exit 77 when there is no way to fuzz here.
# On stable Rust: RUSTC_BOOTSTRAP lets cargo-fuzz pass its flags, and no sanitizer is needed as the code has no unsafe.
# New inputs go to a temporary folder, so the committed corpus changes only by hand.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

seconds=${FUZZ_SECONDS:-60}
[ -d fuzz/fuzz_targets ] || { warn "no fuzz targets in fuzz/fuzz_targets"; exit 77; }
command -v c++ >/dev/null || { warn "the fuzzing engine needs a C++ compiler (c++)"; exit 77; }
cargo_tool cargo-fuzz 0.13.2 || { warn "cargo-fuzz can be neither found nor installed"; exit 77; }

export RUSTC_BOOTSTRAP=1
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT

say "building the fuzz targets"
cargo fuzz build --sanitizer none || { printf '0 passed, 1 failed\n'; exit 1; }
passed=0
failed=0
for target in $(cargo fuzz list); do
    say "fuzz $target for $seconds s"
    mkdir -p "$found/$target" "fuzz/corpus/$target"
    if cargo fuzz run --sanitizer none "$target" "$found/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 >"$found/$target.log" 2>&1; then
        grep -E 'stat::(number_of_executed_units|average_exec_per_sec)|Done [0-9]+ runs' "$found/$target.log" || true
        passed=$((passed + 1))
    else
        tail -n 40 "$found/$target.log"
        warn "fuzz target $target failed: the input is under fuzz/artifacts/$target"
        failed=$((failed + 1))
    fi
done
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
