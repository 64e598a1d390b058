// An exchange as code that can be pasted: each language connects to the same address, sends the same frames byte for byte and
// prints whatever comes.

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A frame without line breaks, as line-based tools need it; JSON may have them between its tokens only. */
const oneLine = (text) => text.trim().replaceAll(/\s*[\r\n]+\s*/g, " ");

function javaScript(url, frames) {
  return [
    "// A browser's console, or Node.js from version 22 on.",
    `const ws = new WebSocket(${JSON.stringify(url)});`,
    `ws.addEventListener("message", ({ data }) => console.log(data));`,
    `ws.addEventListener("close", ({ code, reason }) => console.log("closed:", code, reason));`,
    `ws.addEventListener("open", () => {`,
    ...frames.map((frame) => `  ws.send(${JSON.stringify(frame)});`),
    "});",
  ].join("\n");
}

/** What JSON writes as a string is one in Python, too. */
function python(url, frames) {
  return [
    "# pip install websockets",
    "import asyncio",
    "import websockets",
    "",
    "async def main():",
    `    async with websockets.connect(${JSON.stringify(url)}) as ws:`,
    ...frames.map((frame) => `        await ws.send(${JSON.stringify(frame)})`),
    "        async for message in ws:",
    "            print(message)",
    "",
    "asyncio.run(main())",
  ].join("\n");
}

function wscat(url, frames) {
  const send = frames.map((frame) => ` \\\n  --execute ${quoted(frame)}`).join("");
  return `wscat --connect ${quoted(url)}${send} --wait 60`;
}

function websocat(url, frames) {
  return `{ ${frames.map((frame) => `printf '%s\\n' ${quoted(frame)}; `).join("")}cat; } | websocat ${quoted(url)}`;
}

/** The binary itself has commands for topics; other frames it does not send. */
function fanfare(url, frames) {
  const commands = frames.map(parse).map((frame) => {
    const asked = frame?.jsonrpc ? { type: frame.method?.replace("topic.", ""), ...frame.params } : frame;
    if (typeof asked?.topic !== "string") return null;
    const ws = `--url ${quoted(url.replace(/\/rpc(?=\?|$)/, "/ws"))}`;
    const since = asked.since ? ` --since ${quoted(`${asked.since.epoch}:${asked.since.offset}`)}` : "";
    const history = asked.history && !asked.since ? ` --history ${asked.history}` : "";
    if (asked.type === "subscribe") return `fanfare sub ${ws}${since}${history} ${quoted(asked.topic)}`;
    if (asked.type === "publish") return `fanfare pub ${ws} ${quoted(asked.topic)} ${quoted(JSON.stringify(asked.payload ?? asked.message))}`;
    return null;
  });
  const known = commands.filter(Boolean);
  return known.length ? known.join("\n") : "# The fanfare command has sub and pub; this frame is neither.";
}

export const LANGUAGES = [
  ["js", "JavaScript", javaScript],
  ["python", "Python (websockets)", python],
  ["wscat", "wscat", wscat],
  ["websocat", "websocat", websocat],
  ["fanfare", "fanfare sub, fanfare pub", fanfare],
];

/** The code of an exchange in a language: the address, and the frames that were sent. */
export function asCode(language, url, frames) {
  const [, , write] = LANGUAGES.find(([id]) => id === language) ?? LANGUAGES[0];
  return write(url, frames.map(oneLine));
}
