// npm rpc-websockets: its client on /rpc. It has no batches, and its subscribe() speaks a method of its own server
// (`rpc.on`); server notifications it emits under their method's name.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Client } from "rpc-websockets";
import { checks } from "../checks.mjs";
import { failure, run, RPC_SOCKET } from "../kit.mjs";

const METHODS = ["session.welcome", "topic.event"];

async function open() {
  const client = new Client(RPC_SOCKET, { reconnect: false });
  const heard = Object.fromEntries(METHODS.map((method) => [method, []]));
  for (const method of METHODS) client.on(method, (params) => heard[method].push(params));
  let answers = 0;
  let calls = 0;
  // The library drops an answer it does not know; its own socket shows it.
  client.socket.addEventListener("message", ({ data }) => {
    if (!("method" in JSON.parse(data))) answers += 1;
  });
  await once(client, "open");
  return {
    call: (method, params) => {
      calls += 1;
      return client.call(method, params);
    },
    notify: (method, params) => client.notify(method, params),
    surplus: () => answers - calls,
    heard: (method) => heard[method],
    close: () => client.close(),
  };
}

/** The methods of the library's own server are not ours: refused as unknown, the connection lives. */
async function ownMethods() {
  const client = new Client(RPC_SOCKET, { reconnect: false });
  await once(client, "open");
  assert.equal((await failure(client.listMethods())).code, -32601);
  assert.equal((await failure(client.subscribe("feedUpdated"))).code, -32601);
  assert.deepEqual(await client.call("test.echo", ["alive"]), { msg: "alive" });
  client.close();
}

await run("rpc-websockets", [
  ...checks("socket", open, { batches: false }),
  ["socket: the methods of its own server are unknown", ownMethods],
]);
