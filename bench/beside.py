#!/usr/bin/env python3
"""A fan-out's latency while something else runs, beside the same without it.

usage: beside.py FANFARE logins       100 clients log in at once, on the same server
       beside.py FANFARE appends      the store appends 10 000 messages a second, in a process of its own

Both runs are of the same server process. Logins cost an Argon2id each; the server runs a few at a time at low priority and
responds with 503 beyond its queue, so the result is how much of the machine they leave to the sockets. RUNS=3 rounds,
SUBSCRIBERS=1000.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from run import CPUS, PINNED, fanfare, free_port, run, socket

CLIENTS = 100
PASSWORD = "Quiet-Otter-swims-9-miles"
SETTINGS = {"limits.login_per_minute": 0, "limits.register_per_minute": 0}


def post(port, path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, 0
    except urllib.error.HTTPError as refused:
        return refused.code, int(refused.headers.get("Retry-After", 0))


def log_in_until(port, done, counts):
    # Clients that log in would run on other machines: this one's cores are for the server and the receiving clients.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while not done.is_set():
        status, retry_after = post(port, "/auth/login", {"username": "bench", "password": PASSWORD})
        counts[status] = counts.get(status, 0) + 1
        done.wait(retry_after)


@contextlib.contextmanager
def logins(port):
    """Clients that log in until the end; returns the counts of their responses."""
    done, counts = threading.Event(), {}
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(CLIENTS):
            pool.submit(log_in_until, port, done, counts)
        yield
        done.set()
    print(f"  logins: {counts}")


@contextlib.contextmanager
def appends(_port):
    """The store at a steady pace for longer than a run takes; bench/store.sh builds the program."""
    program = pathlib.Path(sys.argv[1]).parent / "examples/appends"
    store = subprocess.Popen([program, "sqlite", "20", "10000"], stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(1)
        yield
        assert store.poll() is None, "the store ended before the fan-out"
        print(f"  {store.communicate()[0]}", end="")
    finally:
        store.kill()
        store.wait()


def main(binary, beside):
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="fanfare-bench-") as directory:
        words = fanfare(binary).command(port, directory)
        for key, value in SETTINGS.items():
            words += ["--set", f"{key}={value}"]
        with open(f"{directory}/log", "wb") as log:
            server = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
                time.sleep(0.05)
            assert post(port, "/auth/register", {"username": "bench", "password": PASSWORD})[0] == 201
            client = ["--client-cpu", str(CPUS[1])] if PINNED else []
            common = ["fanout", "--subscribers", os.environ.get("SUBSCRIBERS", "1000"), "--rate", "100"]
            common += ["--dialect", "typed", "--address", f"127.0.0.1:{port}", "--pid", str(server.pid), *client]
            rows = {"alone": [], f"beside {beside.__name__}": []}
            for _ in range(int(os.environ.get("RUNS", "3"))):
                rows["alone"].append(run(binary, [*common, "--label", "alone"]))
                with beside(port):
                    rows[f"beside {beside.__name__}"].append(run(binary, [*common, "--label", beside.__name__]))
            for name, runs in rows.items():
                figures = [statistics.median(row[key] for row in runs) / 1000 for key in ("p50_us", "p99_us")]
                lost = sum(row["lost"] for row in runs)
                print(f"{name:>14}: p50 {figures[0]:.2f} ms, p99 {figures[1]:.2f} ms, lost {lost}")
        finally:
            server.terminate()
            server.wait(40)


if __name__ == "__main__":
    main(sys.argv[1], {"logins": logins, "appends": appends}[sys.argv[2]])
