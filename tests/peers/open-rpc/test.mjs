// npm @open-rpc/test-coverage: the methods that GET /openrpc.json promises, called over POST /rpc.
//
// Rules
// - its ExamplesRule: each example's params get the example's result, or, where the result depends on time or state
//   (server.ping, server.info, topic.list …), one that fits the method's result schema;
// - its JsonSchemaFakerRule: params made up from the schemas get a result that fits. It passes over methods that have
//   examples, so it is given the document without them. It also stumbles over schemas that are just `true`, which JSON
//   Schema allows: it gets `{}`, which says the same;
// - ours, for what the library cannot know: methods marked x-needs-connection answer FORBIDDEN.
// The document itself is judged by npm @open-rpc/schema-utils-js, whose meta-schema is OpenRPC 1.4's.
// Left out of the first two, each with its reason, is what LEFT_OUT and NOT_MADE_UP name.
import assert from "node:assert/strict";
import { once } from "node:events";
import { validateOpenRPCDocument } from "@open-rpc/schema-utils-js";
import coverage from "@open-rpc/test-coverage";
import ExamplesRule from "@open-rpc/test-coverage/build/rules/examples-rule.js";
import JsonSchemaFakerRule from "@open-rpc/test-coverage/build/rules/json-schema-faker-rule.js";
import WebSocket from "ws";
import { run, OPENRPC, RPC_POST, RPC_SOCKET } from "../kit.mjs";

const LEFT_OUT = {
  "test.panic": "never has a result",
};
const NOT_MADE_UP = {
  "topic.publish": "a made-up topic does not exist",
  "topic.history": "a made-up topic does not exist",
  "test.sleep": "sleeps up to a minute when told to",
};
const MADE_UP_CALLS = 20;

const quiet = { onBegin() {}, onTestBegin() {}, onTestEnd() {}, onEnd() {} };
const needsConnection = (method) => method["x-needs-connection"] === true;

const published = await (await fetch(OPENRPC)).json();
const document = { ...published, servers: [{ name: "under test", url: RPC_POST }] };

/** The library's calls under one rule; fails with the reasons it gives. */
async function judged(rule, openrpcDocument) {
  const calls = await coverage.default({ openrpcDocument, transport: "http", reporters: [quiet], rules: [rule] });
  const wrong = calls.filter((call) => !call.valid);
  const told = wrong.map((c) => `${c.methodName} ${JSON.stringify(c.params)}: ${c.reason ?? c.requestError ?? JSON.stringify(c.error)}`);
  assert.deepEqual(told, []);
  return calls;
}

const only = (test) => document.methods.filter(test).map((method) => method.name);
const named = (calls) => new Set(calls.map((call) => call.methodName));

/** Keeps a topic in being, as the examples find it. */
async function withTopic(topic, body) {
  const socket = new WebSocket(RPC_SOCKET);
  await once(socket, "open");
  const answered = new Promise((resolve) => {
    socket.on("message", (data) => JSON.parse(data).id === 1 && resolve());
  });
  socket.send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "topic.subscribe", params: { topic } }));
  await answered;
  try {
    await body();
  } finally {
    socket.close();
  }
}

async function examples() {
  const methods = only((m) => !needsConnection(m) && !(m.name in LEFT_OUT));
  await withTopic("news", async () => {
    const calls = await judged(new ExamplesRule.default({ only: methods }), document);
    assert.deepEqual(named(calls), new Set(methods), "every method has an example");
  });
}

async function madeUp() {
  const methods = only((m) => !needsConnection(m) && !(m.name in LEFT_OUT) && !(m.name in NOT_MADE_UP));
  const bare = JSON.parse(JSON.stringify(
    { ...document, methods: document.methods.map(({ examples: _, ...method }) => method) },
    (key, value) => (key === "items" && value === true ? {} : value),
  ));
  const calls = await judged(new JsonSchemaFakerRule.default({ only: methods, numCalls: MADE_UP_CALLS }), bare);
  assert.deepEqual(named(calls), new Set(methods));
}

async function bound() {
  const methods = only(needsConnection);
  assert.ok(methods.includes("topic.subscribe"), `${methods}`);
  const rule = new ExamplesRule.default({ only: methods });
  rule.validateCall = (call) => {
    call.valid = call.error?.code === -32000 && call.error.data.code === "FORBIDDEN";
    return call;
  };
  assert.deepEqual(named(await judged(rule, document)), new Set(methods));
}

/** The names in LEFT_OUT and NOT_MADE_UP are still methods, and nothing else is passed over. */
async function leftOut() {
  const names = new Set(only(() => true));
  for (const name of [...Object.keys(LEFT_OUT), ...Object.keys(NOT_MADE_UP)]) assert.ok(names.has(name), name);
  for (const [name, why] of Object.entries({ ...LEFT_OUT, ...NOT_MADE_UP })) console.log(`left out: ${name}: ${why}`);
}

async function valid() {
  const verdict = validateOpenRPCDocument(published);
  assert.ok(verdict === true, verdict.message);
  assert.match(published.openrpc, /^1\.4\./);
}

async function sameByMethod() {
  const answer = await fetch(RPC_POST, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}',
  });
  assert.deepEqual((await answer.json()).result, published);
}

await run("open-rpc", [
  ["the document is valid OpenRPC", valid],
  ["rpc.discover answers the same document", sameByMethod],
  ["params of the examples", examples],
  ["params made up from the schemas", madeUp],
  ["what needs a connection says so", bound],
  ["what is left out", leftOut],
]);
