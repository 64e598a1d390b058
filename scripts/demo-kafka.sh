#!/usr/bin/env bash
# The real setup without containers: an Apache Kafka of this machine, a producer of the three topics, and the server that
# reads them. Ctrl-C ends all three, and nothing of them stays but the jars in the cache. FANFARE_BIN names a server that is
# built already; else it is that of `make build`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"
cd "$ROOT"

# Records a second.
RATE=${RATE:-20}
# Longest the server may take to end after Ctrl-C, in seconds: its own time for that and a little.
END_WITHIN=45
binary=${FANFARE_BIN:-$TARGET_DIR/release/fanfare}
market=$TARGET_DIR/release/examples/market_to_kafka

# Without FANFARE_BIN cargo looks whether they are up to date.
if [ -z "${FANFARE_BIN:-}" ]; then
    cargo build --release --locked --package fanfare-server --bin fanfare
elif [ ! -x "$binary" ]; then
    die "FANFARE_BIN names no program: $binary"
fi
if [ -z "${FANFARE_BIN:-}" ] || [ ! -x "$market" ]; then
    cargo build --release --locked --package fanfare-feeds --example market_to_kafka
fi
services_begin
kafka_prepare || die "no Kafka here (see above)"
say "starting Apache Kafka $KAFKA_VERSION"
kafka_start || die "Kafka does not start"
service_start market "$market" "$TEST_KAFKA_BROKERS" "$RATE"
service_await market 30 grep -q '^writing ' "$SERVICES_DIR/market.log"

say "Kafka on $TEST_KAFKA_BROKERS, $RATE records a second into token-info, trade-info and aggregate-info"
echo "The server prints its address below: open it; the channel is dashboard."
# The server is a child, so that Ctrl-C reaches it and this script can end the others afterwards. The terminal has signalled it as
# well as this script: a second signal would end it at once, so until it has ended this script only waits.
trap 'interrupted=$SECONDS' INT
interrupted=
status=0
KAFKA_BROKERS=$TEST_KAFKA_BROKERS "$binary" serve "$@" &
server=$!
SERVICE_PID[fanfare]=$server
while kill -0 "$server" 2>/dev/null; do
    if [ -z "$interrupted" ]; then
        # A signal ends the wait, not the server.
        wait "$server" || true
    elif [ $((SECONDS - interrupted)) -ge "$END_WITHIN" ]; then
        break # services_end makes it end
    else
        sleep 0.1
    fi
done
if ! kill -0 "$server" 2>/dev/null; then
    unset 'SERVICE_PID[fanfare]'
    wait "$server" || status=$?
fi
exit "$status"
