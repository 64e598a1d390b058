// npm json-rpc-2.0: the library has no transport of its own; here it speaks over `ws` (as a client and a server at
// once, so that our notifications are its server's methods) and over fetch.
import { once } from "node:events";
import jsonrpc from "json-rpc-2.0";
import WebSocket from "ws";
import { checks } from "../checks.mjs";
import { post, run, RPC_SOCKET } from "../kit.mjs";

const { JSONRPCClient, JSONRPCServer, JSONRPCServerAndClient } = jsonrpc;
const METHODS = ["session.welcome", "topic.event"];

/** `client` is the library's: requestAdvanced takes batches, but waits for an answer even of notifications alone. */
function offered(client, rest) {
  return {
    call: (method, params) => client.request(method, params),
    notify: (method, params) => client.notify(method, params),
    ...rest,
  };
}

const isRequest = (request) => "id" in request;

async function openSocket() {
  const socket = new WebSocket(RPC_SOCKET, "jsonrpc");
  const heard = Object.fromEntries(METHODS.map((method) => [method, []]));
  let [sent, received] = [0, 0];
  const send = (payload) => {
    const expects = Array.isArray(payload) ? payload.some(isRequest) : isRequest(payload);
    if (expects) sent += 1;
    socket.send(JSON.stringify(payload));
  };
  const peer = new JSONRPCServerAndClient(new JSONRPCServer(), new JSONRPCClient(send));
  for (const method of METHODS) peer.addMethod(method, (params) => void heard[method].push(params));
  socket.on("message", (data) => {
    const message = JSON.parse(data);
    if (!("method" in message)) received += 1;
    return peer.receiveAndSend(message);
  });
  await once(socket, "open");
  return offered(peer, {
    batch: (requests) => (requests.some(isRequest) ? peer.requestAdvanced(requests) : Promise.resolve(send(requests) ?? null)),
    surplus: () => received - sent,
    heard: (method) => heard[method],
    close: () => socket.close(),
  });
}

async function openPost() {
  let surplus = 0;
  const send = async (payload) => {
    const expects = Array.isArray(payload) ? payload.some(isRequest) : isRequest(payload);
    const { status, text } = await post(JSON.stringify(payload));
    if (status === 200 && expects) client.receive(JSON.parse(text));
    else if (status !== 204 || text !== "" || expects) throw new Error(`${status} ${text}`);
  };
  const client = new JSONRPCClient(send);
  return offered(client, {
    notify: (method, params) => client.send({ jsonrpc: "2.0", method, params }).catch(() => void (surplus += 1)),
    batch: (requests) => (requests.some(isRequest) ? client.requestAdvanced(requests) : client.send(requests).then(() => null)),
    surplus: () => surplus,
    close: () => {},
  });
}

await run("json-rpc-2.0", [...checks("socket", openSocket), ...checks("post", openPost)]);
