// The documentation page: the REST reference and the WebSocket test client.
import assert from "node:assert/strict";

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

async function pingPong({ open, server }) {
  const page = await open("/docs");
  await opened(page, "ws");
  await page.locator('.frame[data-type="welcome"]').waitFor();
  await page.getByLabel("Template", { exact: true }).selectOption({ label: "ping" });
  await page.getByRole("button", { name: "Send" }).click();
  const pong = page.locator('.frame.in[data-type="pong"]');
  await pong.locator("summary").click();
  assert.match(await pong.locator("pre").textContent(), /"request_id": 7/);
  const code = page.locator(".code");
  assert.ok((await code.textContent()).includes(`new WebSocket("ws://${server.host}/ws")`));
  await page.getByLabel("As code", { exact: true }).selectOption("websocat");
  assert.ok((await code.textContent()).endsWith(`| websocat ws://${server.host}/ws`));
  await page.getByLabel("Frame", { exact: true }).fill("{not json");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator('.frame.in[data-type="error"]', { hasText: "INVALID_JSON" }).waitFor();
}

async function rpcEcho({ open, server }) {
  const page = await open("/docs");
  await opened(page, "rpc");
  const openrpc = await fetch(`${server.url}/openrpc.json`);
  const methods = openrpc.ok ? (await openrpc.json()).methods.map((method) => method.name) : ["test.echo"];
  for (const method of methods) assert.equal(await page.locator("option", { hasText: method }).count() > 0, true, method);
  await page.getByLabel("Template", { exact: true }).selectOption({ label: "test.echo" });
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator('.frame.in[data-type="result"]', { hasText: '"msg":"hello"' }).waitFor();
}

async function tabs({ open }) {
  const page = await open("/docs#websocket");
  await page.getByRole("heading", { name: "WebSocket test client" }).waitFor();
  await page.getByRole("tab", { name: "WebSocket client" }).press("ArrowLeft");
  await page.locator(".opblock").first().waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "tab-rest");
}

/** The frame types the test client offers when the server's AsyncAPI document is `asyncapi`. */
async function offered(open, asyncapi) {
  const page = await open("/docs#websocket", (fresh) => fresh.route("**/asyncapi.json", (route) => route.fulfill({ json: asyncapi })));
  await page.locator("select[name=template] option").first().waitFor({ state: "attached" });
  return page.locator("select[name=template] option").allTextContents();
}

async function templatesFollowDocument({ open }) {
  const frame = (schema) => ({ payload: { type: "object", properties: { type: schema } } });
  const messages = { a: frame({ const: "subscribe" }), b: frame({ enum: ["ping", "pong"] }) };
  const few = await offered(open, { asyncapi: "3.0.0", components: { messages } });
  assert.ok(few.includes("subscribe") && few.includes("ping"), String(few));
  assert.ok(!few.some((label) => /^(publish|message|direct|auth)/.test(label)), String(few));
  const all = await offered(open, {});
  const types = ["subscribe", "unsubscribe", "publish", "ping", "auth", "direct", "receipt", "broadcast", "message", "edit", "delete", "reaction", "typing", "read"];
  for (const type of types) assert.ok(all.includes(type), type);
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
  { name: "the test client pings, shows code and errors", body: pingPong },
  { name: "the test client speaks JSON-RPC", body: rpcEcho },
  { name: "templates follow the server's documents", body: templatesFollowDocument },
  { name: "sample parameters fit their schema", body: samples },
  { name: "tabs follow the address and the keyboard", body: tabs },
];
