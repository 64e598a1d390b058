// One connection of the playground in the typed dialect: it keeps its topics over a lost socket.
// Flow: connect -> welcome -> subscribe again with `since` -> events. What must hold: `since` only ever names an
// offset this page has shown, so a reconnect neither repeats nor hides an event.
import { socketUrl } from "./dom.js";

const BACKOFF_MS = 500;
const BACKOFF_MAX_MS = 30000;
const PATIENT_MS = 5000;
/** Close codes after which the server asks not to reconnect automatically (its table of close codes). */
const FINAL = new Set([1000, 1002, 1003, 1007, 1008, 1009, 4401, 4403, 4404, 4408, 4409]);
/** Slow consumer and flooding: reconnect, but later. */
const PATIENT = new Set([1013, 4429]);

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export class Client {
  #on;
  #socket = null;
  #welcomed = false;
  #wanted = false;
  #resume = null;
  #attempt = 0;
  #timer = 0;
  #requests = 0;
  #pending = new Map();
  /** topic -> {epoch, since: {epoch, offset}|null, active, durable} */
  #topics = new Map();

  /** `on`: `state(word, detail)`, `frame(direction, text, parsed)`, `note(text, level)`, `topics(map)`, `error(frame)`. */
  constructor(on) {
    this.#on = on;
  }

  connect() {
    this.#wanted = true;
    this.#attempt = 0;
    this.#open();
  }

  disconnect() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    if (this.#socket) this.#socket.close(1000);
    else this.#on.state("closed");
  }

  /** Subscribes now, or with the next connection when there is none. */
  subscribe(topic) {
    if (!this.#topics.has(topic)) this.#topics.set(topic, { epoch: null, since: null, active: false, durable: false });
    this.#sendSubscribe(topic);
    this.#on.topics(this.#topics);
  }

  unsubscribe(topic) {
    this.#topics.delete(topic);
    this.#request({ kind: "unsubscribe", topic }, { type: "unsubscribe", topic });
    this.#on.topics(this.#topics);
  }

  /** `payload` is JSON text and goes out byte for byte as it was typed. False when there is no connection. */
  publish(topic, payload) {
    const id = this.#nextId({ kind: "publish", topic });
    return this.#send(`{"type":"publish","topic":${JSON.stringify(topic)},"payload":${payload},"request_id":${id}}`);
  }

  #open() {
    clearTimeout(this.#timer);
    if (this.#socket) return;
    const url = new URL(socketUrl("ws"));
    const resuming = this.#resume;
    if (resuming) {
      url.searchParams.set("session", resuming.code);
      url.searchParams.set("resume", resuming.token);
    }
    this.#on.state("connecting");
    const socket = new WebSocket(url);
    let opened = false;
    this.#socket = socket;
    this.#welcomed = false;
    this.#pending.clear();
    socket.addEventListener("open", () => {
      opened = true;
    });
    socket.addEventListener("message", (event) => this.#receive(event.data));
    socket.addEventListener("close", (event) => this.#closed(event, opened, resuming));
  }

  #closed(event, opened, resuming) {
    this.#socket = null;
    this.#welcomed = false;
    for (const topic of this.#topics.values()) topic.active = false;
    this.#on.topics(this.#topics);
    if (!opened && resuming) {
      // The old session is gone or its token was used: a browser cannot see which, so start a new session.
      this.#resume = null;
      if (this.#wanted) return this.#open();
    }
    const reason = event.reason ? `: ${event.reason}` : "";
    this.#on.note(opened ? `Connection closed (${event.code}${reason})` : "The server refused or did not answer", "warn");
    if (!this.#wanted || (opened && FINAL.has(event.code))) {
      this.#wanted = false;
      return this.#on.state("closed", opened ? `closed (${event.code})` : "refused");
    }
    const least = PATIENT.has(event.code) ? PATIENT_MS : 0;
    const wait = Math.max(least, Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** this.#attempt) * (0.5 + Math.random() / 2));
    this.#attempt += 1;
    this.#on.state("waiting", `again in ${(wait / 1000).toFixed(1)} s`);
    this.#timer = setTimeout(() => this.#open(), wait);
  }

  #receive(data) {
    if (typeof data !== "string") return this.#on.note("A binary frame was received and left unread", "warn");
    const frame = parse(data);
    this.#on.frame("in", data, frame);
    if (frame === null || typeof frame !== "object") return;
    const asked = this.#pending.get(frame.request_id);
    this.#pending.delete(frame.request_id);
    if (frame.type === "welcome") this.#welcome(frame);
    else if (frame.type === "event") this.#event(frame);
    else if (frame.type === "ack" && asked?.kind === "subscribe") this.#subscribed(asked.topic, frame);
    else if (frame.type === "error") this.#refused(asked, frame);
    else if (frame.type === "info" && frame.code === "TOPIC_DELETED") this.#forget(frame.topic);
  }

  #welcome(frame) {
    this.#attempt = 0;
    this.#welcomed = true;
    this.#resume = frame.resume_token ? { code: frame.session_code, token: frame.resume_token } : null;
    this.#on.state("open", frame);
    for (const topic of this.#topics.keys()) this.#sendSubscribe(topic);
  }

  #event(frame) {
    const topic = this.#topics.get(frame.topic);
    if (!topic) return;
    topic.since = { epoch: topic.epoch, offset: frame.offset };
    this.#on.topics(this.#topics);
  }

  #subscribed(name, ack) {
    const topic = this.#topics.get(name);
    if (!topic) return;
    topic.active = true;
    topic.durable = ack.durable === true;
    if (ack.epoch !== undefined) topic.epoch = ack.epoch;
    if (ack.recovered === true) {
      // `since` stays where it is: the replayed events move it, so a socket lost in between loses nothing.
      const same = topic.since?.epoch === ack.epoch;
      const missed = same ? `${ack.offset - topic.since.offset} missed` : "the missed";
      this.#on.note(`${name}: recovered, ${missed} message(s) follow`, "good");
    } else if (!ack.already) {
      if (ack.recovered === false) this.#on.note(`${name}: history no longer holds what was missed, going on at offset ${ack.offset}`, "warn");
      topic.since = ack.offset === undefined ? null : { epoch: ack.epoch, offset: ack.offset };
    }
    this.#on.topics(this.#topics);
  }

  #refused(asked, frame) {
    if (asked?.kind === "subscribe") this.#forget(asked.topic);
    this.#on.error(frame);
  }

  #forget(name) {
    if (this.#topics.delete(name)) this.#on.topics(this.#topics);
  }

  #sendSubscribe(topic) {
    const known = this.#topics.get(topic);
    const frame = { type: "subscribe", topic };
    if (known?.since && !known.active) frame.since = known.since;
    this.#request({ kind: "subscribe", topic }, frame);
  }

  #request(asked, frame) {
    if (!this.#welcomed) return;
    this.#send(JSON.stringify({ ...frame, request_id: this.#nextId(asked) }));
  }

  #nextId(asked) {
    this.#requests += 1;
    this.#pending.set(this.#requests, asked);
    return this.#requests;
  }

  #send(text) {
    if (!this.#welcomed || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(text);
    this.#on.frame("out", text, parse(text));
    return true;
  }
}
