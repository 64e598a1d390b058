// The WebSocket test client of the documentation page: one raw socket, frames as typed, no help from a library.
import { copyButton, el, field, socketUrl } from "./dom.js";
import { FrameLog } from "./frames.js";
import { rpcTemplates, typedTemplates } from "./templates.js";

const ENDPOINTS = {
  ws: { label: "/ws, typed dialect", path: "ws", templates: typedTemplates },
  rpc: { label: "/rpc, JSON-RPC 2.0", path: "rpc", templates: rpcTemplates },
};

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A frame on one line, as line-based tools need it; what is not JSON keeps its text. */
function oneLine(text) {
  const value = parse(text);
  return value === undefined ? text.replaceAll(/\s*\n\s*/g, " ") : JSON.stringify(value);
}

function asJavaScript({ path }, text) {
  return [
    `const ws = new WebSocket(${JSON.stringify(socketUrl(path))});`,
    `ws.addEventListener("message", (event) => console.log(event.data));`,
    `ws.addEventListener("open", () => ws.send(${JSON.stringify(oneLine(text))}));`,
  ].join("\n");
}

function asWebsocat({ path }, text) {
  const quoted = `'${oneLine(text).replaceAll("'", `'\\''`)}'`;
  return `{ printf '%s\\n' ${quoted}; cat; } | websocat ${socketUrl(path)}`;
}

class Tester {
  #socket = null;
  #templates = [];
  #log = new FrameLog("the test client");
  #state = el("span", { class: "state", role: "status", "data-state": "closed", text: "disconnected" });
  #endpoint = el("select", { name: "endpoint" }, ...Object.entries(ENDPOINTS).map(([value, { label }]) => el("option", { value, text: label })));
  #template = el("select", { name: "template" });
  #frame = el("textarea", { name: "frame", spellcheck: "false", "aria-keyshortcuts": "Control+Enter" });
  #connect = el("button", { type: "button", text: "Connect" });
  #send = el("button", { type: "submit", class: "primary", text: "Send", disabled: true });
  #language = el("select", { name: "language" }, el("option", { value: "js", text: "JavaScript" }), el("option", { value: "websocat", text: "websocat" }));
  #code = el("pre", { class: "code", tabindex: "0", "aria-label": "The frame as code" });

  constructor() {
    this.element = el("div", { class: "socket" }, this.#form(), el("div", { class: "card" }, this.#log.element));
    this.#endpoint.addEventListener("change", () => this.#switchEndpoint());
    this.#template.addEventListener("change", () => this.#useTemplate());
    this.#frame.addEventListener("input", () => this.#showCode());
    this.#language.addEventListener("change", () => this.#showCode());
    this.#connect.addEventListener("click", () => (this.#socket ? this.#socket.close(1000) : this.#open()));
    this.#switchEndpoint();
  }

  #form() {
    const form = el(
      "form",
      { class: "card composer", "aria-label": "Connect and send" },
      el("div", { class: "row" }, field("Endpoint", this.#endpoint, "grow"), this.#connect),
      this.#state,
      field("Template", this.#template),
      field("Frame", this.#frame),
      el("div", { class: "row" }, this.#send, el("p", { class: "muted grow", text: "Ctrl+Enter sends. What is not JSON is sent as it stands, to see the answer." })),
      el("div", { class: "code-head" }, field("As code", this.#language, "grow"), copyButton("Copy", () => this.#code.textContent)),
      this.#code,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#transmit();
    });
    this.#frame.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#transmit();
    });
    return form;
  }

  get #chosen() {
    return ENDPOINTS[this.#endpoint.value];
  }

  async #switchEndpoint() {
    if (this.#socket) this.#socket.close(1000);
    const chosen = this.#chosen;
    const templates = await chosen.templates();
    if (chosen !== this.#chosen) return;
    this.#templates = templates;
    const groups = new Map();
    templates.forEach(([group, label], index) => {
      if (!groups.has(group)) groups.set(group, el("optgroup", { label: group }));
      groups.get(group).append(el("option", { value: String(index), text: label }));
    });
    this.#template.replaceChildren(...groups.values());
    this.#useTemplate();
  }

  #useTemplate() {
    const template = this.#templates[Number(this.#template.value)];
    if (template) this.#frame.value = JSON.stringify(template[2], null, 2);
    this.#showCode();
  }

  #showCode() {
    const write = this.#language.value === "js" ? asJavaScript : asWebsocat;
    this.#code.textContent = write(this.#chosen, this.#frame.value);
  }

  #open() {
    const { path } = this.#chosen;
    const socket = new WebSocket(socketUrl(path));
    let opened = false;
    this.#socket = socket;
    this.#showState("connecting", "connecting");
    socket.addEventListener("open", () => {
      opened = true;
      this.#log.note(`Connected to ${socket.url}`, "good");
      this.#showState("open", "connected");
    });
    socket.addEventListener("message", ({ data }) => {
      if (typeof data === "string") this.#log.frame("in", data, parse(data));
      else this.#log.note(`Binary frame of ${data.size} bytes received`);
    });
    socket.addEventListener("close", (event) => {
      const reason = event.reason ? `: ${event.reason}` : "";
      this.#log.note(opened ? `Closed with ${event.code}${reason}` : "The server refused or did not answer", "warn");
      this.#socket = null;
      this.#showState("closed", "disconnected");
    });
  }

  #showState(state, text) {
    this.#state.dataset.state = state;
    this.#state.textContent = text;
    this.#connect.textContent = state === "closed" ? "Connect" : "Disconnect";
    this.#send.disabled = state !== "open";
  }

  #transmit() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    const text = this.#frame.value;
    this.#socket.send(text);
    this.#log.frame("out", text, parse(text));
  }
}

export function mountTester(host) {
  host.replaceChildren(new Tester().element);
}
