// Frames to start from: one for each client frame of the typed dialect, and one for each JSON-RPC method.
// The server's own documents decide what is offered, so the list never promises what this release lacks;
// without them everything known here is offered.
import { httpUrl } from "./dom.js";

const TYPED = [
  ["Topics", "subscribe", { type: "subscribe", topic: "lobby", request_id: 1 }],
  ["Topics", "subscribe, from a position", { type: "subscribe", topic: "lobby", since: { epoch: "<epoch of the ack>", offset: 0 }, request_id: 2 }],
  ["Topics", "publish", { type: "publish", topic: "lobby", payload: { text: "hello" }, request_id: 3 }],
  ["Topics", "publish, once only", { type: "publish", topic: "lobby", payload: { text: "hello" }, idempotency_key: "order-1", request_id: 4 }],
  ["Topics", "publish, not to myself", { type: "publish", topic: "lobby", payload: { text: "hello" }, exclude_self: true, request_id: 5 }],
  ["Topics", "unsubscribe", { type: "unsubscribe", topic: "lobby", request_id: 6 }],
  ["Connection", "ping", { type: "ping", request_id: 7 }],
  ["Connection", "auth", { type: "auth", token: "<access token>" }],
  ["Feeds", "subscribe to a feed", { type: "subscribe", channel: "dashboard", request_id: 8 }],
  ["Feeds", "unsubscribe from a feed", { type: "unsubscribe", channel: "dashboard", request_id: 9 }],
  ["Server commands", "server: list_commands", { type: "server", command: "list_commands", request_id: 10 }],
  ["Server commands", "server: echo", { type: "server", command: "echo", params: { text: "hello" }, request_id: 11 }],
  ["Server commands", "broadcast", { type: "broadcast", content: { text: "hello, everyone" }, request_id: 12 }],
  ["Chat", "message", { type: "message", channel: "general", content: { kind: "text", text: "hello" }, client_msg_id: "m-1", request_id: 13 }],
  ["Chat", "edit", { type: "edit", channel: "general", id: "<message id>", content: { kind: "text", text: "hello again" }, request_id: 14 }],
  ["Chat", "delete", { type: "delete", channel: "general", id: "<message id>", request_id: 15 }],
  ["Chat", "reaction", { type: "reaction", channel: "general", id: "<message id>", emoji: "👍", request_id: 16 }],
  ["Chat", "typing", { type: "typing", channel: "general", request_id: 17 }],
  ["Chat", "read", { type: "read", channel: "general", seq: 1, request_id: 18 }],
  ["Direct messages", "direct", { type: "direct", v: 1, id: "<id>", to: "bob", content: "<ciphertext>", encrypted_key: "<key>", encryption_nonce: "<nonce>", signature: "<signature>" }],
  ["Direct messages", "receipt", { type: "receipt", id: "<message id>", status: "read", request_id: 19 }],
];

const RPC = [
  ["test.echo", { msg: "hello" }],
  ["server.ping", {}],
  ["topic.subscribe", { topic: "lobby" }],
  ["topic.publish", { topic: "lobby", payload: { text: "hello" } }],
  ["topic.unsubscribe", { topic: "lobby" }],
  ["rpc.discover", {}],
];

async function load(path) {
  try {
    const answer = await fetch(httpUrl(path), { signal: AbortSignal.timeout(10000) });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/** Every literal a document gives for a property `type` of some frame. */
function frameTypes(node, found = new Set()) {
  if (node === null || typeof node !== "object") return found;
  const type = node.properties?.type;
  if (typeof type?.const === "string") found.add(type.const);
  if (Array.isArray(type?.enum)) type.enum.forEach((word) => found.add(word));
  for (const value of Object.values(node)) frameTypes(value, found);
  return found;
}

function resolve(schema, root) {
  let node = schema;
  for (let hops = 0; typeof node?.$ref === "string" && node.$ref.startsWith("#/") && hops < 8; hops += 1) {
    const parts = node.$ref.slice(2).split("/").map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"));
    node = parts.reduce((at, part) => at?.[part], root);
  }
  return node ?? {};
}

const MAX_DEPTH = 5;

/** A value that a JSON Schema would take: its own example when it has one, else the plainest of its type. */
export function sample(schema, root, depth = 0) {
  const s = resolve(schema, root);
  if (s.examples?.length) return s.examples[0];
  for (const key of ["example", "default", "const"]) if (s[key] !== undefined) return s[key];
  if (s.enum?.length) return s.enum[0];
  const variant = (s.oneOf ?? s.anyOf ?? s.allOf)?.find((one) => resolve(one, root).type !== "null");
  if (variant && depth < MAX_DEPTH) return sample(variant, root, depth + 1);
  switch (Array.isArray(s.type) ? s.type.find((type) => type !== "null") : s.type) {
    case "string":
      return "text".padEnd(s.minLength ?? 0, "x").slice(0, s.maxLength ?? undefined);
    case "integer":
    case "number":
      return s.minimum ?? 0;
    case "boolean":
      return false;
    case "array":
      return s.items && depth < MAX_DEPTH ? [sample(s.items, root, depth + 1)] : [];
    default: {
      const wanted = depth < MAX_DEPTH ? s.required ?? [] : [];
      return Object.fromEntries(wanted.map((key) => [key, sample(s.properties?.[key] ?? {}, root, depth + 1)]));
    }
  }
}

function rpcParams(method, root) {
  const required = (method.params ?? []).map((param) => resolve(param, root)).filter((param) => param.required);
  return Object.fromEntries(required.map((param) => [param.name, sample(param.schema ?? {}, root)]));
}

function call(method, params, id) {
  const filled = Object.keys(params).length ? { params } : {};
  return { jsonrpc: "2.0", id, method, ...filled };
}

/** Typed templates `[group, label, frame]`; a group the server's AsyncAPI document does not know is left out. */
export async function typedTemplates() {
  const types = frameTypes(await load("asyncapi.json"));
  return types.has("subscribe") ? TYPED.filter(([, , frame]) => types.has(frame.type)) : TYPED;
}

/** JSON-RPC templates in the same form, from the server's OpenRPC document when it has one. */
export async function rpcTemplates() {
  const openrpc = await load("openrpc.json");
  const known = new Map(RPC);
  const methods = openrpc?.methods?.length
    ? openrpc.methods.map((method) => resolve(method, openrpc)).map((method) => [method.name, known.get(method.name) ?? rpcParams(method, openrpc)])
    : RPC;
  return methods.map(([name, params], index) => [`${name.split(".")[0]}.*`, name, call(name, params, index + 1)]);
}
