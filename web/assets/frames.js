// The log of frames both pages use: what was sent and received, newest last, each line opens to the whole frame.
// Bounded: a busy topic may bring thousands of frames a second, so lines are drawn a few times a second at most
// and only the newest LIMIT are kept.
import { copyButton, el, field } from "./dom.js";

const LIMIT = 250;
const PREVIEW = 160;
/** Between two drawings; the first frame after a pause is drawn at once. */
const DRAW_EVERY_MS = 200;

const WORDS = { in: "received", out: "sent", note: "note" };
const SIGNS = { in: "↓", out: "↑", note: "•" };

function clip(text) {
  return text.length > PREVIEW ? `${text.slice(0, PREVIEW)}…` : text;
}

function preview(value) {
  return clip(typeof value === "string" ? value : JSON.stringify(value) ?? "");
}

/** Word and one-line summary of a frame of either dialect. */
function describe(frame, text) {
  if (Array.isArray(frame)) return { badge: `batch of ${frame.length}`, line: clip(text) };
  if (frame === null || typeof frame !== "object") return { badge: "text", line: clip(text) };
  if (frame.jsonrpc !== undefined) return describeRpc(frame);
  const badge = typeof frame.type === "string" ? frame.type : "json";
  const at = frame.offset === undefined ? "" : ` #${frame.offset}`;
  const place = frame.topic ?? frame.channel ?? "";
  switch (badge) {
    case "event":
      return { badge, line: `${place}${at}  ${preview(frame.payload)}` };
    case "publish":
      return { badge, line: `${place}  ${preview(frame.payload ?? frame.message)}` };
    case "error":
      return { badge, level: "error", line: `${frame.code ?? ""}: ${frame.message ?? ""}` };
    case "info":
      return { badge, level: "warn", line: `${frame.code ?? ""} ${place} ${frame.message ?? ""}` };
    case "welcome":
      return { badge, line: `session ${frame.session_code ?? "?"}${frame.resumed ? ", resumed" : ""}` };
    case "ack": {
      const shown = ["delivered", "recovered", "history", "durable", "already"].filter((key) => frame[key] !== undefined);
      return { badge, line: [frame.for, place + at, ...shown.map((key) => `${key} ${frame[key]}`)].filter(Boolean).join("  ") };
    }
    default:
      return { badge, line: place || clip(text) };
  }
}

function describeRpc(frame) {
  const id = frame.id === undefined ? "" : ` (id ${JSON.stringify(frame.id)})`;
  if (frame.error) return { badge: "error", level: "error", line: `${frame.error.code} ${frame.error.message ?? ""}${id}` };
  if (frame.method) return { badge: frame.method, line: preview(frame.params ?? "") + id };
  return { badge: "result", line: preview(frame.result) + id };
}

function clock(date) {
  return `${date.toLocaleTimeString("en-GB")}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

export class FrameLog {
  #entries = [];
  #queue = [];
  #skipped = 0;
  #scheduled = false;
  #drawn = 0;
  #list;
  #count = el("span", { class: "muted", text: "0 frames" });
  #empty = el("p", { class: "muted log-empty", text: "Frames appear here as they are sent and received." });
  #words;
  #direction;
  /** Only with `tools`: which type is shown, and whether drawing waits. */
  #type = el("select", { onchange: () => this.#filter() }, el("option", { value: "", text: "All" }));
  #pause = el("button", { type: "button", class: "quiet", "aria-pressed": "false", text: "Pause", onclick: () => this.#togglePause() });
  #paused = false;
  #pick;

  /** With `tools` it filters by type and can be paused; `pick(entry, all)` is what "As code" of an opened frame calls. */
  constructor(label, { tools = false, pick = null } = {}) {
    this.#pick = pick;
    this.#words = el("input", { type: "search", placeholder: "e.g. error", autocomplete: "off", spellcheck: "false", oninput: () => this.#filter() });
    this.#direction = el(
      "select",
      { onchange: () => this.#filter() },
      el("option", { value: "", text: "All" }),
      el("option", { value: "in", text: "Received" }),
      el("option", { value: "out", text: "Sent" }),
    );
    this.#list = el("div", { class: "log", role: "log", "aria-live": "off", "aria-label": `Frames of ${label}`, tabindex: "0" }, this.#empty);
    const bar = el(
      "div",
      { class: "log-bar" },
      field("Filter", this.#words, "grow"),
      field("Show", this.#direction),
      ...(tools ? [field("Type", this.#type), this.#pause] : []),
      el("button", { type: "button", class: "quiet", text: "Clear", "aria-label": `Clear the frames of ${label}`, onclick: () => this.clear() }),
    );
    this.element = el("div", { class: "frames" }, bar, this.#list, this.#count);
  }

  /** Adds a frame that went `direction` ("in" or "out") as `text`. */
  frame(direction, text, parsed) {
    this.#push({ direction, text, parsed, at: new Date() });
  }

  /** Adds a line of our own, e.g. that the socket closed and why. */
  note(text, level = "") {
    this.#push({ direction: "note", text, level, at: new Date() });
  }

  clear() {
    for (const entry of this.#entries) entry.node.remove();
    this.#entries = [];
    this.#queue = [];
    this.#skipped = 0;
    this.#recount();
  }

  #togglePause() {
    this.#paused = !this.#paused;
    this.#pause.textContent = this.#paused ? "Resume" : "Pause";
    this.#pause.setAttribute("aria-pressed", String(this.#paused));
    if (!this.#paused && this.#queue.length) this.#schedule();
    this.#recount();
  }

  #push(entry) {
    this.#queue.push(entry);
    if (this.#queue.length > LIMIT) {
      this.#queue.shift();
      this.#skipped += 1;
    }
    if (this.#paused) this.#recount();
    else this.#schedule();
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const pause = this.#drawn + DRAW_EVERY_MS - performance.now();
    setTimeout(() => requestAnimationFrame(() => this.#flush()), Math.max(0, pause));
  }

  #flush() {
    this.#scheduled = false;
    if (this.#paused) return;
    this.#drawn = performance.now();
    const list = this.#list;
    const follow = list.scrollHeight - list.scrollTop - list.clientHeight < 24;
    const lines = document.createDocumentFragment();
    for (const entry of this.#queue) {
      entry.node = entry.direction === "note" ? this.#noteNode(entry) : this.#frameNode(entry);
      entry.node.hidden = !this.#wanted(entry);
      lines.append(entry.node);
      this.#entries.push(entry);
    }
    list.append(lines);
    this.#queue = [];
    while (this.#entries.length > LIMIT) {
      this.#entries.shift().node.remove();
      this.#skipped += 1;
    }
    this.#recount();
    if (follow) list.scrollTop = list.scrollHeight;
  }

  #noteNode(entry) {
    return el("p", { class: `note ${entry.level}`.trim() }, el("time", { text: clock(entry.at) }), el("span", { text: entry.text }));
  }

  #frameNode(entry) {
    const { badge, line, level } = describe(entry.parsed, entry.text);
    entry.badge = badge;
    this.#offerType(badge);
    const node = el(
      "details",
      { class: `frame ${entry.direction} ${level ?? ""}`.trim(), "data-type": badge },
      el(
        "summary",
        {},
        el("time", { text: clock(entry.at) }),
        el("span", { class: "sign", role: "img", "aria-label": WORDS[entry.direction], text: SIGNS[entry.direction] }),
        el("span", { class: "badge", text: badge }),
        el("span", { class: "line", text: line }),
      ),
    );
    node.addEventListener("toggle", () => {
      if (node.open && node.childElementCount === 1) {
        const whole = entry.parsed === undefined ? entry.text : JSON.stringify(entry.parsed, null, 2);
        node.append(el("pre", { tabindex: "0", text: whole }), ...this.#tools(entry));
      }
    });
    return node;
  }

  /** What can be done with an opened frame. */
  #tools(entry) {
    if (!this.#pick) return [];
    const asCode = el("button", { type: "button", class: "quiet", text: "Exchange as code", onclick: () => this.#pick(entry, this.#entries) });
    return [el("div", { class: "row frame-tools" }, copyButton("Copy frame", () => entry.text), asCode)];
  }

  #offerType(badge) {
    const known = [...this.#type.options].some((option) => option.value === badge);
    if (!known) this.#type.append(el("option", { value: badge, text: badge }));
  }

  #wanted(entry) {
    const direction = this.#direction.value;
    if (direction && entry.direction !== direction) return false;
    if (this.#type.value && entry.badge !== this.#type.value) return false;
    const words = this.#words.value.trim().toLowerCase();
    return !words || entry.text.toLowerCase().includes(words) || (entry.badge ?? "").toLowerCase().includes(words);
  }

  #filter() {
    for (const entry of this.#entries) entry.node.hidden = !this.#wanted(entry);
    this.#recount();
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  #recount() {
    const frames = this.#entries.filter((entry) => entry.direction !== "note");
    const shown = frames.filter((entry) => !entry.node.hidden).length;
    const older = this.#skipped ? `, ${this.#skipped} older left out` : "";
    const waiting = this.#paused ? `, paused, ${this.#queue.length} waiting` : "";
    this.#count.textContent = `${shown === frames.length ? shown : `${shown} of ${frames.length}`} frames${older}${waiting}`;
    this.#empty.hidden = this.#entries.length > 0;
  }
}
