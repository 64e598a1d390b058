// The WebSocket client of the documentation page: one raw socket, frames as typed, no help from a library.
//
// Flow: endpoint -> message -> form and JSON of the same frame -> socket -> log. The JSON text is what is sent; the form only
// edits it. Any exchange of the log can be taken out as code.
import { copyButton, el, field, socketUrl } from "./dom.js";
import { FrameLog } from "./frames.js";
import { LANGUAGES, asCode } from "./tester-code.js";
import { FrameForm } from "./tester-form.js";
import { description, templates } from "./templates.js";

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const idOf = (frame) => (isObject(frame) ? frame.request_id ?? frame.id : undefined);

/** What a welcome of either dialect grants. */
function grant(frame) {
  const welcome = frame?.type === "welcome" ? frame : frame?.method === "session.welcome" ? frame.params : null;
  return welcome?.resume_token ? { session: welcome.session_code, resume: welcome.resume_token } : null;
}

export class Tester {
  #about = { endpoints: [], messages: [] };
  #templates = [];
  #socket = null;
  #opening = null;
  #grant = null;
  /** Frames the code shows instead of the one being edited: those of an exchange that was picked in the log. */
  #picked = null;
  #url = "";
  #sent = [];
  #query = [];
  #log = new FrameLog("the test client", { tools: true, pick: (entry, all) => this.#pick(entry, all) });
  #form = new FrameForm((frame) => this.#edited(JSON.stringify(frame, null, 2)));
  #state = el("span", { class: "state", role: "status", "data-state": "closed", text: "disconnected" });
  #endpoint = el("select", { name: "endpoint", onchange: () => this.#switchEndpoint() });
  #template = el("select", { name: "template", onchange: () => this.#useTemplate() });
  #summary = el("p", { class: "muted" });
  #frame = el("textarea", { name: "frame", spellcheck: "false", "aria-keyshortcuts": "Control+Enter" });
  #connect = el("button", { type: "button", text: "Connect" });
  #resume = el("button", { type: "button", class: "quiet", text: "Resume this session next time", hidden: true, onclick: () => this.#keepSession() });
  #credentials = el("div", { class: "credentials" });
  #language = el("select", { name: "language", onchange: () => this.#showCode() }, ...LANGUAGES.map(([value, text]) => el("option", { value, text })));
  #scope = el(
    "select",
    { name: "scope", onchange: () => this.#showCode() },
    el("option", { value: "frame", text: "This frame" }),
    el("option", { value: "all", text: "Everything sent since connecting" }),
  );
  #code = el("pre", { class: "code", tabindex: "0", "aria-label": "The exchange as code" });

  constructor() {
    this.element = el("div", { class: "socket" }, this.#composer(), el("div", { class: "card" }, this.#log.element, this.#codeCard()));
    this.#frame.addEventListener("input", () => this.#typed());
    this.#connect.addEventListener("click", () => this.#toggle());
  }

  /** Offers what the server's description has. */
  start(about) {
    this.#about = about;
    this.#endpoint.replaceChildren(...about.endpoints.map(({ id, label }) => el("option", { value: id, text: label })));
    this.#switchEndpoint();
  }

  /** Puts an example into the client, on an endpoint that takes it. */
  use(message, example) {
    const endpoint = this.#about.endpoints.find((one) => one.dialect === message.dialect && message.channels.has(one.channel));
    if (endpoint && endpoint !== this.#chosen && !(this.#chosen?.dialect === message.dialect && message.channels.has(this.#chosen.channel))) {
      this.#endpoint.value = endpoint.id;
      this.#switchEndpoint();
    }
    const index = this.#templates.findIndex(([, , payload, of]) => of === message && payload === example.payload);
    this.#template.value = String(Math.max(0, index));
    this.#useTemplate();
    this.#frame.focus();
  }

  #composer() {
    const form = el(
      "form",
      { class: "card composer", "aria-label": "Connect and send" },
      el("div", { class: "row" }, field("Endpoint", this.#endpoint, "grow"), this.#connect),
      el("div", { class: "row" }, this.#state, this.#resume),
      el("details", {}, el("summary", { text: "Credentials and session" }), this.#credentials),
      field("Template", this.#template),
      this.#summary,
      el("details", { class: "fill", open: true }, el("summary", { text: "Fill in" }), this.#form.element),
      field("Frame", this.#frame),
      el(
        "div",
        { class: "row" },
        el("button", { type: "submit", class: "primary", text: "Send" }),
        el("p", { class: "muted grow", text: "Connects when it must. Ctrl+Enter sends, too. What is not JSON is sent as it stands, to see the answer." }),
      ),
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

  #codeCard() {
    const head = el("div", { class: "code-head" }, field("As code", this.#language, "grow"), field("What", this.#scope, "grow"), copyButton("Copy", () => this.#code.textContent));
    return el("section", { class: "as-code", "aria-label": "Code" }, head, this.#code);
  }

  get #chosen() {
    return this.#about.endpoints.find(({ id }) => id === this.#endpoint.value);
  }

  #switchEndpoint() {
    if (this.#socket) this.#socket.close(1000);
    const kept = new Map(this.#query.map(([name, input]) => [name, input.value]));
    this.#query = this.#chosen.query.map(({ name }) => [
      name,
      el("input", { name, autocomplete: "off", spellcheck: "false", value: kept.get(name) ?? "", oninput: () => this.#showCode() }),
    ]);
    this.#credentials.replaceChildren(...this.#query.map(([name, input], index) => field(`${name}: ${this.#chosen.query[index].what}`, input)));
    this.#templates = templates(this.#about, this.#chosen);
    const groups = new Map();
    this.#templates.forEach(([group, label], index) => {
      if (!groups.has(group)) groups.set(group, el("optgroup", { label: group }));
      groups.get(group).append(el("option", { value: String(index), text: label }));
    });
    this.#template.replaceChildren(...groups.values());
    this.#useTemplate();
  }

  #useTemplate() {
    const [, , example, message] = this.#templates[Number(this.#template.value)] ?? [];
    if (!message) return;
    this.#summary.textContent = message.summary;
    this.#form.show(message.schema, example);
    this.#edited(JSON.stringify(example, null, 2));
  }

  #edited(text) {
    this.#frame.value = text;
    this.#picked = null;
    this.#showCode();
  }

  #typed() {
    const frame = parse(this.#frame.value);
    if (isObject(frame)) this.#form.fill(frame);
    this.#picked = null;
    this.#showCode();
  }

  get #address() {
    const url = new URL(socketUrl(this.#chosen.path));
    for (const [name, input] of this.#query) if (input.value) url.searchParams.set(name, input.value);
    return url.href;
  }

  #showCode() {
    const all = this.#scope.value === "all" && this.#sent.length > 0;
    const frames = this.#picked ?? (all ? this.#sent : [this.#frame.value]);
    this.#code.textContent = asCode(this.#language.value, this.#url || this.#address, frames);
  }

  /** Takes an exchange out of the log: a frame that was sent, or the one that what was received answers. */
  #pick(entry, all) {
    const asked = entry.direction === "out" ? entry : all.findLast((one) => one.direction === "out" && idOf(one.parsed) !== undefined && idOf(one.parsed) === idOf(entry.parsed));
    // What comes unasked comes because of everything before it.
    const before = all.slice(0, all.indexOf(entry)).filter((one) => one.direction === "out");
    this.#scope.value = "frame";
    this.#picked = (asked ? [asked] : before).map((one) => one.text);
    this.#showCode();
    this.#code.focus();
  }

  #toggle() {
    if (this.#socket) this.#socket.close(1000);
    else this.#open();
  }

  /** Fulfilled once the socket is open; never when it does not open, which the log tells. */
  #open() {
    this.#opening ??= new Promise((opened) => this.#dial(opened));
    return this.#opening;
  }

  #dial(opened) {
    this.#url = this.#address;
    const socket = new WebSocket(this.#url);
    let welcome = false;
    this.#socket = socket;
    this.#sent = [];
    this.#showState("connecting", "connecting");
    socket.addEventListener("open", () => {
      welcome = true;
      this.#log.note(`Connected to ${socket.url.split("?")[0]}`, "good");
      this.#showState("open", "connected");
      opened();
    });
    socket.addEventListener("message", ({ data }) => this.#received(data));
    socket.addEventListener("close", (event) => {
      const reason = event.reason ? `: ${event.reason}` : "";
      this.#log.note(welcome ? `Closed with ${event.code}${reason}` : "The server refused or did not answer", "warn");
      if (this.#socket === socket) this.#gone();
    });
  }

  #gone() {
    this.#socket = null;
    this.#opening = null;
    this.#url = "";
    this.#showState("closed", "disconnected");
  }

  #received(data) {
    if (typeof data !== "string") return this.#log.note(`Binary frame of ${data.size} bytes received`);
    const frame = parse(data);
    this.#grant = grant(frame) ?? this.#grant;
    this.#resume.hidden = !this.#grant;
    this.#log.frame("in", data, frame);
  }

  #keepSession() {
    for (const [name, input] of this.#query) if (this.#grant[name]) input.value = this.#grant[name];
    this.#log.note(`The next connection resumes ${this.#grant.session}`);
  }

  #showState(state, text) {
    this.#state.dataset.state = state;
    this.#state.textContent = text;
    this.#connect.textContent = state === "closed" ? "Connect" : "Disconnect";
  }

  async #transmit() {
    const text = this.#frame.value;
    if (this.#socket?.readyState !== WebSocket.OPEN) await this.#open();
    this.#socket.send(text);
    this.#sent.push(text);
    this.#log.frame("out", text, parse(text));
    this.#showCode();
  }
}

/** Puts the client into `host`; fulfilled with it once the server's description is there. */
export async function mountTester(host) {
  const tester = new Tester();
  const about = await description();
  tester.start(about);
  host.replaceChildren(tester.element);
  return tester;
}
