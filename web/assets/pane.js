// One person of the playground: a connection, the topics it is subscribed to, a form to publish, and the log of its frames.
import { el, field, uid } from "./dom.js";
import { Client } from "./client.js";
import { FrameLog } from "./frames.js";

const STATES = {
  connecting: { word: "connecting", button: "Disconnect" },
  open: { word: "connected", button: "Disconnect" },
  waiting: { word: "reconnecting", button: "Disconnect" },
  closed: { word: "disconnected", button: "Connect" },
};

/** Text of the payload as JSON, by the chosen format; throws with a message for the person when it is not JSON. */
function encode(format, text) {
  if (format === "text") return JSON.stringify(text);
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Error(`The payload is not JSON: ${error.message}`, { cause: error });
  }
  return text.trim();
}

export class Pane {
  #client;
  #log;
  #name;
  #state = el("span", { class: "state", role: "status" });
  #session = el("code", { class: "session", text: "–" });
  #toggle = el("button", { type: "button", class: "quiet", text: "Connect" });
  #chips = el("ul", { class: "chips" });
  #chipOf = new Map();
  #chipsDue = false;
  #problem = el("p", { class: "problem", role: "alert", hidden: true });
  #connected = false;

  constructor({ name, topic, payload }) {
    this.#name = name;
    this.#log = new FrameLog(name);
    this.#client = new Client({
      state: (word, detail) => this.#showState(word, detail),
      frame: (direction, text, parsed) => this.#log.frame(direction, text, parsed),
      note: (text, level) => this.#log.note(text, level),
      topics: (topics) => this.#showTopics(topics),
      error: (frame) => this.#showProblem(`${frame.code}: ${frame.message}`),
    });
    this.#toggle.addEventListener("click", () => (this.#connected ? this.#client.disconnect() : this.#client.connect()));
    const title = uid("pane");
    this.element = el(
      "article",
      { class: "card pane", "aria-labelledby": title, "data-pane": name.toLowerCase() },
      el(
        "header",
        { class: "pane-head" },
        el("span", { class: "avatar", "aria-hidden": "true", text: name[0] }),
        el(
          "div",
          { class: "grow" },
          el("h3", { id: title, text: name }),
          el("div", { class: "pane-line muted" }, this.#state, el("span", {}, "session ", this.#session)),
        ),
        this.#toggle,
      ),
      this.#subscribeForm(topic),
      this.#publishForm(topic, payload),
      this.#problem,
      this.#log.element,
    );
    this.#showState("closed");
    this.#client.subscribe(topic);
    this.#client.connect();
  }

  #subscribeForm(topic) {
    const input = el("input", { name: "topic", value: topic, required: true, maxlength: "255", autocomplete: "off", spellcheck: "false" });
    const form = el(
      "form",
      { class: "row subscribe", "aria-label": `${this.#name} subscribes` },
      field("Listen to topic", input, "grow"),
      el("button", { type: "submit", text: "Subscribe" }),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#showProblem("");
      this.#client.subscribe(input.value);
    });
    return el("div", {}, form, this.#chips);
  }

  #publishForm(topic, payload) {
    const where = el("input", { name: "topic", value: topic, required: true, maxlength: "255", autocomplete: "off", spellcheck: "false" });
    const format = el("select", { name: "format" }, el("option", { value: "json", text: "JSON" }), el("option", { value: "text", text: "Text" }));
    const what = el("textarea", { name: "payload", rows: "2", spellcheck: "false", value: payload, "aria-keyshortcuts": "Control+Enter" });
    const form = el(
      "form",
      { class: "publish", "aria-label": `${this.#name} publishes` },
      el("div", { class: "row" }, field("Publish to topic", where, "grow"), field("Payload is", format)),
      el("div", { class: "row" }, field("Payload", what, "grow"), el("button", { type: "submit", class: "primary", text: "Publish" })),
    );
    what.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#showProblem("");
      try {
        if (!this.#client.publish(where.value, encode(format.value, what.value))) this.#showProblem(`${this.#name} is not connected.`);
      } catch (error) {
        this.#showProblem(error.message);
      }
    });
    return form;
  }

  #showState(word, detail) {
    const { word: said, button } = STATES[word];
    this.#connected = word !== "closed";
    this.#state.dataset.state = word;
    this.#state.textContent = typeof detail === "string" ? `${said}, ${detail}` : said;
    this.#toggle.textContent = button;
    this.#toggle.setAttribute("aria-label", `${button} ${this.#name}`);
    if (word === "open") this.#session.textContent = detail.session_code + (detail.resumed ? " (resumed)" : "");
  }

  /** Once per painted picture, and in place: a chip that was recreated would lose the keyboard's focus. */
  #showTopics(topics) {
    if (this.#chipsDue) return;
    this.#chipsDue = true;
    requestAnimationFrame(() => {
      this.#chipsDue = false;
      for (const [name, chip] of this.#chipOf) {
        if (topics.has(name)) continue;
        chip.element.remove();
        this.#chipOf.delete(name);
      }
      for (const [name, topic] of topics) this.#updateChip(name, topic);
    });
  }

  #updateChip(name, topic) {
    if (!this.#chipOf.has(name)) {
      const made = this.#chip(name);
      this.#chipOf.set(name, made);
      this.#chips.append(made.element);
    }
    const { element, offset } = this.#chipOf.get(name);
    element.classList.toggle("idle", !topic.active);
    const position = topic.since ? `offset ${topic.since.offset}` : "";
    offset.textContent = topic.durable ? `${position} · durable` : position;
  }

  #chip(name) {
    const offset = el("span", { class: "chip-offset" });
    const stop = el("button", { type: "button", "aria-label": `${this.#name} unsubscribes from ${name}`, text: "×", onclick: () => this.#client.unsubscribe(name) });
    const element = el("li", { class: "chip idle" }, el("span", { class: "chip-name", title: name, text: name }), offset, stop);
    return { element, offset };
  }

  #showProblem(text) {
    this.#problem.textContent = text;
    this.#problem.hidden = text === "";
  }
}
