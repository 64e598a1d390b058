// npm jayson: its HTTP client on POST /rpc and its WebSocket client on /rpc, by their promises.
import { once } from "node:events";
import jayson from "jayson/promise/index.js";
import WebSocket from "ws";
import { checks } from "../checks.mjs";
import { run, RPC_POST, RPC_SOCKET } from "../kit.mjs";

const METHODS = ["session.welcome", "topic.event"];

/** jayson answers with the whole response; a notification is a request whose id is null. */
function offered(client, rest) {
  return {
    call: async (method, params = []) => {
      const { error, result } = await client.request(method, params);
      if (error) throw error;
      return result;
    },
    notify: (method, params = []) => client.request(method, params, null),
    batch: async (requests) => (await client.request(requests)) ?? null,
    ...rest,
  };
}

async function openPost() {
  const client = jayson.client.http(RPC_POST);
  let surplus = 0;
  client.on("response", (request, response) => {
    const requests = [request].flat().filter((r) => "id" in r);
    const responses = [response ?? []].flat();
    if (responses.length !== requests.length) surplus += 1;
  });
  return offered(client, { surplus: () => surplus, close: () => {} });
}

async function openSocket() {
  const socket = new WebSocket(RPC_SOCKET);
  const heard = Object.fromEntries(METHODS.map((method) => [method, []]));
  let [sent, received] = [0, 0];
  const client = jayson.client.websocket({ ws: socket });
  client.on("request", (request) => {
    if ([request].flat().some((r) => "id" in r)) sent += 1;
  });
  socket.on("message", (data) => {
    const message = JSON.parse(data);
    if ("method" in message) heard[message.method]?.push(message.params);
    else received += 1;
  });
  await once(socket, "open");
  return offered(client, {
    // Its WebSocket client waits for ever on a batch that is never answered: sent past it.
    batch: async (requests) => (requests.some((r) => "id" in r) ? client.request(requests) : (socket.send(JSON.stringify(requests)), null)),
    surplus: () => received - sent,
    heard: (method) => heard[method],
    close: () => socket.close(),
  });
}

await run("jayson", [...checks("post", openPost), ...checks("socket", openSocket)]);
