#!/usr/bin/env bash
# The load generator (`fanfare bench`) against the release build, beside the bare floor and the peers that are installed.
# Scenarios, rounds and peers are chosen as `bench/run.py` says (RUNS, SCENARIOS, SERVERS, PLAIN_PEER).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

command -v python3 >/dev/null || die "python3 is missing; it runs the scenarios"
say "building the release binary"
cargo build --release --locked --bin fanfare

# The Node peer is fetched once; without it the others are still measured.
if [ ! -d bench/peers/node_modules/ws ]; then
    if command -v npm >/dev/null; then
        say "installing the peer ws (once)"
        npm ci --prefix bench/peers --no-progress || warn "npm could not install ws: it is left out"
    else
        warn "npm is missing: the peer ws is left out"
    fi
fi
command -v nats-server >/dev/null || warn "nats-server is missing: it is left out"
command -v taskset >/dev/null || warn "taskset is missing: server and client are not pinned, figures scatter more"

say "measuring"
python3 bench/run.py "$TARGET_DIR/release/fanfare"
say "feeds"
python3 bench/feeds.py "$TARGET_DIR/release/fanfare"
say "the store"
bench/store.sh
say "a fan-out beside logins and appends"
python3 bench/beside.py "$TARGET_DIR/release/fanfare" logins
python3 bench/beside.py "$TARGET_DIR/release/fanfare" appends
