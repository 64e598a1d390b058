#!/usr/bin/env python3
"""Feeds: the records that subscribers receive of a demo market at Kafka-like rates, and those that the server reports as dropped.

usage: feeds.py FANFARE      (scripts/bench.sh calls this)

The clients receive `trade_data`, which is 71 of 100 records, so the market makes 1.41 times the rate that is named. Server and
client have a CPU each; beyond the client's own speed its queues overflow, which is what the last line is about: drops are
reported and counted, no client is disconnected, memory stays. RUNS=2 rounds.
"""

import os
import sys
import tempfile

from run import PIN, fanfare, free_port, run

# Records a second received, clients, seconds.
SCENARIOS = [(1000, 1000, 8), (10_000, 100, 8), (10_000, 1000, 20)]
TRADES = 0.71


def main(binary):
    for _ in range(int(os.environ.get("RUNS", "2"))):
        for rate, clients, seconds in SCENARIOS:
            port = free_port()
            with tempfile.TemporaryDirectory(prefix="fanfare-bench-") as directory:
                server = fanfare(binary).command(port, directory)
                market = {"feeds.demo": "true", "feeds.demo_rate": round(rate / TRADES), "limits.max_connections_per_ip": 0}
                for key, value in market.items():
                    server += ["--set", f"{key}={value}"]
                words = ["feed", "--label", f"{rate}/s", "--address", f"127.0.0.1:{port}", *PIN]
                words += ["--subscribers", str(clients), "--seconds", str(seconds), "--server-log", f"{directory}/log"]
                run(binary, [*words, "--", *server])


if __name__ == "__main__":
    main(sys.argv[1])
