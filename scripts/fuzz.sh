#!/usr/bin/env bash
# Runs every fuzz target; ends with the counts, exit 77 when there is no way to fuzz here.
#
#   scripts/fuzz.sh fixed     FUZZ_RUNS inputs each (200000) made from FUZZ_SEED (1) and the committed corpus: the same work in every
#                             run and on every machine. The corpus is tried whole; mutations follow coverage, which differs a
#                             little from run to run where a target has hash maps or draws a secret
#   scripts/fuzz.sh explore   FUZZ_SECONDS each (60) from a new seed, which it names
#
# On stable Rust: RUSTC_BOOTSTRAP lets cargo-fuzz pass its flags, and no sanitizer is needed as the code has no unsafe.
# New inputs go to a temporary folder, so the committed corpus changes only explicitly. A target uses the dictionary that has its
# name and every dictionary that its source names ("dictionary: json").
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

# An input that takes longer, or more memory, hangs or grows: no input of these sizes does on the slowest machine.
HANG_SECONDS=120
MEMORY_MB=1024

mode=${1:-explore}
case $mode in
    fixed) seed=${FUZZ_SEED:-1} until=(-runs="${FUZZ_RUNS:-200000}") what="${FUZZ_RUNS:-200000} inputs, seed $seed" ;;
    explore)
        seed=${FUZZ_SEED:-$((RANDOM << 15 | RANDOM))}
        until=(-max_total_time="${FUZZ_SECONDS:-60}")
        what="${FUZZ_SECONDS:-60} s, seed $seed"
        ;;
    *) die "usage: scripts/fuzz.sh [fixed|explore]" ;;
esac
[ -d fuzz/fuzz_targets ] || { warn "no fuzz targets in fuzz/fuzz_targets"; exit 77; }
command -v c++ >/dev/null || apt_install g++ || { warn "the fuzzing engine needs a C++ compiler (c++)"; exit 77; }
cargo_tool cargo-fuzz 0.13.2 || { warn "cargo-fuzz can be neither found nor installed"; exit 77; }

export RUSTC_BOOTSTRAP=1
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT

# dictionary TARGET FILE: writes what the target uses into FILE. 1 when it has none.
dictionary() {
    local name
    local -a names
    mapfile -t names < <(sed -nE 's|^//! dictionary: ([a-z0-9_-]+)$|\1|p' "fuzz/fuzz_targets/$1.rs")
    [ ! -f "fuzz/dictionaries/$1.dict" ] || names+=("$1")
    : >"$2"
    for name in "${names[@]}"; do cat "fuzz/dictionaries/$name.dict" >>"$2" || die "fuzz/fuzz_targets/$1.rs names no dictionary: $name"; done
    [ -s "$2" ]
}

# corpus TARGET: the committed inputs by name, for an order that does not depend on the file system.
corpus() { find "fuzz/corpus/$1" -type f 2>/dev/null | LC_ALL=C sort | paste -sd, -; }

# cargo-fuzz has no --locked.
cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null ||
    die "fuzz/Cargo.lock does not fit the crates: cargo metadata --manifest-path fuzz/Cargo.toml mends it; commit it"
say "building the fuzz targets"
cargo fuzz build --sanitizer none || { printf '0 passed, 1 failed\n'; exit 1; }
passed=0
failed=0
for target in $(cargo fuzz list); do
    say "fuzz $target: $what"
    mkdir -p "$found/$target"
    inputs=$(corpus "$target")
    options=(-seed="$seed" "${until[@]}" -timeout="$HANG_SECONDS" -rss_limit_mb="$MEMORY_MB" -print_final_stats=1)
    [ -z "$inputs" ] || options+=(-seed_inputs="$inputs")
    if dictionary "$target" "$found/$target.dict"; then options+=(-dict="$found/$target.dict"); fi
    if cargo fuzz run --sanitizer none "$target" "$found/$target" -- "${options[@]}" >"$found/$target.log" 2>&1; then
        grep -E 'stat::number_of_executed_units|Done [0-9]+ runs|DONE' "$found/$target.log" || true
        passed=$((passed + 1))
    else
        tail -n 40 "$found/$target.log"
        warn "fuzz target $target failed: the input is under fuzz/artifacts/$target"
        failed=$((failed + 1))
    fi
done
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
