// Browser tests: a real server, a real Chromium, the pages as a person meets them. Prints TAP, ends with status 1
// when something failed. Needs FANFARE_BIN (the server's binary); CHROMIUM names another browser binary.
import { launchBrowser, Watch } from "./browser.mjs";
import { startServer } from "./server.mjs";
import { tests as docs } from "./docs.mjs";
import { tests as start } from "./start.mjs";
import { until } from "./until.mjs";

const TEST_MS = 60000;
const SETTLE_MS = 10000;

async function within(promise, ms) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs one test in a browser context of its own and fails it for anything the console or the network betrays. */
async function runOne(browser, server, { body, tolerate }) {
  const watch = new Watch(server.url, tolerate);
  const context = await browser.newContext();
  try {
    await within(body({ server, open: (path, prepare) => watch.open(context, path, prepare) }), TEST_MS);
    watch.verify();
  } finally {
    await context.close();
  }
  await until("the server let go of every connection", SETTLE_MS, async () => {
    const answer = await fetch(`${server.url}/stats`);
    return (await answer.json()).connections === 0;
  });
}

/** The server a test asks for with `on`: the common one, the one in production mode, or one to itself. */
async function runOn(browser, servers, binary, test) {
  if (test.on !== "own") return runOne(browser, servers[test.on ?? "development"], test);
  const own = await startServer(binary);
  try {
    await runOne(browser, own, test);
  } finally {
    await own.stop();
  }
}

async function main() {
  const binary = process.env.FANFARE_BIN;
  if (!binary) throw new Error("FANFARE_BIN must name the server's binary");
  const servers = {
    development: await startServer(binary),
    production: await startServer(binary, { environment: "production", "server.behind_proxy": "true" }),
  };
  const browser = await launchBrowser();
  const all = [...start, ...docs];
  let failed = 0;
  console.log(`TAP version 13\n1..${all.length}`);
  try {
    for (const [index, test] of all.entries()) {
      try {
        await runOn(browser, servers, binary, test);
        console.log(`ok ${index + 1} - ${test.name}`);
      } catch (error) {
        failed += 1;
        const told = String(error.stack ?? error).split("\n").map((line) => `    ${line}`);
        console.log(`not ok ${index + 1} - ${test.name}\n${told.join("\n")}`);
      }
    }
  } finally {
    await browser.close();
    await Promise.all(Object.values(servers).map((server) => server.stop()));
  }
  console.log(`# ${all.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main();
