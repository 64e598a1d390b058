// The documentation page: the REST reference and the WebSocket test client.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { until } from "./until.mjs";

async function reference({ open, server }) {
  const page = await open("/docs");
  await page.locator(".opblock").first().waitFor();
  const { paths } = await (await fetch(`${server.url}/openapi.json`)).json();
  const verbs = ["get", "put", "post", "delete", "patch", "head", "options", "trace"];
  const operations = Object.values(paths).flatMap((item) => Object.keys(item).filter((key) => verbs.includes(key)));
  assert.equal(await page.locator(".opblock").count(), operations.length);
  assert.equal(await page.locator(".opblock-summary-path", { hasText: "/publish" }).count() > 0, true);
  await page.locator(".opblock-summary", { hasText: "/stats" }).first().click();
  await page.getByRole("button", { name: "Execute" }).click();
  await page.locator(".live-responses-table .response-col_status", { hasText: "200" }).waitFor();
}

async function opened(page, endpoint) {
  await page.getByRole("tab", { name: "WebSocket client" }).click();
  await page.getByLabel("Endpoint", { exact: true }).selectOption(endpoint);
  await page.getByRole("button", { name: "Connect" }).click();
  await page.locator('.state[data-state="open"]').waitFor();
}

const connected = (page) => page.locator('.state[data-state="open"]').waitFor();
const received = (page, type) => page.locator(`.frame.in[data-type="${type}"]`);
const template = (page) => page.getByLabel("Template", { exact: true });
const send = (page) => page.getByRole("button", { name: "Send", exact: true }).click();
const code = (page) => page.locator(".as-code .code").textContent();

async function pingPong({ open, server }) {
  const page = await open("/docs");
  await opened(page, "ws");
  await received(page, "welcome").waitFor();
  await template(page).selectOption({ label: "ping: with an id" });
  await send(page);
  const pong = received(page, "pong");
  await pong.locator("summary").click();
  assert.match(await pong.locator("pre").textContent(), /"request_id": 7/);
  assert.ok((await code(page)).includes(`new WebSocket("ws://${server.host}/ws")`));
  for (const [language, wanted] of [["websocat", "| websocat 'ws://"], ["wscat", "wscat --connect 'ws://"], ["python", "websockets.connect("]]) {
    await page.getByLabel("As code", { exact: true }).selectOption(language);
    assert.ok((await code(page)).includes(wanted), language);
  }
  await page.getByLabel("Frame", { exact: true }).fill("{not json");
  await send(page);
  await received(page, "error").filter({ hasText: "INVALID_JSON" }).waitFor();
}

async function rpcEcho({ open, server }) {
  const page = await open("/docs");
  await opened(page, "rpc");
  const { methods } = await (await fetch(`${server.url}/openrpc.json`)).json();
  const offered = await page.locator("select[name=template] option").allTextContents();
  assert.deepEqual(offered.sort(), methods.map((method) => method.name).sort());
  await template(page).selectOption({ label: "test.echo" });
  await send(page);
  await received(page, "result").filter({ hasText: '"msg":"hello"' }).waitFor();
}

/** The answer of a typed frame or a request, as the log names it. */
const ANSWERS = ["ack", "error", "pong", "server_response", "result"].map((type) => `.frame.in[data-type="${type}"]`).join(", ");

async function everyExample({ open, server }) {
  const page = await open("/docs#websocket");
  const doc = await (await fetch(`${server.url}/asyncapi.json`)).json();
  await page.locator("select[name=template] option").first().waitFor({ state: "attached" });
  // The socket for notices takes nobody who is not logged in.
  const endpoints = (await page.locator("select[name=endpoint] option").evaluateAll((all) => all.map((one) => one.value))).filter((id) => !id.startsWith("system"));
  const tried = new Set();
  for (const endpoint of endpoints) {
    await page.getByLabel("Endpoint", { exact: true }).selectOption(endpoint);
    const count = await page.locator("select[name=template] option").count();
    for (let index = 0; index < count; index += 1) {
      await template(page).selectOption(String(index));
      const text = await page.getByLabel("Frame", { exact: true }).inputValue();
      await page.getByRole("button", { name: /^Clear/ }).click();
      await send(page);
      await page.locator(ANSWERS).first().waitFor();
      tried.add(JSON.stringify(JSON.parse(text)));
    }
  }
  const sent = Object.values(doc.operations).filter((operation) => operation.action === "receive").map((operation) => operation.messages[0].$ref.split("/").pop());
  for (const key of new Set(sent)) {
    for (const { payload } of doc.components.messages[key].examples) assert.ok(tried.has(JSON.stringify(payload)), `${key} was not offered`);
  }
}

async function formAndText({ open }) {
  const page = await open("/docs#websocket");
  const frame = page.getByLabel("Frame", { exact: true });
  await template(page).selectOption({ label: "publish: a payload" });
  await page.getByLabel("topic (required)").fill("news");
  await page.getByLabel("payload", { exact: true }).fill("[1, 2]");
  await page.getByLabel("exclude_self").selectOption("true");
  await page.getByLabel("request_id").fill("");
  assert.deepEqual(JSON.parse(await frame.inputValue()), { type: "publish", topic: "news", payload: [1, 2], exclude_self: true });
  await frame.fill('{"type":"publish","topic":"other","payload":{"a":1}}');
  assert.equal(await page.getByLabel("topic (required)").inputValue(), "other");
  assert.equal(await page.getByLabel("exclude_self").inputValue(), "");
}

async function filtersAndPause({ open }) {
  const page = await open("/docs");
  await opened(page, "ws");
  await send(page);
  await received(page, "ack").waitFor();
  const shown = page.locator(".socket .frame:visible .badge");
  await page.getByLabel("Type", { exact: true }).selectOption("ack");
  assert.deepEqual(await shown.allTextContents(), ["ack"]);
  await page.getByLabel("Type", { exact: true }).selectOption("");
  await page.getByLabel("Show", { exact: true }).selectOption("out");
  assert.deepEqual(await shown.allTextContents(), ["subscribe"]);
  await page.getByLabel("Show", { exact: true }).selectOption("");
  await page.getByLabel("Filter", { exact: true }).fill("heartbeat_ms");
  assert.deepEqual(await shown.allTextContents(), ["welcome"]);
  await page.getByLabel("Filter", { exact: true }).fill("");
  await page.getByRole("button", { name: "Pause" }).click();
  await template(page).selectOption({ label: "ping: with an id" });
  await send(page);
  await page.getByText("paused, 2 waiting").waitFor();
  assert.equal(await received(page, "pong").count(), 0);
  await page.getByRole("button", { name: "Resume", exact: true }).click();
  await received(page, "pong").waitFor();
}

/** Runs JavaScript as a person would paste it, until it has printed what is wanted. */
async function runsInNode(source, wanted) {
  // Node.js has WebSocket without a flag from version 22 on.
  const flags = Number(process.versions.node.split(".")[0]) < 22 ? ["--experimental-websocket"] : [];
  const child = spawn(process.execPath, [...flags, "--input-type=module", "--eval", source], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += chunk));
  try {
    await until(`the code prints ${wanted}`, 15000, async () => wanted.every((text) => said.includes(text)));
  } catch (error) {
    throw new Error(`${error.message}; it printed: ${said}`);
  } finally {
    child.kill("SIGKILL");
  }
}

async function exchangeAsCode({ open }) {
  const page = await open("/docs");
  await opened(page, "ws");
  await send(page);
  await received(page, "ack").waitFor();
  await template(page).selectOption({ label: "ping: with an id" });
  await send(page);
  await received(page, "pong").waitFor();
  await received(page, "ack").locator("summary").click();
  await received(page, "ack").getByRole("button", { name: "Exchange as code" }).click();
  const one = await code(page);
  assert.ok(one.includes("subscribe") && !one.includes("ping"), one);
  await runsInNode(one, ['"type":"welcome"', '"type":"ack","for":"subscribe"']);
  await page.getByLabel("As code", { exact: true }).selectOption("fanfare");
  assert.match(await code(page), /^fanfare sub --url 'ws:.*' 'lobby'$/);
  await page.getByLabel("As code", { exact: true }).selectOption("js");
  await template(page).selectOption({ label: "ping: with an id" });
  await page.getByLabel("What", { exact: true }).selectOption("all");
  await runsInNode(await code(page), ['"type":"ack","for":"subscribe"', '"type":"pong","request_id":7']);
}

async function resumesSession({ open }) {
  const page = await open("/docs");
  await opened(page, "ws");
  await received(page, "welcome").waitFor();
  await page.getByRole("button", { name: "Resume this session next time" }).click();
  await page.getByRole("button", { name: "Disconnect" }).click();
  await page.getByRole("button", { name: "Connect", exact: true }).click();
  await connected(page);
  await received(page, "welcome").filter({ hasText: "resumed" }).waitFor();
}

async function messages({ open, server }) {
  const page = await open("/docs#rate_limited");
  const doc = await (await fetch(`${server.url}/asyncapi.json`)).json();
  await page.locator("#rate_limited .code").waitFor();
  assert.match(await page.locator("#rate_limited .code").textContent(), /"code": "RATE_LIMITED"/);
  const keys = await page.locator(".message").evaluateAll((all) => all.map((one) => one.dataset.message));
  assert.deepEqual(keys.sort(), Object.keys(doc.components.messages).sort());
  await page.getByLabel("Find a message").fill("typed.publish");
  const publish = page.locator('[data-message="typed.publish"]');
  assert.equal(await page.locator(".message:visible").count(), 1);
  await publish.locator("> summary").click();
  // What a message holds is filled in when it has opened, which is an event later.
  await publish.locator(".example").first().waitFor();
  assert.equal(await publish.locator(".example").count(), doc.components.messages["typed.publish"].examples.length);
  await publish.getByRole("button", { name: "Try it" }).nth(1).click();
  assert.match(await page.getByLabel("Frame", { exact: true }).inputValue(), /"idempotency_key"/);
}

async function tabs({ open }) {
  const page = await open("/docs#websocket");
  await page.getByRole("heading", { name: "WebSocket test client" }).waitFor();
  await page.getByRole("tab", { name: "WebSocket client" }).press("ArrowLeft");
  await page.getByRole("heading", { name: "Messages", exact: true }).waitFor();
  await page.getByRole("tab", { name: "Messages" }).press("ArrowLeft");
  await page.locator(".opblock").first().waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "tab-rest");
}

async function namesAndWidths({ open }) {
  const page = await open("/docs#websocket");
  await page.locator("select[name=template] option").first().waitFor({ state: "attached" });
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("#panel-websocket, #panel-messages")].flatMap((panel) =>
      [...panel.querySelectorAll("input, select, textarea, button, a, summary")]
        .filter((node) => !(node.labels?.length || node.textContent.trim() || node.getAttribute("aria-label")))
        .map((node) => node.outerHTML)));
  assert.deepEqual(nameless, []);
  for (const tab of ["WebSocket client", "Messages"]) {
    await page.getByRole("tab", { name: tab }).click();
    for (const width of [1280, 768, 390]) {
      await page.setViewportSize({ width, height: 800 });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(over <= 0, `${tab}, ${width} px wide: ${over} px too wide`);
    }
  }
}

async function asksAgain({ open }) {
  let refused = 0;
  const prepare = (fresh) => fresh.route("**/asyncapi.json", (route) => (refused++ ? route.continue() : route.fulfill({ status: 503, body: "" })));
  const page = await open("/docs#websocket", prepare);
  await page.locator("#tester .problem", { hasText: "status 503" }).waitFor();
  await page.locator("#tester").getByRole("button", { name: "Try again" }).click();
  await opened(page, "ws");
}

async function samples({ open }) {
  const page = await open("/docs");
  const cases = [
    [{ type: "string", minLength: 6 }, "textxx"],
    [{ type: "string", examples: ["lobby"] }, "lobby"],
    [{ type: ["null", "integer"], minimum: 3 }, 3],
    [{ enum: ["a", "b"] }, "a"],
    [{ oneOf: [{ type: "null" }, { $ref: "#/defs/pair" }] }, { left: 0, right: [false] }],
    [{ $ref: "#/defs/loop" }, { next: { next: { next: { next: { next: {} } } } } }],
    [{}, {}],
  ];
  const root = {
    defs: {
      pair: { type: "object", required: ["left", "right"], properties: { left: { type: "number" }, right: { type: "array", items: { type: "boolean" } } } },
      loop: { type: "object", required: ["next"], properties: { next: { $ref: "#/defs/loop" } } },
    },
  };
  const found = await page.evaluate(async ([list, doc]) => {
    const { sample } = await import(new URL("assets/templates.js", document.baseURI).href);
    return list.map(([schema]) => sample(schema, doc));
  }, [cases, root]);
  assert.deepEqual(found, cases.map(([, wanted]) => wanted));
}

export const tests = [
  { name: "the reference shows every operation and tries one out", body: reference },
  { name: "the messages of the sockets are all shown, found by code and tried out", body: messages },
  { name: "the test client pings, shows code and errors", body: pingPong },
  { name: "the test client speaks JSON-RPC", body: rpcEcho },
  { name: "every example can be picked, is sent and is answered", body: everyExample },
  { name: "form and text show the same frame", body: formAndText },
  { name: "the test client filters by type, direction and text, and pauses", body: filtersAndPause },
  { name: "an exchange is taken out as code that runs", body: exchangeAsCode },
  { name: "the test client resumes its session", body: resumesSession },
  { name: "without the description of the sockets the page says so and asks again", tolerate: /status of 503/, body: asksAgain },
  { name: "sample parameters fit their schema", body: samples },
  { name: "every control has a name and nothing is wider than the screen", body: namesAndWidths },
  { name: "tabs follow the address and the keyboard", body: tabs },
];
