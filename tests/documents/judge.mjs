// The documents of the running server (FANFARE_ADDRESS) before judges that others wrote:
// npm @asyncapi/parser for /asyncapi.json, npm @open-rpc/meta-schema for /openrpc.json, and npm ajv for every example in all
// of them: it must fit the schema it stands beside. Prints a line for each check, then the counts.
import { createRequire } from "node:module";
import { Parser } from "@asyncapi/parser";
import Ajv2020 from "ajv/dist/2020.js";
import Ajv from "ajv";
import formats from "ajv-formats";

const base = `http://${process.env.FANFARE_ADDRESS}`;
const require = createRequire(import.meta.url);
const METHODS = new Set(["get", "put", "post", "delete", "options", "head", "patch", "trace"]);

const DOCUMENTS = new Map();

// Each is fetched once and at the beginning: a kept connection may be closed while a judge takes its time.
for (const path of ["/openapi.json", "/asyncapi.json", "/openrpc.json"]) {
  const answer = await fetch(base + path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  DOCUMENTS.set(path, await answer.text());
}

const document = async (path) => JSON.parse(DOCUMENTS.get(path));

function follow(root, node) {
  if (typeof node?.$ref !== "string") return node;
  const parts = node.$ref.slice(2).split("/").map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"));
  return parts.reduce((at, part) => at?.[part], root);
}

/** Complaints about examples; `pairs` are [where, schema, value], and `root` is what references in a schema lead into. */
function misfits(ajv, root, pairs) {
  if (pairs.length === 0) return ["there are no examples"];
  const told = [];
  for (const [where, schema, value] of pairs) {
    const check = ajv.compile({ ...schema, components: root.components });
    if (!check(value)) told.push(`${where}: ${JSON.stringify(value)}: ${ajv.errorsText(check.errors)}`);
  }
  return told;
}

async function asyncapi() {
  const { document: parsed, diagnostics } = await new Parser().parse(JSON.stringify(await document("/asyncapi.json")));
  // 0 is an error, 1 a warning; the rest are recommendations.
  const told = diagnostics.filter((d) => d.severity <= 1).map((d) => `${d.code} ${d.path.join(".")} ${d.message}`);
  return parsed ? told : [...told, "it is not understood"];
}

async function asyncapiExamples() {
  const doc = await document("/asyncapi.json");
  const ajv = formats(new Ajv({ strict: false }));
  const pairs = Object.entries(doc.components.messages).flatMap(([name, message]) =>
    message.examples.map((example) => [`${name}, ${example.name}`, message.payload, example.payload]));
  return misfits(ajv, doc, pairs);
}

/** Where the meta schema points outside, anything is let pass: nothing is fetched. */
function closed(schema) {
  if (schema === null || typeof schema !== "object") return schema;
  if (typeof schema.$ref === "string" && schema.$ref.startsWith("http")) return {};
  if (Array.isArray(schema)) return schema.map(closed);
  return Object.fromEntries(Object.entries(schema).filter(([key]) => key !== "$schema" && key !== "$id").map(([key, value]) => [key, closed(value)]));
}

async function openrpc() {
  const module = require("@open-rpc/meta-schema");
  const ajv = new Ajv({ strict: false, validateFormats: false });
  const check = ajv.compile(closed(module.default ?? module));
  const doc = await document("/openrpc.json");
  // The package's list of versions may end before ours.
  const known = (module.default ?? module).properties.openrpc.enum ?? [];
  const openrpc = known.length === 0 || known.includes(doc.openrpc) ? doc.openrpc : known[0];
  return check({ ...doc, openrpc }) ? [] : [ajv.errorsText(check.errors)];
}

async function openrpcExamples() {
  const doc = await document("/openrpc.json");
  const pairs = doc.methods.flatMap((method) => method.examples.flatMap((example) => [
    [`${method.name}, result`, method.result.schema, example.result.value],
    ...example.params.map(({ name, value }) => [`${method.name}, ${name}`, method.params.find((param) => param.name === name).schema, value]),
  ]));
  return misfits(formats(new Ajv({ strict: false })), doc, pairs);
}

async function openapiExamples() {
  const doc = await document("/openapi.json");
  const ajv = formats(new Ajv2020({ strict: false, validateFormats: true }));
  const bodies = (where, body) => Object.entries(follow(doc, body)?.content ?? {})
    .filter(([, media]) => media.example !== undefined)
    .map(([kind, media]) => [`${where} ${kind}`, media.schema, media.example]);
  const pairs = Object.entries(doc.paths).flatMap(([path, item]) => Object.entries(item).filter(([method]) => METHODS.has(method)).flatMap(([method, operation]) => [
    ...bodies(`${method} ${path}, body`, operation.requestBody),
    ...Object.entries(operation.responses).flatMap(([status, response]) => bodies(`${method} ${path}, ${status}`, response)),
  ]));
  return misfits(ajv, doc, pairs);
}

/** Each reference leads somewhere within the document. */
async function references() {
  const told = [];
  for (const path of ["/openapi.json", "/asyncapi.json", "/openrpc.json"]) {
    const doc = await document(path);
    const walk = (node) => {
      if (node === null || typeof node !== "object") return;
      if (typeof node.$ref === "string" && (!node.$ref.startsWith("#/") || follow(doc, node) === undefined)) told.push(`${path}: ${node.$ref}`);
      Object.values(node).forEach(walk);
    };
    walk(doc);
  }
  return told;
}

const checks = {
  "asyncapi.json: @asyncapi/parser finds no error and no warning": asyncapi,
  "asyncapi.json: every example fits its schema": asyncapiExamples,
  "openrpc.json: fits @open-rpc/meta-schema": openrpc,
  "openrpc.json: every example fits its schema": openrpcExamples,
  "openapi.json: every example fits its schema": openapiExamples,
  "every reference leads somewhere": references,
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  const told = await check().catch((error) => [String(error.stack ?? error)]);
  console.log(`${told.length ? "not ok" : "ok"} - ${name}`);
  told.slice(0, 20).forEach((line) => console.log(`    ${line}`));
  failed += told.length ? 1 : 0;
}
console.log(`${Object.keys(checks).length - failed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
