// Starts the server under test on a free loopback port with a data folder of its own.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./until.mjs";

const START_MS = 30000;
const STOP_MS = 35000;

async function launch(binary, settings) {
  const data = await mkdtemp(join(tmpdir(), "fanfare-browser-"));
  const keys = { "server.port": 0, "server.host": "127.0.0.1", data_dir: data, ...settings };
  const flags = Object.entries(keys).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
  const child = spawn(binary, ["serve", ...flags], { cwd: data, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said = (said + chunk).slice(-4000);
  });
  const ended = new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve(`status ${code ?? signal}`));
    child.once("error", (error) => resolve(error.message));
  });
  let end = null;
  ended.then((how) => {
    end = how;
  });
  const stop = async () => {
    if (end === null) child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await ended;
    clearTimeout(timer);
    await rm(data, { recursive: true, force: true });
  };
  try {
    const url = await until("the server answers", START_MS, async () => {
      if (end !== null) throw new Error(`the server ended with ${end}: ${said}`);
      const address = (await readFile(join(data, "address"), "utf8").catch(() => "")).trim();
      if (!address) return null;
      const at = address.startsWith("http") ? address : `http://${address}`;
      const answer = await fetch(`${at}/health`).catch(() => null);
      return answer?.ok ? at : null;
    });
    return { url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** `settings` are further `--set` keys. Answers once the server answers; `restart` keeps the address, not the data. */
export async function startServer(binary, settings = {}) {
  let { url, stop } = await launch(binary, settings);
  const { host, port } = new URL(url);
  const restart = async () => {
    await stop();
    ({ stop } = await launch(binary, { ...settings, "server.port": port }));
  };
  return { url, host, restart, stop: () => stop() };
}
