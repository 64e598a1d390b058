#!/usr/bin/env bash
# A newcomer's first minute (README, "A first message in 60 seconds") against the built binary on an empty folder: start,
# look, subscribe, publish from three sides, stop. It runs what the README promises. FANFARE_BIN names the binary.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"

binary=${FANFARE_BIN:-$TARGET_DIR/release/fanfare}
[ -x "$binary" ] || die "no binary at $binary: make build"
command -v curl >/dev/null || apt_install curl ca-certificates || { warn "curl is missing and cannot be installed"; exit 77; }

passed=0
failed=0
# check WHAT COMMAND…
check() {
    local what=$1
    shift
    if "$@" >"$SERVICES_DIR/check.log" 2>&1; then
        passed=$((passed + 1))
        printf 'ok   %s\n' "$what"
    else
        failed=$((failed + 1))
        printf 'FAIL %s\n' "$what"
        tail -n 20 "$SERVICES_DIR/check.log"
    fi
}

services_begin
# No configuration but a free port, loopback and a folder to throw away, for the server and for the commands alike.
export FANFARE__SERVER__HOST=127.0.0.1 FANFARE__SERVER__PORT=0 FANFARE__DATA_DIR=$SERVICES_DIR/data
unset PORT HOST ENV LOG_LEVEL
mkdir "$FANFARE__DATA_DIR"

get() { curl --silent --show-error --fail --max-time 10 "$base$1"; }
post() { curl --silent --show-error --fail --max-time 10 --header 'Content-Type: application/json' --data "$2" "$base$1"; }
received() { grep -qF "$1" "$SERVICES_DIR/sub.log"; }
published() { post /publish "{\"topic\":\"greetings\",\"payload\":$1}" | tee /dev/stderr | grep -q '"delivered":1[,}]'; }

service_start server "$binary" serve
service_await server 20 test -s "$FANFARE__DATA_DIR/address"
base=$(tr -d '[:space:]' <"$FANFARE__DATA_DIR/address")
service_await server 20 get /livez

check "the address is a plain line on standard output" grep -qxF "listening on $base" "$SERVICES_DIR/server.log"
for path in / /docs /openapi.json /health /readyz /metrics /stats /topics; do
    check "GET $path" get "$path"
done
check "doctor --live" "$binary" doctor --live

service_start sub "$binary" sub --url "${base/http/ws}/ws" greetings
check "fanfare sub is there" service_await sub 10 get /topics/greetings
check "curl publishes, one receives" published '{"from":"curl"}'
check "fanfare sub receives curl's" service_await sub 5 received '"from":"curl"'
check "fanfare pub publishes" "$binary" pub --url "${base/http/ws}/ws" greetings '{"from":"pub"}'
check "fanfare sub receives fanfare pub's" service_await sub 5 received '"from":"pub"'

check "SIGTERM ends it with status 0" service_stop server 40
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
