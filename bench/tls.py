#!/usr/bin/env python3
"""What TLS costs: the same scenarios over plain sockets and over TLS, interleaved, and their ratio.

usage: tls.py FANFARE      (the release binary; `cargo build --release --bin fanfare` makes it)

Bytes of an idle connection are resident memory of the server over 10 000 subscribed connections; CPU is that of all its
threads for a million deliveries or requests, which is microseconds each. Figures are medians over the rounds. Environment:

  RUNS=3                rounds
  SCENARIOS=idle,echo   only these
"""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import run as bench  # noqa: E402

SCENARIOS = {
    "idle": (["idle", "--connections", "10000", "--hold", "3"], ["bytes_per_connection", "connect_s", "cpu_s_per_million"]),
    "fan1k": (["fanout", "--subscribers", "1000", "--rate", "100"], ["cpu_s_per_million", "p50_us", "p99_us"]),
    "fan10k": (["fanout", "--subscribers", "10000", "--rate", "10"], ["cpu_s_per_million", "p50_us", "p99_us"]),
    "max16": (["maxrate", "--window", "16", "--seconds", "3"], ["cpu_s_per_million"]),
    "echo": (["echo", "--seconds", "3"], ["cpu_s_per_million", "p50_us", "p99_us"]),
}


def once(binary, name, tls):
    """One run: its figures."""
    arguments, _ = SCENARIOS[name]
    with tempfile.TemporaryDirectory() as directory:
        port = bench.free_port()
        words = bench.fanfare(binary).command(port, directory)
        trust = []
        if tls:
            made = subprocess.run(
                [binary, "dev-cert", "--set", f"data_dir={directory}"], capture_output=True, text=True, check=True
            )
            trust = ["--pin", re.search(r"--pin (\w+)", made.stdout)[1]]
            for setting in (
                f"tls.cert={directory}/tls/cert.pem", f"tls.key={directory}/tls/key.pem",
                f"tls.port={port}", "tls.redirect_port=0",
            ):
                words += ["--set", setting]
        return bench.run(binary, [*arguments, "--address", f"127.0.0.1:{port}", *bench.PIN, *trust, "--", *words])


def main():
    binary = os.path.abspath(sys.argv[1])
    names = os.environ.get("SCENARIOS", ",".join(SCENARIOS)).split(",")
    found = {}
    for _ in range(int(os.environ.get("RUNS", "3"))):
        for name in names:
            for tls in (False, True):
                figures = once(binary, name, tls)
                for figure in SCENARIOS[name][1]:
                    if figures is not None:
                        found.setdefault((name, figure), {False: [], True: []})[tls].append(figures[figure])
    print("| Scenario | Figure | Plain | TLS | TLS / plain |\n|---|---|---|---|---|")
    for (name, figure), values in found.items():
        if not values[False] or not values[True]:
            continue
        plain, tls = statistics.median(values[False]), statistics.median(values[True])
        print(f"| {name} | {figure} | {plain:.4g} | {tls:.4g} | {tls / plain:.2f} |")


if __name__ == "__main__":
    main()
