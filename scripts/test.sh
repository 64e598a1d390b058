#!/usr/bin/env bash
# The complete test run on any machine: finds or installs what it needs, runs every ring of tests, ends with the counts alone on the last
# line ("N passed, N failed"). A suite that cannot run here is reported clearly before it; it is never counted as passed.
# Flow: each suite is a command whose output goes to the terminal and to a log; its counts are read from that log. One after another: the
# tests have deadlines, and the server hashes passwords at the lowest priority, so a suite beside them would starve them.
#
#   scripts/test.sh        the same inputs in every run and on every machine: seeds and numbers of examples are fixed
#   scripts/test.sh soak   the long variants, from new seeds: FANFARE_SOAK=1 configures the tests
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"
cd "$ROOT"

case ${1:-} in
    '') fuzz=fixed autobahn=quick ;;
    soak)
        export FANFARE_SOAK=1 FUZZ_SECONDS=600 PROPTEST_RNG_SEED=$((RANDOM << 15 | RANDOM))
        fuzz=explore autobahn=full
        say "PROPTEST_RNG_SEED=$PROPTEST_RNG_SEED"
        ;;
    *) die "usage: scripts/test.sh [soak]" ;;
esac

services_begin
logs=$SERVICES_DIR/logs
mkdir "$logs"

passed=0
failed=0
left_out=()
failures=()

# counts LOG: "PASSED FAILED" as the tools print them: cargo ("test result: … 5 passed; 0 failed"), pytest ("1 failed, 5
# passed in 3s"), and our own scripts ("5 passed, 0 failed", in TAP a comment).
counts() {
    sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
        function number(text, word) { return match(text, "[0-9]+ " word) ? substr(text, RSTART) + 0 : 0 }
        /^test result: /                                  { p += number($0, "passed"); f += number($0, "failed"); next }
        /^(# )?[0-9]+ passed, [0-9]+ failed$/             { p += number($0, "passed"); f += number($0, "failed"); next }
        /^(=+ )?[0-9]+ (passed|failed|error).* in [0-9.]+s/ { p += number($0, "passed"); f += number($0, "failed") + number($0, "error") }
        END { printf "%d %d\n", p, f }'
}

# run_suite NAME COMMAND…: its output in the suite's log, its exit status in NAME.status.
run_suite() {
    local name=$1 status=0
    shift
    "$@" 2>&1 | tee "$logs/$name" || status=${PIPESTATUS[0]}
    echo "$status" >"$logs/$name.status"
}

# count NAME: adds what a finished suite printed. Exit 77 means "cannot run here". A command that prints no counts is one
# test; one that fails without naming a failed test is one failure.
count() {
    local name=$1 log=$logs/$1 status p f
    status=$(cat "$log.status" 2>/dev/null || echo 1)
    if [ "$status" -eq 77 ]; then
        left_out+=("$name: $(tail -n 1 "$log" | sed 's/^!! //')")
        return 0
    fi
    read -r p f < <(counts "$log")
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    if [ "$status" -eq 0 ] && [ "$p" -eq 0 ]; then p=1; fi
    passed=$((passed + p))
    failed=$((failed + f))
    if [ "$f" -gt 0 ]; then failures+=("$name ($f)"); fi
}

# suite NAME COMMAND…: runs it and adds its counts.
suite() {
    local begun=$SECONDS
    say "$1"
    run_suite "$@"
    count "$1"
    say "$1 took $((SECONDS - begun)) s"
}

# Not pulled in by plain `cargo test`: they need the release binary or tools that are not Rust's.
release_build() { cargo build --release --locked --package fanfare-server --bin fanfare; }
rust_tests() { cargo test --workspace --locked --no-fail-fast; }

autobahn() {
    if ! "${PYTHON27:-python2.7}" --version >/dev/null 2>&1 && ! command -v pyenv >/dev/null; then
        echo "the Autobahn suite is Python 2.7 only, and there is neither a python2.7 nor pyenv"
        return 77
    fi
    scripts/autobahn.sh "$autobahn"
}

# Pages in a real browser: Debian's Chromium, driven by playwright-core from the package manager.
browser() {
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        apt_install nodejs npm || { echo "node and npm are missing and cannot be installed"; return 77; }
    fi
    CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
    if [ -z "$CHROMIUM" ]; then
        apt_install chromium || { echo "there is no Chromium (CHROMIUM=path names one) and it cannot be installed"; return 77; }
        CHROMIUM=$(command -v chromium)
    fi
    export CHROMIUM
    npm ci --prefix tests/browser --no-audit --no-fund --loglevel=error || { echo "npm cannot install the browser driver"; return 1; }
    node tests/browser/run.mjs
}

# The store's tests run on both engines; without an address of their own they get a PostgreSQL that this script starts.
postgres() {
    [ -z "${TEST_DATABASE_URL:-}" ] || return 0
    postgres_bin >/dev/null || apt_install postgresql || true
    # It holds nothing that outlives the tests, so it need not wait for the disk.
    service_postgres postgres fsync=off && export TEST_DATABASE_URL=$POSTGRES_URL
}
say "PostgreSQL"
if postgres; then
    echo "the store's tests run on SQLite and on PostgreSQL"
    if ! command -v pgbouncer >/dev/null && ! [ -x /usr/sbin/pgbouncer ] && ! apt_install pgbouncer; then
        left_out+=("PgBouncer: it cannot be found or installed; no test ran behind a pooler")
    fi
else
    left_out+=("PostgreSQL: it cannot be found, installed or started; every test of the store ran on SQLite alone")
fi

say "release build"
if ! release_build; then
    failed=1
    failures+=("release build (what needs the binary fails below)")
fi
export FANFARE_BIN=$TARGET_DIR/release/fanfare
# A real Kafka for the feeds' tests; TEST_KAFKA_BROKERS names another one. Without it they report that they were skipped.
if [ -z "${TEST_KAFKA_BROKERS:-}" ]; then
    if why=$(kafka_prepare | tee /dev/stderr | tail -n 1) && kafka_start; then
        echo "Apache Kafka $KAFKA_VERSION on $TEST_KAFKA_BROKERS"
    else
        left_out+=("feeds against a real Kafka: ${why:-the broker does not start}")
    fi
fi

suite cargo-test rust_tests
suite first-minute scripts/first-minute.sh
suite fuzz scripts/fuzz.sh "$fuzz"
suite autobahn autobahn
suite browser browser
# Whatever else judges the built binary from outside has a `run` in its folder and reads FANFARE_BIN.
for run in tests/*/run; do suite "$(basename "$(dirname "$run")")" "$run"; done

printf '\n'
for name in "${left_out[@]}"; do warn "LEFT OUT $name"; done
for name in "${failures[@]}"; do warn "FAILED $name"; done
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
