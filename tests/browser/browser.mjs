// Chromium, and a watch over what its pages say and load.
import { chromium } from "playwright-core";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const WAIT_MS = 15000;

/** A browser with a profile of its own, made new for the run. */
export function launchBrowser() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
}

/** Collects console errors, script errors, violations of the policy and requests to anywhere but the server. */
export class Watch {
  #base;
  #faults = [];
  #tolerate;

  /** `tolerate` matches console errors a test provokes itself, e.g. by stopping the server. */
  constructor(base, tolerate = /^$/) {
    this.#base = base;
    this.#tolerate = tolerate;
  }

  /** Opens `path`; `prepare` gets the page before it loads, e.g. to answer a request in the server's place. */
  async open(context, path, prepare = async () => {}) {
    const page = await context.newPage();
    await prepare(page);
    page.setDefaultTimeout(WAIT_MS);
    page.on("console", (message) => this.#console(message));
    page.on("pageerror", (error) => this.#faults.push(`script error: ${error.message}`));
    page.on("request", (request) => this.#request(request.url()));
    page.on("websocket", (socket) => this.#request(socket.url()));
    await page.goto(this.#base + path);
    return page;
  }

  verify() {
    if (this.#faults.length) throw new Error(`the page betrayed:\n${this.#faults.join("\n")}`);
  }

  #console(message) {
    const from = message.location().url;
    const policy = /content security policy/i.test(message.text());
    const provoked = this.#tolerate.test(message.text());
    if ((message.type() === "error" && !provoked) || policy) this.#faults.push(`console: ${message.text()} (${from})`);
  }

  #request(url) {
    const own = [this.#base, this.#base.replace(/^http/, "ws")].some((base) => url === base || url.startsWith(`${base}/`));
    if (!own && !/^(data|blob):/.test(url)) this.#faults.push(`outside request: ${url}`);
  }
}
