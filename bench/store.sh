#!/usr/bin/env bash
# The "Durable" figures: acknowledged appends a second and how long an acknowledgement takes, of the store alone and of durable
# topics on a whole server, on SQLite and on a PostgreSQL started for it with its disk syncs on, both in the same folder of the
# same disk (STORE_BENCH_DIR, else bench/results).
# Usage: bench/store.sh [SECONDS]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"
source "$ROOT/scripts/services.sh"
cd "$ROOT"

seconds=${1:-10}
export STORE_BENCH_DIR=${STORE_BENCH_DIR:-$ROOT/bench/results}
mkdir -p "$STORE_BENCH_DIR"
cargo build --release --locked --package fanfare-store --example appends
cargo build --release --locked --bin fanfare
export DURABLE_DIR=$STORE_BENCH_DIR
appends=$TARGET_DIR/release/examples/appends

say "SQLite"
"$appends" sqlite "$seconds"
python3 bench/durable.py "$TARGET_DIR/release/fanfare"

say "PostgreSQL"
if ! postgres_bin >/dev/null && ! apt_install postgresql; then
    warn "LEFT OUT PostgreSQL: it is neither installed nor can it be"
    exit 0
fi
# The user postgres has to reach the database's folder, and a clone may be where it cannot: the system's own temporary
# folder, which has to be on the disk that is measured.
services_begin
[ "$(stat -c %d "$SERVICES_DIR")" = "$(stat -c %d "$STORE_BENCH_DIR")" ] ||
    warn "PostgreSQL is measured on another disk than SQLite: $SERVICES_DIR is not on the one of $STORE_BENCH_DIR"
service_postgres postgres fsync=on synchronous_commit=on max_wal_size=4GB shared_buffers=256MB
DATABASE_URL=$POSTGRES_URL "$appends" postgres "$seconds"
python3 bench/durable.py "$TARGET_DIR/release/fanfare" "$POSTGRES_URL"
