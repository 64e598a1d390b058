"""Runs the blocks of a page against a server of its own; see `run`."""
import os, pathlib, re, shutil, socket, subprocess, sys, tempfile, time

START_SECONDS = 30
BLOCK_SECONDS = 60
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n((?:<!-- says .*? -->\n)*)", re.M | re.S)
SAYS = re.compile(r"<!-- says (.*?) -->")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(work, port, environment):
    with open(work / "server.log", "w") as log:
        server = subprocess.Popen([os.environ["FANFARE_BIN"], "serve"], cwd=work, env=environment, stdout=log, stderr=log)
    deadline = time.monotonic() + START_SECONDS
    while not (work / "data/address").exists():
        if server.poll() is not None or time.monotonic() > deadline:
            server.kill()
            sys.exit(f"the server does not start:\n{(work / 'server.log').read_text()}")
        time.sleep(0.05)
    return server


def command(work, kind, text, number):
    """How a block is run. Shell blocks hand their variables on."""
    if kind == "sh":
        return ["bash", "-euo", "pipefail", "-c", f"set -a; . ./variables\n{text}\nexport -p > variables"]
    file = work / f"block{number}.{ {'js': 'mjs', 'python': 'py'}[kind] }"
    file.write_text(text)
    return ["node", "--experimental-websocket", "--no-warnings", file.name] if kind == "js" else [sys.executable, file.name]


def run(work, kind, text, says, number, environment):
    """The reason why a block fails, or nothing."""
    try:
        done = subprocess.run(command(work, kind, text, number), cwd=work, env=environment, capture_output=True, text=True,
                              timeout=BLOCK_SECONDS, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return f"does not end within {BLOCK_SECONDS} s"
    missing = [want for want in says if want not in done.stdout]
    if done.returncode or missing:
        return f"status {done.returncode}, misses {missing}\n{done.stdout}{done.stderr}"
    return None


def main(page):
    source = pathlib.Path(page).read_text()
    blocks = [(m[1], m[2], SAYS.findall(m[3]), source[:m.start()].count("\n") + 1) for m in BLOCK.finditer(source)]
    work, port = pathlib.Path(tempfile.mkdtemp()), free_port()
    here = {"localhost:8080": f"localhost:{port}"}
    configuration = "\n".join(text for kind, text, _, _ in blocks if kind == "toml")
    (work / "fanfare.toml").write_text(configuration)
    (work / "variables").touch()
    (work / "bin").mkdir()
    (work / "bin/fanfare").symlink_to(os.environ["FANFARE_BIN"])
    environment = {"PATH": f"{work / 'bin'}:{os.environ['PATH']}", "HOME": str(work), "LANG": "C.UTF-8",
                   "FANFARE__SERVER__PORT": str(port), "FANFARE__DATA_DIR": str(work / "data")}
    environment |= {"FANFARE__SERVER__HOST": "127.0.0.1", "FANFARE__SERVER__PUBLIC_ORIGIN": f"http://localhost:{port}"}
    passed = failed = 0
    server = start(work, port, environment)
    try:
        for number, (kind, text, says, line) in enumerate(blocks):
            if kind not in ("sh", "js", "python"):
                continue
            for old, new in here.items():
                text = text.replace(old, new)
            trouble = "says nothing that is checked" if not says else run(work, kind, text, says, number, environment)
            passed, failed = passed + (not trouble), failed + bool(trouble)
            print(f"{'FAIL' if trouble else 'ok  '} {pathlib.Path(page).name}:{line} {kind}" + (f": {trouble}" if trouble else ""))
        if not blocks:
            failed += 1
            print("FAIL the page has no blocks")
    finally:
        server.terminate()
        server.wait(40)
        shutil.rmtree(work)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
