// Live feed: listens to the channel `dashboard` and shows the latest record of each type. Says so when the data is made up.
import { el, httpUrl, socketUrl } from "./dom.js";

const CHANNEL = "dashboard";
const ROWS = 6;
const AGAIN_MS = 3000;

function row(frame) {
  const text = JSON.stringify(frame.data);
  return el(
    "tr",
    {},
    el("td", { text: frame.timestamp.slice(11, 23) }),
    el("td", { text: frame.type }),
    el("td", { text: frame.key ?? "" }),
    el("td", {}, el("code", { text: text.length > 120 ? `${text.slice(0, 117)}…` : text })),
  );
}

// Shows the feed in `section`, which stays hidden where the server has no such channel.
export async function mountFeed(section) {
  const note = section.querySelector("[data-feed-note]");
  const body = section.querySelector("tbody");
  const answer = await fetch(httpUrl("feeds")).catch(() => null);
  const status = answer?.ok ? await answer.json().catch(() => null) : null;
  if (!status?.feeds?.some((feed) => feed.channel === CHANNEL)) return;
  section.hidden = false;
  note.textContent = status.demo
    ? "Demo data: made up by this server, because no Kafka is configured."
    : "Records of Kafka topics as they arrive.";
  const connect = () => {
    const socket = new WebSocket(socketUrl("ws"));
    socket.onopen = () => socket.send(JSON.stringify({ type: "subscribe", channel: CHANNEL, snapshot: true }));
    socket.onmessage = (event) => {
      const frame = JSON.parse(event.data);
      if (frame.channel !== CHANNEL || frame.data === undefined) return;
      body.prepend(row(frame));
      while (body.rows.length > ROWS) body.lastElementChild.remove();
    };
    socket.onclose = () => setTimeout(connect, AGAIN_MS);
  };
  connect();
}
