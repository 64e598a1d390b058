// Browser tests: a real server, a real Chromium, the pages as a person meets them. Prints TAP, ends with status 1
// when something failed. Needs FANFARE_BIN (the server's binary); CHROMIUM names another browser binary.
import { launchBrowser, Watch } from "./browser.mjs";
import { startServer } from "./server.mjs";
import { tests as docs } from "./docs.mjs";
import { tests as start } from "./start.mjs";

const TEST_MS = 60000;

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
async function runOne(browser, server, body) {
  const watch = new Watch(server.url);
  const context = await browser.newContext();
  try {
    await within(body({ server, open: (path) => watch.open(context, path) }), TEST_MS);
    watch.verify();
  } finally {
    await context.close();
  }
}

async function main() {
  const binary = process.env.FANFARE_BIN;
  if (!binary) throw new Error("FANFARE_BIN must name the server's binary");
  const server = await startServer(binary);
  const production = await startServer(binary, { environment: "production", "server.behind_proxy": "true" });
  const browser = await launchBrowser();
  const all = [...start, ...docs];
  let failed = 0;
  console.log(`TAP version 13\n1..${all.length}`);
  try {
    for (const [index, { name, on, body }] of all.entries()) {
      try {
        await runOne(browser, on === "production" ? production : server, body);
        console.log(`ok ${index + 1} - ${name}`);
      } catch (error) {
        failed += 1;
        const told = String(error.stack ?? error).split("\n").map((line) => `    ${line}`);
        console.log(`not ok ${index + 1} - ${name}\n${told.join("\n")}`);
      }
    }
  } finally {
    await browser.close();
    await Promise.all([server.stop(), production.stop()]);
  }
  console.log(`# ${all.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main();
