// Ways to join from outside the page, written with this server's own address so that they work when pasted.
import { copyButton, el, httpUrl, socketUrl } from "./dom.js";

const TOPIC = "lobby";

function snippets() {
  const ws = socketUrl("ws");
  const rpc = socketUrl("rpc");
  const subscribe = JSON.stringify({ type: "subscribe", topic: TOPIC });
  const publish = JSON.stringify({ topic: TOPIC, payload: { from: "curl", text: "hello" } });
  const echo = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "test.echo", params: { msg: "hello" } });
  return [
    {
      id: "browser",
      title: "Browser console",
      about: "Press F12 on this page and paste. Pages of other origins need a place in server.cors_origins.",
      code: [
        `var ws = new WebSocket(${JSON.stringify(ws)});`,
        `ws.onmessage = (e) => console.log(JSON.parse(e.data));`,
        `ws.onopen = () => {`,
        `  ws.send(${JSON.stringify(subscribe)});`,
        `  ws.send(JSON.stringify({ type: "publish", topic: "${TOPIC}", payload: "hello from the console" }));`,
        `};`,
      ].join("\n"),
    },
    {
      id: "curl",
      title: "Publish with curl",
      about: "Plain HTTP in, WebSocket out: both panes above receive it.",
      code: `curl -sS ${httpUrl("publish")} \\\n  -H 'Content-Type: application/json' \\\n  -d '${publish}'`,
    },
    {
      id: "websocat",
      title: "Listen with websocat",
      about: "Subscribes, then sends each further line you type as a frame.",
      code: `{ echo '${subscribe}'; cat; } | websocat ${ws}`,
    },
    {
      id: "rpc",
      title: "JSON-RPC with websocat",
      about: "The same server as JSON-RPC 2.0: first the welcome, then the answer with id 1.",
      code: `{ echo '${echo}'; cat; } | websocat ${rpc}`,
    },
    {
      id: "sub",
      title: "Listen with fanfare",
      about: "The binary is its own client.",
      code: `fanfare sub --url ${ws} ${TOPIC}`,
    },
    {
      id: "pub",
      title: "Publish with fanfare",
      about: "The payload is JSON.",
      code: `fanfare pub --url ${ws} ${TOPIC} '{"text":"hello from the shell"}'`,
    },
  ];
}

export function mountSnippets(host) {
  const cards = snippets().map(({ id, title, about, code }) => {
    const copy = copyButton("Copy", () => code);
    copy.setAttribute("aria-label", `Copy: ${title}`);
    return el(
      "article",
      { class: "card snippet", "data-snippet": id },
      el("header", {}, el("h3", { class: "grow", text: title }), copy),
      el("p", { class: "muted", text: about }),
      el("pre", { tabindex: "0" }, el("code", { text: code })),
    );
  });
  host.replaceChildren(...cards);
}
