#!/usr/bin/env python3
"""Durable topics: acknowledged publishes a second, how long an acknowledgement takes, delivery, replay and start.

usage: durable.py FANFARE [STORE_URL]      (SQLite in a folder of its own unless a store is named)

The disk's own sync is measured first and again at the end: the time of an acknowledgement is to be read in it. Environment:

  RUNS=3                 rounds; figures are medians
  KEPT=100000            events that are kept and replayed
  START=0                events that are written into the SQLite file before the start that is timed (10000000 takes minutes)
  DURABLE_DIR=DIR        folder on the disk that is measured (bench/results)
"""

import base64
import json
import os
import pathlib
import selectors
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

BIN = sys.argv[1]
STORE = sys.argv[2] if len(sys.argv) > 2 else None
RUNS = int(os.environ.get("RUNS", 3))
KEPT = int(os.environ.get("KEPT", 100_000))
START = int(os.environ.get("START", 0))
HERE = pathlib.Path(__file__).resolve().parent
DIR = pathlib.Path(os.environ.get("DURABLE_DIR", HERE / "results"))
PUBLISHERS, WINDOW, PAYLOAD = 64, 16, 256
RULES = [{"pattern": p, "durable": d, "history_size": 0, "history_topic_bytes": 0, "subscribe": "anyone", "publish": "anyone", "history": "anyone"}
         for p, d in (("log/*", True), ("bench*", True))] + [{"pattern": "*", "subscribe": "anyone", "publish": "anyone", "history": "anyone"}]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server on a folder; the time until it listens is `took`."""

    def __init__(self, folder, durable=True):
        self.port = free_port()
        rules = RULES if durable else RULES[-1:]
        settings = {"data_dir": folder, "server.port": self.port, "server.host": "127.0.0.1", "feeds.demo": "false", "log.level": "warn",
                    "limits.messages_per_second": 0, "topics.rules": json.dumps(rules), **({"store.url": STORE} if STORE and durable else {})}
        began = time.perf_counter()
        command = [BIN, "serve", *(x for key, value in settings.items() for x in ("--set", f"{key}={value}"))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.process.stdout.readline()
        self.took = time.perf_counter() - began

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def socket(self):
        conn = socket.create_connection(("127.0.0.1", self.port))
        key = base64.b64encode(os.urandom(16)).decode()
        conn.sendall(f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        seen = b""
        while b'"type":"welcome"' not in seen or not seen.endswith(b"}"):
            seen += conn.recv(65536)
        return conn

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def frame(message):
    data = json.dumps(message).encode()
    length = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + data


# A topic of this run's own: a named store outlives it.
TOPIC = f"log/{os.getpid()}"


def next_topic():
    global TOPIC
    TOPIC += "+"


def publish():
    return frame({"type": "publish", "topic": TOPIC, "payload": "x" * (PAYLOAD - 2)})


def read(conn):
    piece = conn.recv(1 << 20)
    if not piece:
        raise SystemExit("the server closed a connection")
    return piece


ACK = b'"for":"publish"'


class Count:
    """Counts a text in a stream that is read in pieces."""

    def __init__(self, text):
        self.text, self.tail = text, b""

    def __call__(self, piece):
        piece = self.tail + piece
        self.tail = piece[-(len(self.text) - 1):]
        return piece.count(self.text)


def disk_sync():
    """Milliseconds of one fdatasync after a write of 4 KiB: the median of 200."""
    with tempfile.NamedTemporaryFile(dir=DIR) as file:
        times = []
        for _ in range(200):
            os.pwrite(file.fileno(), b"x" * 4096, 0)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
        return statistics.median(times) * 1000


def acknowledged(server, seconds=4.0, warm=1.0):
    """Publishers with a window each: acknowledgements a second, and CPU seconds of the server for a million."""
    chooser, one = selectors.DefaultSelector(), publish()
    for _ in range(PUBLISHERS):
        conn = server.socket()
        chooser.register(conn, selectors.EVENT_READ, Count(ACK))
        conn.sendall(one * WINDOW)
    total, began = 0, None
    ends, starts = time.perf_counter() + warm + seconds, time.perf_counter() + warm
    while (now := time.perf_counter()) < ends:
        if began is None and now >= starts:
            total, began, cpu = 0, now, server.cpu()
        for key, _ in chooser.select(1):
            acks = key.data(read(key.fileobj))
            total += acks
            if acks:
                key.fileobj.sendall(one * acks)
    spent = time.perf_counter() - began
    used = server.cpu() - cpu
    for key in list(chooser.get_map().values()):
        key.fileobj.close()
    return total / spent, used / total * 1e6


def at_rate(server, rate=5000, seconds=4.0):
    """Milliseconds from the time a publish is due to its acknowledgement, at a fixed rate: median and 99th percentile."""
    chooser, one = selectors.DefaultSelector(), publish()
    conns = [server.socket() for _ in range(PUBLISHERS)]
    due = {conn: [] for conn in conns}
    for conn in conns:
        chooser.register(conn, selectors.EVENT_READ, Count(ACK))
    times, sent, began = [], 0, time.perf_counter()
    while sent < rate * seconds or any(due.values()):
        now = time.perf_counter()
        while sent < rate * seconds and began + sent / rate <= now:
            conn = conns[sent % PUBLISHERS]
            due[conn].append(began + sent / rate)
            conn.sendall(one)
            sent += 1
        for key, _ in chooser.select(1 / rate):
            acks, now = key.data(read(key.fileobj)), time.perf_counter()
            queue = due[key.fileobj]
            times += [now - at for at in queue[:acks]]
            del queue[:acks]
    for conn in conns:
        conn.close()
    times.sort()
    return times[len(times) // 2] * 1000, times[len(times) * 99 // 100] * 1000


def delivery(durable):
    """CPU microseconds of the server for each delivery to 1000 subscribers at 100 messages a second."""
    with tempfile.TemporaryDirectory(dir=DIR) as folder, Server(folder, durable) as server:
        command = [BIN, "bench", "fanout", "--subscribers", "1000", "--rate", "100", "--seconds", "4", "--address", f"127.0.0.1:{server.port}",
                   "--pid", str(server.process.pid)]
        out = subprocess.run(command, capture_output=True, text=True, timeout=120)
        row = json.loads(out.stdout.strip().splitlines()[-1])
        return row["cpu_s_per_million"]


def fill(server, count):
    conn, one, acks, total, sent = server.socket(), publish(), Count(ACK), 0, 0
    while total < count:
        if sent < count and sent - total < 4 * WINDOW:
            more = min(4 * WINDOW - (sent - total), count - sent)
            conn.sendall(one * more)
            sent += more
        total += acks(read(conn))
    conn.close()


def replay(server, count):
    """Events a second that one client is sent of what is kept."""
    conn = server.socket()
    conn.sendall(frame({"type": "subscribe", "topic": TOPIC}))
    text = read(conn).decode("utf-8", "replace")
    epoch = text.split('"epoch":"', 1)[1][:16]
    conn.close()
    conn, events, got = server.socket(), Count(b'"type":"event"'), 0
    began = time.perf_counter()
    conn.sendall(frame({"type": "subscribe", "topic": TOPIC, "since": {"epoch": epoch, "offset": 0}}))
    while got < count:
        got += events(read(conn))
    took = time.perf_counter() - began
    conn.close()
    return got / took


def grown_start(folder):
    """Seconds until a server listens whose SQLite file holds so many events."""
    with Server(folder) as server:
        fill(server, 1)
    with sqlite3.connect(pathlib.Path(folder) / "fanfare.db") as db:
        log, head, epoch_time = db.execute("SELECT id, head, clock FROM logs WHERE name = ?", (TOPIC,)).fetchone()
        row = b'"' + b"x" * (PAYLOAD - 2) + b'"'
        rows = ((log, seq, epoch_time + seq, 1, "http", None, None, row) for seq in range(head + 1, START + 1))
        db.executemany("INSERT INTO log_entries (log, seq, time, node, client_id, by_user, key, payload) VALUES (?,?,?,?,?,?,?,?)", rows)
        db.execute("UPDATE logs SET head = ?, clock = ?, bytes = ? WHERE id = ?", (START, epoch_time + START, START * (PAYLOAD + 100), log))
    with Server(folder) as server:
        return server.took


def main():
    DIR.mkdir(parents=True, exist_ok=True)
    sync = disk_sync()
    print(f"store {'PostgreSQL' if STORE else 'SQLite'}; fdatasync of 4 KiB: {sync:.2f} ms")
    rates, cpus, medians, tails, replays, starts, memory, stored = ([] for _ in range(8))
    for _ in range(RUNS):
        next_topic()
        folder = tempfile.mkdtemp(dir=DIR)
        try:
            with Server(folder) as server:
                fill(server, KEPT)
                replays.append(replay(server, KEPT))
                rate, cpu = acknowledged(server)
                rates.append(rate)
                cpus.append(cpu)
                median, tail = at_rate(server)
                medians.append(median)
                tails.append(tail)
            with Server(folder) as server:
                starts.append(server.took)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        memory.append(delivery(False))
        stored.append(delivery(True))
    middle = statistics.median
    after = disk_sync()
    print(f"acknowledged publishes, {PUBLISHERS} publishers with {WINDOW} in flight, {PAYLOAD} bytes: {middle(rates):,.0f}/s, server {middle(cpus):.1f} CPU s/M")
    print(f"acknowledgement at 5000/s: p50 {middle(medians):.2f} ms, p99 {middle(tails):.2f} ms; fdatasync {sync:.2f} and {after:.2f} ms "
          f"(bound {2.5 * max(sync, after) + 1:.2f} ms)")
    print(f"delivery to 1000 subscribers: {middle(stored):.2f} us durable, {middle(memory):.2f} us in memory: {middle(stored) / middle(memory):.2f} times")
    print(f"replay of {KEPT:,} events to one client: {middle(replays):,.0f}/s")
    print(f"start with these: {middle(starts):.3f} s")
    if START and not STORE:
        with tempfile.TemporaryDirectory(dir=DIR) as folder:
            print(f"start with {START:,} events: {grown_start(folder):.3f} s")


main()
