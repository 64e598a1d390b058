#!/usr/bin/env bash
# Checks the dependency directions of ARCHITECTURE.md: which workspace crate may use which, and what a crate must not
# reach at any depth. Dev-dependencies are unrestricted; only shipped dependencies are checked.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

# Workspace crates that each crate may use directly. A crate that is not listed here is an error.
declare -A MAY_USE=(
    [config]="core"
    [core]=""
    [ws]=""
    [e2ee]=""
    [json]=""
    [auth]="e2ee"
    [dialects]="core json"
    [rpc]="core dialects json"
    [services]="auth config core e2ee store"
    [store]="core"
    [brokers]="core"
    [feeds]="core json"
    [client]="e2ee json ws"
    [server]="core config json ws e2ee auth dialects rpc services store brokers feeds client"
    [testkit]="core config json ws e2ee auth dialects rpc services store brokers feeds client server"
)
# Extended regular expressions over names of crates anywhere below it: what the crate must not depend on.
HTTP='axum|axum-core|hyper|hyper-util|http|tower-http|reqwest'
SQL='sqlx|sqlx-.*|rusqlite|libsqlite3-sys|tokio-postgres'
JSON='serde_json|sonic-rs'
SOCKETS='tokio|mio|rustix|socket2|.*tungstenite'
declare -A MUST_NOT_REACH=(
    [core]="$HTTP|$SQL|$JSON|mio|socket2|rdkafka|redis|fanfare-.*"
    [ws]="$HTTP|$SQL|$JSON|$SOCKETS|fanfare-.*"
    [e2ee]="$HTTP|$SQL|$JSON|$SOCKETS|fanfare-.*"
    [json]="$HTTP|$SQL|$SOCKETS|fanfare-.*"
    [auth]="$SQL|axum|axum-core|tower-http|fanfare-(core|ws|dialects|rpc|store|brokers|feeds|client|server)"
    [dialects]="$HTTP|$SQL|$SOCKETS"
    [config]="$HTTP|$SQL|$SOCKETS"
    [rpc]="$HTTP|$SQL|mio|socket2"
    [services]="axum|axum-core|tower-http|prometheus-client|.*tungstenite|fanfare-(ws|dialects|rpc|brokers|feeds|client|server)"
    [store]="$HTTP"
    [brokers]="$HTTP|$SQL"
    [feeds]="$HTTP|fanfare-ws"
    [client]="fanfare-server|fanfare-core"
)
# Core uses only sync and time of tokio: a crate that enables one of these features does IO.
TOKIO_IO='net|fs|process|signal|io-std'

status=0
wrong() { warn "$*"; status=1; }

# names CRATE [TREE ARGUMENTS]: the shipped dependencies of a crate, one name a line.
names() {
    local crate=$1
    shift
    cargo tree --locked --all-features --edges normal,build --package "fanfare-$crate" --prefix none --format '{p}' "$@" |
        tail -n +2 | cut -d' ' -f1 | sort -u
}

crates=$(cargo tree --locked --workspace --depth 0 --prefix none --format '{p}' | sed -n 's/^fanfare-\([a-z0-9-]*\) .*/\1/p' | sort -u)
[ -n "$crates" ] || die "no workspace crate found"
for crate in $crates; do
    if [ -z "${MAY_USE[$crate]+listed}" ]; then
        wrong "crates/$crate is not in scripts/check-arrows.sh: say what it may use"
        continue
    fi
    below=$(names "$crate")
    direct=$(names "$crate" --depth 1)
    while read -r used; do
        [[ " ${MAY_USE[$crate]} " == *" $used "* ]] || wrong "crates/$crate must not use crates/$used"
    done < <(sed -n 's/^fanfare-//p' <<<"$direct")
    [ "$crate" = testkit ] || ! grep -qx fanfare-testkit <<<"$below" || wrong "crates/$crate ships testkit: it is for tests only"
    if [ -n "${MUST_NOT_REACH[$crate]:-}" ]; then
        while read -r found; do
            wrong "crates/$crate reaches $found: see cargo tree -p fanfare-$crate -e normal -i $found"
        done < <(grep -Ex "${MUST_NOT_REACH[$crate]}" <<<"$below" || true)
    fi
done

io=$(cargo tree --locked --all-features --edges normal --package fanfare-core --prefix none --format '{p} {f}' |
    sed -n 's/^tokio v[^ ]* //p' | tr ',' '\n' | grep -Ex "$TOKIO_IO" | sort -u | tr '\n' ' ' || true)
[ -z "$io" ] || wrong "crates/core turns on tokio's $io: it has sync and time only (write its own feature list)"

# Within crates/server: what a module must not import. The wiring (serve, node, main, cli) may import all.
declare -A MUST_NOT_IMPORT=(
    [http]="shard|serve|cli"
    [shard]="http|serve|cli|methods|listen"
    [methods]="http|shard|node|serve|cli|listen"
    [feeds]="http|shard|serve|cli|methods|listen"
    [posts]="http|shard|node|serve|cli|methods|listen|feeds"
    [listen]="http|shard|node|serve|cli|methods|feeds"
    [telemetry]="http|shard|node|serve|cli|methods|listen|feeds|posts"
    [tls]="http|node|serve|cli|methods|feeds"
    [node]="http|serve|cli"
)
for module in "${!MUST_NOT_IMPORT[@]}"; do
    for place in "crates/server/src/$module" "crates/server/src/$module.rs"; do
        [ -e "$place" ] || continue
        found=$(grep -rnE "crate::(${MUST_NOT_IMPORT[$module]})\b" "$place" | grep -vE '/tests(\.rs|/)' || true)
        [ -z "$found" ] || wrong "crates/server: $module imports what it must not"$'\n'"$found"
    done
done

# The close codes of protocol.md 5 are one table.
found=$(git grep -nE '\b44[0-9][0-9]\b' -- 'crates/*/src/*.rs' | grep -vE '^crates/(core/src/model/close|client/src/close)\.rs:|//|/tests(\.rs|/)|_tests\.rs' || true)
[ -z "$found" ] || wrong "a close code is written as a number: use core::model::End"$'\n'"$found"

# Time is a parameter where order is proven: a driver reads the clock once a turn. Tests may read it.
# clocks FILE: lines outside test modules that read a clock.
clocks() { awk '/^#\[cfg\(test\)\]/ { exit } /(Instant|SystemTime)::now/ { print FILENAME ":" FNR ": " $0 }' "$1"; }
while read -r file; do
    found=$(clocks "$file")
    [ -z "$found" ] || wrong "a clock is read where time is a parameter"$'\n'"$found"
done < <(git ls-files --cached --others --exclude-standard crates/core/src crates/dialects/src crates/ws/src | grep -E '\.rs$' | grep -vE '(^|/|_)tests(\.rs|/)')

[ "$status" -ne 0 ] || echo "directions hold for: $(tr '\n' ' ' <<<"$crates")"
exit "$status"
