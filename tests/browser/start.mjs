// The start page: figures, playground, snippets.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { promisify } from "node:util";
import { until } from "./until.mjs";

const run = promisify(execFile);
const SOON_MS = 10000;

const pane = (page, name) => page.locator(`[data-pane="${name}"]`);
const frames = (page, name, type) => pane(page, name).locator(`.frame[data-type="${type}"]`);

async function connected(page) {
  for (const name of ["alice", "bob"]) {
    await pane(page, name).locator('.state[data-state="open"]').waitFor();
    await pane(page, name).locator(".chip:not(.idle)").waitFor();
  }
}

async function publish(page, name, payload, { topic = "lobby", format = "json" } = {}) {
  const form = pane(page, name).locator("form.publish");
  await form.getByLabel("Publish to topic").fill(topic);
  await form.getByLabel("Payload is").selectOption(format);
  await form.getByLabel("Payload", { exact: true }).fill(payload);
  await form.getByRole("button", { name: "Publish" }).click();
}

function event(page, name, text) {
  return frames(page, name, "event").filter({ hasText: text });
}

function figure(page, key) {
  return page.locator(`[data-figure="${key}"]`).textContent();
}

async function stats(server) {
  return (await fetch(`${server.url}/stats`)).json();
}

async function bothHear({ open, server }) {
  const page = await open("/");
  await connected(page);
  const codes = await page.locator(".session").allTextContents();
  assert.equal(new Set(codes).size, 2, `two sessions: ${codes}`);
  codes.forEach((code) => assert.match(code, /^[a-z]+-[a-z]+-\d+/));
  const before = (await stats(server)).messages;
  await publish(page, "alice", '{"n":1.50,"to":"Bob"}');
  await event(page, "bob", '"to":"Bob"').waitFor();
  await event(page, "alice", '"to":"Bob"').waitFor();
  await frames(page, "alice", "ack").filter({ hasText: "delivered 2" }).waitFor();
  // The page hears the made-up market beside it, which is delivered and not published.
  const after = await until("the server counts one message and its deliveries", SOON_MS, async () => {
    const { messages } = await stats(server);
    return messages.published === before.published + 1 && messages.delivered >= before.delivered + 2 && messages;
  });
  await until("the page shows the published total", SOON_MS, async () =>
    (await figure(page, "published")).includes(`${after.published.toLocaleString("en")} in all`));
  await until("the page shows two connections", SOON_MS, async () =>
    Number(await page.locator('[data-figure="connections"] .tile-value').textContent()) >= 2);
  await page.locator(".topics tbody tr", { hasText: "lobby" }).waitFor();
}

async function textAndErrors({ open }) {
  const page = await open("/");
  await connected(page);
  await publish(page, "bob", "not { json", { format: "text" });
  await event(page, "alice", "not { json").waitFor();
  await publish(page, "bob", "not { json");
  await pane(page, "bob").locator(".problem", { hasText: "not JSON" }).waitFor();
  await publish(page, "bob", "1", { topic: "nobody listens here" });
  await pane(page, "bob").locator(".problem", { hasText: "TOPIC_NOT_FOUND" }).waitFor();
  const error = frames(page, "bob", "error");
  await error.locator("summary").click();
  assert.match(await error.locator("pre").textContent(), /"code": "TOPIC_NOT_FOUND"/);
}

async function recovers({ open }) {
  const page = await open("/");
  await connected(page);
  const toggle = pane(page, "bob").locator(".pane-head button");
  await toggle.click();
  await pane(page, "bob").locator('.state[data-state="closed"]').waitFor();
  for (const n of [1, 2, 3]) await publish(page, "alice", `{"missed":${n}}`);
  await event(page, "alice", '"missed":3').waitFor();
  await toggle.click();
  await pane(page, "bob").locator(".note", { hasText: "recovered, 3 missed" }).waitFor();
  await event(page, "bob", '"missed":3').waitFor();
  for (const n of [1, 2, 3]) assert.equal(await event(page, "bob", `"missed":${n}`).count(), 1);
}

async function filters({ open }) {
  const page = await open("/");
  await connected(page);
  await publish(page, "alice", '"needle"');
  await event(page, "alice", "needle").waitFor();
  const log = pane(page, "alice").locator(".frames");
  await log.getByLabel("Filter").fill("needle");
  const shown = log.locator(".frame:visible");
  const badges = await shown.locator(".badge").allTextContents();
  assert.deepEqual(badges.sort(), ["event", "publish"]);
  await log.getByLabel("Show").selectOption("out");
  assert.deepEqual(await shown.locator(".badge").allTextContents(), ["publish"]);
  await log.getByRole("button", { name: /Clear/ }).click();
  assert.equal(await log.locator(".frame").count(), 0);
}

async function unsubscribes({ open }) {
  const page = await open("/");
  await connected(page);
  await pane(page, "bob").getByRole("button", { name: "Bob unsubscribes from lobby" }).click();
  await frames(page, "bob", "ack").filter({ hasText: "unsubscribe" }).waitFor();
  await publish(page, "alice", '"alone"');
  await frames(page, "alice", "ack").filter({ hasText: "delivered 1" }).waitFor();
  await publish(page, "bob", '"still may speak"');
  await event(page, "alice", "still may speak").waitFor();
  assert.equal(await frames(page, "bob", "event").count(), 0);
}

async function twoPages({ open }) {
  const [here, there] = [await open("/"), await open("/")];
  await connected(here);
  await connected(there);
  await publish(here, "alice", '{"across":"pages"}');
  for (const page of [here, there]) for (const name of ["alice", "bob"]) await event(page, name, '"across":"pages"').waitFor();
}

/** The snippets with the binary itself, under the name it has here. */
async function pasteCommands(page, server, texts) {
  const named = (text) => text.replace(/^fanfare /, 'exec "$FANFARE_BIN" ');
  const listener = spawn("sh", ["-c", named(texts.sub)], { stdio: ["ignore", "pipe", "inherit"] });
  let heard = "";
  listener.stdout.on("data", (chunk) => {
    heard += chunk;
  });
  try {
    await until("the command listens", SOON_MS, async () => (await stats(server)).topics.lobby?.subscribers >= 4);
    await run("sh", ["-c", named(texts.pub)]);
    await event(page, "bob", "hello from the shell").waitFor();
    await until("the command prints the event", SOON_MS, () => heard.includes("hello from the shell"));
  } finally {
    listener.kill("SIGTERM");
  }
}

async function snippets({ open, server }) {
  const page = await open("/");
  await connected(page);
  const cards = page.locator("[data-snippet]");
  const texts = Object.fromEntries(
    await cards.evaluateAll((nodes) => nodes.map((node) => [node.dataset.snippet, node.querySelector("code").textContent])),
  );
  assert.deepEqual(Object.keys(texts).sort(), ["browser", "curl", "pub", "rpc", "sub", "websocat"]);
  for (const [name, text] of Object.entries(texts)) {
    const address = { curl: `http://${server.host}/publish`, rpc: `ws://${server.host}/rpc` }[name] ?? `ws://${server.host}/ws`;
    assert.ok(text.includes(address), `${name}: ${text}`);
  }
  const { stdout } = await run("sh", ["-c", texts.curl]);
  assert.equal(JSON.parse(stdout).delivered, 2);
  await event(page, "bob", '"from":"curl"').waitFor();
  await page.evaluate(texts.browser);
  await event(page, "bob", "hello from the console").waitFor();
  await pasteCommands(page, server, texts);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", { name: "Copy: Publish with curl" }).click();
  await page.getByText("Copied").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), texts.curl);
}

async function narrow({ open }) {
  const page = await open("/");
  await connected(page);
  for (const width of [1280, 768, 390, 360]) {
    await page.setViewportSize({ width, height: 800 });
    const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(over <= 0, `${width} px wide: ${over} px too wide`);
  }
}

async function labelled({ open }) {
  const page = await open("/");
  await connected(page);
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("input, select, textarea, button, a")]
      .filter((node) => !(node.labels?.length || node.textContent.trim() || node.getAttribute("aria-label")))
      .map((node) => node.outerHTML));
  assert.deepEqual(nameless, []);
}

async function restarted({ open, server }) {
  const page = await open("/");
  await connected(page);
  await publish(page, "alice", '"before"');
  await event(page, "bob", "before").waitFor();
  const codes = await page.locator(".session").allTextContents();
  await server.restart();
  await until("both have sessions of the new server", 2 * SOON_MS, async () => {
    const now = await page.locator(".session").allTextContents();
    return now.every((code) => !codes.includes(code));
  });
  await connected(page);
  await publish(page, "alice", '"after"');
  await event(page, "bob", "after").waitFor();
  await page.locator('.health[data-state="ok"]').waitFor();
  await page.locator(".banner[role=status]").waitFor({ state: "hidden" });
}

async function production({ open }) {
  const page = await open("/");
  await page.getByText("names its topics only to").waitFor();
  await page.locator('[data-figure="topics"]').waitFor({ state: "hidden" });
  await connected(page);
  await publish(page, "alice", "1");
  await pane(page, "alice").locator(".problem", { hasText: /UNAUTHORIZED|FORBIDDEN/ }).waitFor();
}

/** Without Kafka the page shows the made-up market at once, and says that it is made up. */
async function liveFeed({ open }) {
  const page = await open("/");
  await page.locator("#feed tbody tr").first().waitFor();
  assert.match(await page.locator("[data-feed-note]").textContent(), /^Demo data/);
}

export const tests = [
  { name: "the live feed shows records and says that they are made up", body: liveFeed },
  { name: "Alice publishes, Bob hears it, and the figures move", body: bothHear },
  { name: "text payloads travel, mistakes and refusals are told", body: textAndErrors },
  { name: "a reconnect recovers what was missed, each once", body: recovers },
  { name: "the log filters and clears", body: filters },
  { name: "who unsubscribed hears nothing", body: unsubscribes },
  { name: "two pages hear the same events", body: twoPages },
  { name: "snippets name this server and work when pasted", body: snippets },
  { name: "nothing is wider than the screen", body: narrow },
  { name: "every control has a name", body: labelled },
  {
    name: "a server that was restarted is found again",
    on: "own",
    tolerate: /ERR_CONNECTION|ERR_EMPTY_RESPONSE|WebSocket connection to|status of 503/,
    body: restarted,
  },
  { name: "production hides topics and tells of refusals", on: "production", body: production },
];
