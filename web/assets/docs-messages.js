// Every message of both dialects with its examples and schema, out of /asyncapi.json.
import { copyButton, el, field } from "./dom.js";

const DIALECTS = [["typed", "Typed dialect", "/ws"], ["jsonrpc", "JSON-RPC 2.0", "/rpc and /ws"]];
const DIRECTIONS = { out: "you send", in: "server sends" };

/** Fragments that name a code lead to its example: problems of the HTTP API link there. */
const exampleId = (message, name) => (message.key === "typed.error" ? name.toLowerCase() : null);

function example(message, one, use) {
  const text = JSON.stringify(one.payload, null, 2);
  const tools = el("div", { class: "example-head" }, el("h4", { class: "grow", text: one.name }), copyButton("Copy", () => text));
  if (message.direction === "out") tools.append(el("button", { type: "button", class: "quiet", text: "Try it", onclick: () => use(message, one) }));
  return el("div", { class: "example", id: exampleId(message, one.name) }, tools, el("pre", { class: "code", tabindex: "0", text }));
}

function card(message, use) {
  const node = el(
    "details",
    { class: `message ${message.direction}`, id: `message-${message.key}`, "data-message": message.key },
    el("summary", {}, el("span", { class: "badge", text: DIRECTIONS[message.direction] }), el("code", { text: message.title }), el("span", { class: "muted", text: message.summary })),
  );
  // Examples are drawn when they are looked at: there are hundreds.
  node.addEventListener("toggle", () => node.open && fill(node, message, use));
  return node;
}

function fill(node, message, use) {
  if (node.childElementCount > 1) return;
  const answers = message.answers.map((answer) => el("a", { href: `#message-${answer.key}`, text: answer.title }));
  if (answers.length) node.append(el("p", { class: "answers" }, "Answered by ", ...answers.flatMap((link, n) => (n ? [", ", link] : [link]))));
  node.append(
    ...message.examples.map((one) => example(message, one, use)),
    el("details", { class: "schema" }, el("summary", { text: "Schema" }), el("pre", { class: "code", tabindex: "0", text: JSON.stringify(message.schema, null, 2) })),
  );
}

function section([dialect, title, where], messages, use) {
  const own = messages.filter((message) => message.dialect === dialect);
  const groups = Map.groupBy ? Map.groupBy(own, (message) => message.group) : grouped(own);
  const parts = [...groups].map(([group, list]) => el("section", { class: "message-group" }, el("h4", { text: group }), ...list.map((message) => card(message, use))));
  return el("section", { "aria-label": title }, el("h3", { text: `${title}, on ${where}` }), ...parts);
}

function grouped(messages) {
  const groups = new Map();
  for (const message of messages) groups.set(message.group, [...(groups.get(message.group) ?? []), message]);
  return groups;
}

/** Opens what the address names, if it names a message or a code; says whether it does. */
export function openNamed(hash) {
  const name = decodeURIComponent(hash.replace(/^#/, ""));
  if (!/^(message-[\w.]+|[a-z]+(_[a-z]+)*)$/.test(name)) return false;
  const error = document.getElementById("message-typed.error");
  const message = name.startsWith("message-") ? document.getElementById(name) : error;
  if (!message?.dataset.message) return false;
  message.open = true;
  // `toggle` comes later; what it draws is wanted now.
  message.dispatchEvent(new Event("toggle"));
  const target = name.startsWith("message-") ? message : document.getElementById(name);
  if (!target || !message.contains(target)) return false;
  requestAnimationFrame(() => target.scrollIntoView());
  return true;
}

/** Lists the messages in `host`; `use(message, example)` takes one to the client. */
export function mountMessages(host, { messages }, use) {
  const words = el("input", { type: "search", placeholder: "e.g. subscribe", autocomplete: "off", spellcheck: "false" });
  const count = el("p", { class: "muted", role: "status" });
  const filter = () => {
    const wanted = words.value.trim().toLowerCase();
    let shown = 0;
    for (const message of messages) {
      const text = `${message.key} ${message.title} ${message.summary} ${message.group}`.toLowerCase();
      const node = document.getElementById(`message-${message.key}`);
      node.hidden = !text.includes(wanted);
      shown += node.hidden ? 0 : 1;
    }
    for (const group of host.querySelectorAll(".message-group")) group.hidden = !group.querySelector(".message:not([hidden])");
    count.textContent = `${shown} of ${messages.length} messages`;
  };
  words.addEventListener("input", filter);
  host.replaceChildren(field("Find a message", words), count, ...DIALECTS.map((dialect) => section(dialect, messages, use)));
  filter();
}
