// Live figures: asks /stats each second and /health every five, and shows connections, rates and topics.
// Counters only rise while a server lives; a falling one means it was restarted, and the rate restarts.
import { el, httpUrl } from "./dom.js";
import { Spark } from "./spark.js";

const STATS_EVERY_MS = 1000;
const HEALTH_EVERY_MS = 5000;
const ANSWER_WITHIN_MS = 4000;
const TOPICS_SHOWN = 25;

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function figure(value) {
  return value >= 100000 ? short.format(value) : whole.format(value);
}

function span(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

class Tile {
  #value = el("p", { class: "tile-value", text: "–" });
  #note = el("p", { class: "tile-note" });
  #spark = new Spark();

  constructor(key, title) {
    this.element = el(
      "article",
      { class: "tile", "data-figure": key },
      el("h3", { text: title }),
      this.#value,
      this.#note,
      this.#spark.element,
    );
  }

  show(value, note) {
    this.#value.textContent = figure(value);
    this.#note.textContent = note;
    this.#spark.push(value);
  }
}

function topicRows(topics) {
  const rows = Object.entries(topics).sort(
    ([nameA, a], [nameB, b]) => (b.subscribers ?? 0) - (a.subscribers ?? 0) || nameA.localeCompare(nameB),
  );
  return { all: rows.length, shown: rows.slice(0, TOPICS_SHOWN) };
}

class TopicTable {
  #body = el("tbody");
  #note = el("p", { class: "muted" });
  #wrap;
  #last = "";

  constructor() {
    const heads = ["Topic", "Subscribers", "Published", "Offset"].map((text, i) =>
      el("th", { scope: "col", class: i ? "num" : undefined, text }),
    );
    const table = el("table", {}, el("caption", { class: "offscreen", text: "Topics" }), el("thead", {}, el("tr", {}, ...heads)), this.#body);
    this.#wrap = el("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": "Topics" }, table);
    this.element = el("div", { class: "card topics" }, el("h3", { text: "Topics" }), this.#wrap, this.#note);
  }

  /** `topics` is absent where the server names topics to administrators only. */
  show(topics) {
    const seen = JSON.stringify(topics ?? null);
    if (seen === this.#last) return;
    this.#last = seen;
    const { all, shown } = topicRows(topics ?? {});
    this.#wrap.hidden = all === 0;
    this.#body.replaceChildren(...shown.map(([name, t]) => this.#row(name, t)));
    if (!topics) this.#note.textContent = "This server names its topics only to an API key or an administrator.";
    else if (all === 0) this.#note.textContent = "No topic yet. Subscribe to one below and it appears here.";
    else this.#note.textContent = all > shown.length ? `The ${shown.length} largest of ${whole.format(all)} topics.` : "";
    this.#note.hidden = this.#note.textContent === "";
  }

  #row(name, topic) {
    const number = (value) => el("td", { class: "num", text: value === undefined ? "–" : whole.format(value) });
    return el("tr", {}, el("th", { scope: "row", title: name, text: name }), number(topic.subscribers), number(topic.published), number(topic.offset));
  }
}

class Rates {
  #before = null;

  /** Messages per second since the last call, null on the first and after a restart of the server. */
  next(messages, uptime) {
    const now = { at: performance.now(), published: messages.published ?? 0, delivered: messages.delivered ?? 0, uptime };
    const before = this.#before;
    this.#before = now;
    if (!before || now.published < before.published || now.uptime < before.uptime) return null;
    const seconds = Math.max(0.001, (now.at - before.at) / 1000);
    return {
      published: (now.published - before.published) / seconds,
      delivered: (now.delivered - before.delivered) / seconds,
    };
  }
}

async function ask(path) {
  const answer = await fetch(httpUrl(path), {
    headers: { Accept: "application/json" },
    cache: "no-store",
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  return { status: answer.status, body: await answer.json().catch(() => null) };
}

/** Calls `task` at once and then each `ms`, never twice at a time, and not while the page is hidden. */
function repeat(task, ms) {
  const turn = async () => {
    if (!document.hidden) await task();
    setTimeout(turn, ms);
  };
  turn();
}

export function mountLive(host, status) {
  const tiles = {
    connections: new Tile("connections", "Connections"),
    published: new Tile("published", "Published / s"),
    delivered: new Tile("delivered", "Delivered / s"),
    topics: new Tile("topics", "Topics"),
  };
  const table = new TopicTable();
  const trouble = el("p", { class: "banner", role: "status", hidden: true });
  const grid = el("div", { class: "tiles" }, ...Object.values(tiles).map((tile) => tile.element));
  host.replaceChildren(trouble, grid, table.element);
  const rates = new Rates();

  const say = (text) => {
    if (trouble.textContent !== text) trouble.textContent = text;
    trouble.hidden = text === "";
    grid.classList.toggle("stale", text !== "");
  };
  const show = (stats) => {
    const messages = stats.messages ?? {};
    const rate = rates.next(messages, stats.uptime_seconds ?? 0);
    tiles.connections.show(stats.connections ?? 0, `${figure(stats.sessions ?? 0)} sessions`);
    tiles.published.show(rate?.published ?? 0, `${figure(messages.published ?? 0)} in all`);
    tiles.delivered.show(rate?.delivered ?? 0, `${figure(messages.delivered ?? 0)} in all, ${figure(messages.dropped ?? 0)} dropped`);
    const topics = stats.topics ? Object.values(stats.topics) : null;
    tiles.topics.element.hidden = !topics;
    if (topics) tiles.topics.show(topics.length, `${figure(topics.reduce((sum, t) => sum + (t.subscribers ?? 0), 0))} subscriptions`);
    table.show(stats.topics);
  };
  repeat(async () => {
    try {
      const { status: code, body } = await ask("stats");
      if (code === 200 && body) {
        show(body);
        say("");
      } else if (code === 404) say("The figures of this server are served on an address of its own.");
      else if (code === 401 || code === 403) say("The figures of this server are for signed-in operators.");
      else say(`The figures cannot be read now (HTTP ${code}).`);
    } catch {
      say("The server does not answer. Trying again each second.");
    }
  }, STATS_EVERY_MS);
  repeat(() => showHealth(status), HEALTH_EVERY_MS);
}

async function showHealth(status) {
  let state = "down";
  let text = "not reachable";
  try {
    const { body } = await ask("health");
    if (body?.status) {
      const broken = Object.entries(body.components ?? {}).filter(([, part]) => part?.status && part.status !== "ok");
      state = body.status === "ok" ? "ok" : "degraded";
      const parts = [body.status];
      if (state !== "ok" && broken.length) parts.push(broken.map(([name, part]) => `${name} ${part.status}`).join(", "));
      if (body.version) parts.push(`v${body.version}`);
      if (body.uptime_seconds !== undefined) parts.push(`up ${span(body.uptime_seconds)}`);
      text = parts.join(" · ");
    }
  } catch {
    // Shown as not reachable; the next turn asks again.
  }
  status.dataset.state = state;
  status.querySelector("[data-text]").textContent = text;
}
