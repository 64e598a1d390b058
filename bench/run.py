#!/usr/bin/env python3
"""Runs the benchmark's scenarios, interleaved, and prints one table.

usage: run.py FANFARE      (the release binary; scripts/bench.sh builds it and calls this)

Each round runs every scenario once on every server and on the bare floor, so that a drift of the machine hits all alike; the
figures are medians over the rounds. Environment:

  RUNS=3                rounds
  SCENARIOS=fan1k,echo  only these
  SERVERS=fanfare,ws    only these of the servers that are installed (fanfare, ws, nats, plain)
  PLAIN_PEER=COMMAND    the server "plain": any that speaks the `plain` dialect; its port is appended to the command
"""

import datetime
import json
import os
import pathlib
import platform
import resource
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
RESULTS = HERE / "results"
# A run takes well below a minute; one that hangs must not hang the others.
RUN_LIMIT_S = 240
# Descriptors a server needs besides its connections.
SPARE_FILES = 500

FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
IDLE = 18000 if FILES == resource.RLIM_INFINITY else min(18000, FILES - SPARE_FILES)
CPUS = sorted(os.sched_getaffinity(0))
PINNED = len(CPUS) > 1 and shutil.which("taskset") is not None
PIN = ["--server-cpu", str(CPUS[0]), "--client-cpu", str(CPUS[1])] if PINNED else []

# name: (arguments of `fanfare bench`, the floor to compare with, what it is)
SCENARIOS = {
    "idle": (["idle", "--connections", str(IDLE)], None, f"{IDLE} idle connections subscribed to one topic"),
    "connect10k": (["idle", "--connections", "10000", "--hold", "0.1"], None, "10 000 connections, one after another"),
    "fan1k": (["fanout", "--subscribers", "1000", "--rate", "100"], "floor1k", "1000 subscribers, 100 messages/s"),
    "fan10k": (["fanout", "--subscribers", "10000", "--rate", "10"], "floor10k", "10 000 subscribers, 10 messages/s"),
    "topics": (["topics"], "floor10k", "1000 topics x 10 subscribers, 5000 messages/s"),
    "max16": (["maxrate", "--window", "16", "--seconds", "3"], "floor16", "1000 subscribers, 16 messages in flight"),
    "max64": (["maxrate", "--window", "64", "--seconds", "3"], "floor16", "1000 subscribers, 64 messages in flight"),
    "echo": (["echo", "--seconds", "3"], None, "100 connections, ping of the typed dialect (peers: echo)"),
    "rpc": (["echo", "--rpc", "--seconds", "3"], None, "100 connections, JSON-RPC test.echo"),
    "busy-echo": (["echo", "--seconds", "3"], None, "echo while fan10k runs on the same server"),
}
FANFARE_ONLY = {"rpc", "busy-echo"}
FLOORS = {
    "floor1k": ["floor", "--connections", "1000"],
    "floor10k": ["floor", "--connections", str(min(10000, IDLE))],
    "floor16": ["floor", "--connections", "1000", "--coalesce", "16"],
}


def free_port():
    """A port below the range that clients' own ports come from, so that none of them can take it."""
    low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in range(low - 1, 1024, -1):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("no free port")


class Server:
    """How to start one server: its dialect, and its command for a port and a directory of its own."""

    def __init__(self, dialect, command, environment=lambda port: {}):
        self.dialect, self.command, self.environment = dialect, command, environment


def fanfare(binary):
    settings = {
        "server.host": "127.0.0.1",
        "log.level": "info",
        "limits.max_connections": 30000,
        "limits.messages_per_second": 0,
        "feeds.demo": "false",
    }

    def command(port, directory):
        words = [binary, "serve"]
        for key, value in {**settings, "server.port": port, "data_dir": directory}.items():
            words += ["--set", f"{key}={value}"]
        return words

    return Server("typed", command)


def servers(binary):
    """Fanfare and the peers that are installed, by name."""
    found = {"fanfare": fanfare(binary)}
    if shutil.which("node") and (HERE / "peers/node_modules/ws").is_dir():
        found["ws"] = Server("plain", lambda port, _: ["node", str(HERE / "peers/ws-server.mjs"), str(port)])
    if shutil.which("nats-server"):
        found["nats"] = Server(
            "nats",
            lambda port, _: ["nats-server", "-c", str(HERE / "peers/nats.conf")],
            lambda port: {"BENCH_PORT": str(port), "BENCH_TCP_PORT": str(free_port_after(port))},
        )
    if os.environ.get("PLAIN_PEER"):
        words = shlex.split(os.environ["PLAIN_PEER"])
        found["plain"] = Server("plain", lambda port, _: [*words, str(port)])
    wanted = os.environ.get("SERVERS")
    return found if wanted is None else {name: server for name, server in found.items() if name in wanted.split(",")}


def free_port_after(taken):
    with socket.socket() as held:
        held.bind(("127.0.0.1", taken))
        return free_port()


def run(bench, arguments, environment=None):
    """One run of the load generator: its figures, or None with the reason on standard error."""
    process = subprocess.Popen(
        [bench, "bench", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    try:
        out, err = process.communicate(timeout=RUN_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
        err += f"\nno result within {RUN_LIMIT_S} s"
    print("  " + (err.strip().splitlines() or ["(silent)"])[-1], flush=True)
    return json.loads(out.splitlines()[-1]) if out.strip() else None


def measure(bench, name, label, server):
    arguments, _, _ = SCENARIOS[name]
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="fanfare-bench-") as directory:
        common = ["--label", label, "--dialect", server.dialect, "--address", f"127.0.0.1:{port}"]
        command, environment = server.command(port, directory), server.environment(port)
        if name == "busy-echo":
            return measure_busy(bench, [*arguments, *common], common, command, port, directory)
        log = ["--server-log", f"{directory}/log"]
        return run(bench, [*arguments, *common, *PIN, *log, "--", *command], environment)


def measure_busy(bench, echo, common, command, port, directory):
    """Echo beside a fan-out, both on one server: shows whether a long flush stalls other connections of its shard."""
    pinned = ["taskset", "-c", str(CPUS[0])] if PINNED else []
    client = ["--client-cpu", str(CPUS[1])] if PINNED else []
    with open(f"{directory}/log", "wb") as log:
        server = subprocess.Popen([*pinned, *command], stdout=log, stderr=log)
    load = None
    try:
        deadline = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
            if server.poll() is not None or time.monotonic() > deadline:
                print("  the server does not accept connections", flush=True)
                return None
            time.sleep(0.05)
        attach = [*common, "--pid", str(server.pid), *client]
        fan, _, _ = SCENARIOS["fan10k"]
        fan_log = pathlib.Path(directory, "fan")
        with open(fan_log, "wb") as log:
            # Its warm-up and its measurement together last longer than the echo does.
            words = [bench, "bench", *fan, "--warm", "10", "--seconds", "10", *attach]
            load = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=log)
        while connections(port) < 10000:
            if load.poll() is not None or time.monotonic() > deadline + 60:
                print("  the fan-out did not start: " + fan_log.read_text().strip(), flush=True)
                return None
            time.sleep(0.2)
        time.sleep(1)
        figures = run(bench, [*echo, "--pid", str(server.pid), *client])
        if load.poll() is not None:
            print("  the fan-out ended before the echo did: " + fan_log.read_text().strip(), flush=True)
            return None
        return figures
    finally:
        for process in filter(None, (load, server)):
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def connections(port):
    """Established connections of a local port, as the server's end sees them."""
    count = 0
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state = line.split()[:4]
        count += state == "01" and int(local.split(":")[1], 16) == port
    return count


def median(rows, key):
    """The median over the runs that have this figure; None when none has."""
    values = [row[key] for row in rows if row and row.get(key) is not None]
    return statistics.median(values) if values else None


def show(value, scale=1.0, digits=2):
    return "-" if value is None else f"{value * scale:.{digits}f}"


def table(rows, floors, names):
    """Markdown, one line a scenario and server. Ratios are of CPU time, or of bytes where connections are idle."""
    lines = [
        "| Scenario | Server | CPU s/M | p50 ms | p99 ms | Bytes a connection | Connect s | Per second | Wire bytes | Lost, repeated, reordered | Fanfare / this | This / floor |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for scenario in names:
        _, floor_name, _ = SCENARIOS[scenario]
        idle = scenario in ("idle", "connect10k")
        figure = "bytes_per_connection" if idle else "cpu_s_per_million"
        # The server's CPU time is the fan-out's there: the latency is the result.
        figure = None if scenario == "busy-echo" else figure
        ours = median(rows[scenario].get("fanfare", []), figure)
        floor = median(floors.get(floor_name, []), "cpu_s_per_million")
        for server, runs in rows[scenario].items():
            value = median(runs, figure)
            faults = [sum(row.get(key, 0) for row in runs if row) for key in ("lost", "repeated", "reordered")]
            rate = median(runs, "deliveries_per_s") or median(runs, "requests_per_s")
            cells = [
                scenario,
                server,
                "-" if idle else show(value, digits=3),
                show(median(runs, "p50_us"), 1e-3),
                show(median(runs, "p99_us"), 1e-3),
                show(value, digits=0) if idle else "-",
                show(median(runs, "connect_s")),
                show(rate, digits=0),
                show(median(runs, "wire_bytes_per_delivery"), digits=0),
                "failed" if not any(runs) else ", ".join(map(str, faults)) if median(runs, "expected") is not None else "-",
                show(ours / value if ours is not None and value else None),
                show(value / floor if floor and value is not None else None),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    for name, runs in floors.items():
        lines.append(f"| {name} | kernel | {show(median(runs, 'cpu_s_per_million'), digits=3)} |" + " - |" * 8 + " 1.00 |")
    return "\n".join(lines)


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    bench = os.path.abspath(sys.argv[1])
    rounds = int(os.environ.get("RUNS", "3"))
    names = os.environ.get("SCENARIOS", ",".join(SCENARIOS)).split(",")
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise SystemExit(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    chosen = servers(bench)
    print(f"{rounds} rounds; servers: {', '.join(chosen)}; {'pinned' if PINNED else 'not pinned'}; {platform.release()}")
    wanted_floors = {SCENARIOS[name][1] for name in names} - {None}
    rows = {name: {server: [] for server in chosen if server == "fanfare" or name not in FANFARE_ONLY} for name in names}
    floors = {name: [] for name in FLOORS if name in wanted_floors}
    for number in range(1, rounds + 1):
        for name, runs in floors.items():
            print(f"round {number}: {name}")
            runs.append(run(bench, [*FLOORS[name], *PIN]))
        for name in names:
            for server in rows[name]:
                print(f"round {number}: {name} on {server}")
                rows[name][server].append(measure(bench, name, server, chosen[server]))
    RESULTS.mkdir(exist_ok=True)
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    path = RESULTS / f"{stamp}.json"
    machine = {"kernel": platform.release(), "cpus": os.cpu_count(), "pinned": PINNED, "processor": processor()}
    path.write_text(json.dumps({"machine": machine, "rounds": rounds, "scenarios": rows, "floors": floors}, indent=1) + "\n")
    print()
    print(table(rows, floors, names))
    print()
    for name in names:
        print(f"{name}: {SCENARIOS[name][2]}")
    print(f"Every run: {path.relative_to(HERE.parent)}")
    runs = [row for by_server in rows.values() for row in by_server.get("fanfare", [])]
    faulty = any(row is None or row["errors"] or any(row.get(k) for k in ("lost", "repeated", "reordered")) for row in runs)
    raise SystemExit(1 if faulty else 0)


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
