// The checks every client library goes through, so that each is asked the same.
//
// A peer offers `open()`, which connects a client of its library and answers
//   call(method, params)   the result, or a rejection with `code`, `message` and `data`
//   notify(method, params) sends a notification
//   batch(requests)        (where the library has batches) the responses, in any order; null when there are none
//   surplus()              how many answers came that nobody waits for
//   heard(method)          (sockets) the params of that method's notifications so far
//   close()
import assert from "node:assert/strict";
import { failure, until, within, SOON_MS } from "./kit.mjs";

const CONCURRENT = 200;
const SLEEPER_EVERY = 10;

/** A check with a client of its own. */
const using = (open, body) => async () => {
  const client = await within("connect", SOON_MS, open());
  try {
    await body(client);
    assert.equal(client.surplus(), 0, "every answer was waited for");
  } finally {
    client.close();
  }
};

async function named({ call }) {
  assert.deepEqual(await call("test.echo", { msg: "hello" }), { msg: "hello" });
  const msg = 'quotes " and \\ and \u0000 and é and 😀';
  assert.deepEqual(await call("test.echo", { msg }), { msg });
  assert.equal(await call("subtract", { subtrahend: 23, minuend: 42 }), 19);
}

async function positional({ call }) {
  assert.deepEqual(await call("test.echo", ["hello"]), { msg: "hello" });
  assert.equal(await call("subtract", [42, 23]), 19);
  assert.equal(await call("subtract", [23, 42]), -19);
  assert.equal(await call("sum", [1, 2, 4]), 7);
  const fields = { field1: "abc", field2: 0, field3: "option2" };
  assert.deepEqual(await call("test.example", ["abc", 0, "option2"]), fields);
}

async function without({ call }) {
  assert.deepEqual(await call("get_data"), ["hello", 5]);
  assert.match((await call("server.ping")).timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
}

/** What a library shows of an error, against the whole of what was sent. */
function same(error, code, message, data) {
  assert.equal(error.code, code);
  assert.equal(error.message, message);
  assert.deepEqual(error.data, data);
}

async function errors({ call }) {
  same(await failure(call("no.such.method", {})), -32601, "Method not found", undefined);
  const data = { field: "field1", constraint: "min=3", value: "ab", message: "field1 must be at least 3 characters" };
  const short = { field1: "ab", field2: 5, field3: "option1" };
  same(await failure(call("test.example", short)), -32602, "Invalid params", data);
  same(await failure(call("test.example", ["ab", 5, "option1"])), -32602, "Invalid params", data);
  const unknown = await failure(call("test.echo", { msg: "x", more: 1 }));
  assert.deepEqual([unknown.code, unknown.data.field, unknown.data.constraint], [-32602, "more", "unknown"]);
  const missing = await failure(call("test.echo", {}));
  assert.deepEqual([missing.code, missing.data.field, missing.data.value], [-32602, "msg", null]);
}

async function serverErrors({ call }) {
  const absent = await failure(call("topic.publish", { topic: "peers/nobody", payload: 1 }));
  assert.ok(absent.code >= -32099 && absent.code <= -32000, `${absent.code}`);
  assert.equal(absent.data.code, "TOPIC_NOT_FOUND");
  assert.ok(absent.message);
  const panicked = await failure(call("test.panic"));
  assert.equal(panicked.code, -32603);
  assert.match(panicked.data.correlation_id, /^[0-9a-f]{16}$/);
  assert.deepEqual(await call("test.echo", { msg: "alive" }), { msg: "alive" });
}

/** Whatever is wrong with a notification, nothing answers it. */
async function silent({ call, notify }) {
  await notify("test.echo", { msg: "unheard" });
  await notify("update", [1, 2, 3, 4, 5]);
  await notify("no.such.method", {});
  await notify("test.example", { field1: "ab" });
  await notify("test.panic");
  // Slower than anything above could be answered.
  assert.deepEqual(await call("test.sleep", { ms: 50 }), { ms: 50 });
  assert.deepEqual(await call("test.echo", { msg: "heard" }), { msg: "heard" });
}

/** Some sleep, so that answers overtake each other. */
async function concurrent({ call }) {
  const numbers = [...Array(CONCURRENT).keys()];
  const answers = await Promise.all(numbers.map((n) =>
    n % SLEEPER_EVERY === 0 ? call("test.sleep", { ms: 40 - n / 5 }) : call("test.echo", { msg: `call ${n}` })));
  numbers.forEach((n) =>
    assert.deepEqual(answers[n], n % SLEEPER_EVERY === 0 ? { ms: 40 - n / 5 } : { msg: `call ${n}` }));
}

const request = (id, method, params) => ({ jsonrpc: "2.0", id, method, params });
const notification = (method, params) => ({ jsonrpc: "2.0", method, params });

async function batches({ batch, call }) {
  const answers = await batch([
    request(1, "sum", [1, 2, 4]),
    notification("notify_hello", [7]),
    request("two", "subtract", [42, 23]),
    request(3, "no.such.method", {}),
    request(4, "test.example", { field1: "ab", field2: 5 }),
    request(5, "test.sleep", { ms: 20 }),
    request("", "get_data"),
  ]);
  const by = new Map(answers.map((answer) => [answer.id, answer]));
  assert.equal(by.size, 6, JSON.stringify(answers));
  for (const answer of answers) assert.equal(answer.jsonrpc, "2.0");
  assert.equal(by.get(1).result, 7);
  assert.equal(by.get("two").result, 19);
  assert.equal(by.get(3).error.code, -32601);
  assert.equal(by.get(4).error.data.constraint, "min=3");
  assert.deepEqual(by.get(5).result, { ms: 20 });
  assert.deepEqual(by.get("").result, ["hello", 5]);
  const hundred = [...Array(100).keys()].map((n) => request(n, "test.echo", { msg: `${n}` }));
  const echoes = await batch(hundred);
  assert.deepEqual(echoes.map((e) => [e.id, e.result.msg]).sort((a, b) => a[0] - b[0]), hundred.map((r) => [r.id, r.params.msg]));
  assert.deepEqual(await call("test.echo", { msg: "after" }), { msg: "after" });
}

async function silentBatches({ batch, call }) {
  const answers = await batch([notification("notify_sum", [1, 2, 4]), notification("no.such.method", [7])]);
  assert.equal(answers, null);
  assert.deepEqual(await call("test.echo", { msg: "after" }), { msg: "after" });
}

async function welcome({ heard }) {
  const [params] = await until("the welcome", () => heard("session.welcome").length > 0 && heard("session.welcome"));
  assert.match(params.session_code, /^[a-z]+-[a-z]+-\d+$/);
  assert.equal(params.server.name, "fanfare");
}

const EVENTS = 50;

/** One client subscribes, another publishes: by call and by notification. */
const deliveries = (open) => async (subscriber) => {
  const publisher = await within("connect", SOON_MS, open());
  try {
    const topic = `peers/${process.pid}/${Math.random()}`;
    const ack = await subscriber.call("topic.subscribe", { topic });
    assert.equal(ack.topic, topic);
    const payload = (n) => ({ n, text: "é😀", nested: [null, true, 1.5] });
    for (let n = 1; n < EVENTS; n += 1) {
      const done = await publisher.call("topic.publish", [topic, payload(n)]);
      assert.deepEqual([done.offset, done.delivered], [ack.offset + n, 1]);
    }
    await publisher.notify("topic.publish", { topic, payload: payload(EVENTS) });
    await until("every event", () => subscriber.heard("topic.event").length >= EVENTS);
    const events = subscriber.heard("topic.event");
    assert.deepEqual(events.map((e) => e.offset), [...Array(EVENTS).keys()].map((n) => ack.offset + 1 + n));
    events.forEach((event, n) => assert.deepEqual([event.topic, event.payload], [topic, payload(n + 1)]));
    await subscriber.call("topic.unsubscribe", { topic });
    assert.equal((await failure(publisher.call("topic.publish", { topic, payload: 1 }))).data.code, "TOPIC_NOT_FOUND");
    assert.equal(subscriber.heard("topic.event").length, EVENTS);
  } finally {
    publisher.close();
  }
};

/** Nothing can be delivered to a request. */
async function connectionOnly({ call }) {
  const refused = await failure(call("topic.subscribe", { topic: "peers/post" }));
  assert.deepEqual([refused.code, refused.data.code], [-32000, "FORBIDDEN"]);
}

/** The checks of one way to connect: `way` is "socket" or "post". */
export function checks(way, open, { batches: hasBatches = true } = {}) {
  const list = [
    ["named params", named],
    ["positional params", positional],
    ["no params", without],
    ["errors with code, message and data", errors],
    ["server errors and a panic", serverErrors],
    ["notifications are not answered", silent],
    [`${CONCURRENT} calls at once, each its own answer`, concurrent],
  ];
  if (hasBatches) list.push(["batches", batches], ["a batch of notifications is not answered", silentBatches]);
  if (way === "socket") list.push(["the welcome", welcome], ["events of a topic", deliveries(open)]);
  else list.push(["what needs a connection says so", connectionOnly]);
  return list.map(([name, body]) => [`${way}: ${name}`, using(open, body)]);
}
