// The server's own description of its sockets, /asyncapi.json, read into what the page shows. Nothing about single frames is
// written down here: what the document has is offered, and nothing else.
import { httpUrl } from "./dom.js";

const TIMEOUT_MS = 10000;
const DIALECTS = { typed: "typed dialect", jsonrpc: "JSON-RPC 2.0" };

let loading = null;

/** The description, asked for once; a failure is forgotten, so that the next call asks again. */
export function description() {
  loading ??= load().catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

async function load() {
  const answer = await fetch(httpUrl("asyncapi.json"), { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok) throw new Error(`asyncapi.json: status ${answer.status}`);
  return read(await answer.json());
}

/** Follows a reference within `root`, also one that leads to another. */
export function resolve(node, root) {
  let at = node;
  for (let hops = 0; typeof at?.$ref === "string" && at.$ref.startsWith("#/") && hops < 8; hops += 1) {
    const parts = at.$ref.slice(2).split("/").map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"));
    at = parts.reduce((inner, part) => inner?.[part], root);
  }
  return at ?? {};
}

const lastPart = (ref) => ref.slice(ref.lastIndexOf("/") + 1);

/** `{endpoints, messages}` of an AsyncAPI 3 document. */
export function read(doc) {
  const messages = new Map();
  for (const [key, message] of Object.entries(doc.components?.messages ?? {})) messages.set(key, plain(key, message));
  for (const operation of Object.values(doc.operations ?? {})) place(operation, messages);
  return { endpoints: endpoints(doc), messages: [...messages.values()] };
}

function plain(key, message) {
  return {
    key,
    dialect: key.split(".")[0],
    title: message.title ?? key,
    summary: message.summary ?? "",
    group: message.tags?.[0]?.name ?? "",
    schema: message.payload ?? {},
    examples: message.examples ?? [],
    direction: "in",
    answers: [],
    channels: new Set(),
  };
}

/** What the server receives is what a client sends. */
function place(operation, messages) {
  const channel = lastPart(operation.channel.$ref);
  const named = (list) => (list ?? []).map((ref) => messages.get(lastPart(ref.$ref))).filter(Boolean);
  for (const message of named(operation.messages)) {
    message.channels.add(channel);
    if (operation.action !== "receive") continue;
    message.direction = "out";
    message.answers = named(operation.reply?.messages);
  }
}

/** A line for each channel and dialect; the first dialect of a channel is its own. */
function endpoints(doc) {
  return Object.entries(doc.channels ?? {}).flatMap(([channel, about]) => {
    const spoken = new Set(Object.keys(about.messages ?? {}).map((key) => key.split(".")[0]));
    const query = Object.entries(about.bindings?.ws?.query?.properties ?? {});
    return [...spoken].map((dialect, index) => ({
      id: index === 0 ? channel : `${channel}-${dialect}`,
      channel,
      dialect,
      path: about.address.replace(/^\//, ""),
      label: `${about.address}, ${DIALECTS[dialect] ?? dialect}`,
      query: query.map(([name, schema]) => ({ name, what: schema.description ?? name })),
    }));
  });
}

/** What a client may send on an endpoint, an entry for each example: `[group, label, example, message]`. */
export function templates({ messages }, endpoint) {
  return messages
    .filter((message) => message.direction === "out" && message.dialect === endpoint.dialect && message.channels.has(endpoint.channel))
    .flatMap((message) => {
      const group = message.dialect === "jsonrpc" ? `${message.title.split(".")[0]}.*` : message.group;
      return message.examples.map((example) => {
        const label = message.examples.length > 1 || message.dialect !== "jsonrpc" ? `${message.title}: ${example.name}` : message.title;
        return [group, label, example.payload, message];
      });
    });
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
