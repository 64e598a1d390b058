#!/usr/bin/env bash
# The real path without containers: an Apache Kafka of this machine, a producer of the three topics, and the server that
# reads them. Ctrl-C ends all three, and nothing of them stays but the jars in the cache.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"
cd "$ROOT"

# Records a second.
RATE=${RATE:-20}

cargo build --release --locked --package fanfare-feeds --example market_to_kafka
services_begin
kafka_prepare || die "no Kafka here (see above)"
say "starting Apache Kafka $KAFKA_VERSION"
kafka_start || die "Kafka does not start"
service_start market "$TARGET_DIR/release/examples/market_to_kafka" "$TEST_KAFKA_BROKERS" "$RATE"
service_await market 30 grep -q '^writing ' "$SERVICES_DIR/market.log"

say "Kafka on $TEST_KAFKA_BROKERS, $RATE records a second into token-info, trade-info and aggregate-info"
echo "The server prints its address below: open it; the channel is dashboard."
# The server is a child, so that Ctrl-C reaches it and this script can end the others afterwards.
status=0
KAFKA_BROKERS=$TEST_KAFKA_BROKERS "$TARGET_DIR/release/fanfare" serve "$@" &
SERVICE_PID[fanfare]=$!
# One signal interrupts the wait; the server stops in order and services_end waits for it.
wait "${SERVICE_PID[fanfare]}" || status=$?
exit "$status"
