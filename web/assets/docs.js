// The documentation page as three tabs: Swagger UI on /openapi.json, the messages of /asyncapi.json, the WebSocket test client.
import { el, httpUrl } from "./dom.js";
import { mountMessages, openNamed } from "./docs-messages.js";
import { description } from "./templates.js";
import { mountTester } from "./tester.js";

/** What the address named when the page was opened: Swagger UI rewrites fragments it does not know. */
const asked = location.hash;
const TABS = ["rest", "messages", "websocket"];

function select(name) {
  for (const tab of TABS) {
    const button = document.getElementById(`tab-${tab}`);
    button.setAttribute("aria-selected", String(tab === name));
    button.tabIndex = tab === name ? 0 : -1;
    document.getElementById(`panel-${tab}`).hidden = tab !== name;
  }
}

function choose(name) {
  select(name);
  history.replaceState(null, "", name === "rest" ? location.pathname + location.search : `#${name}`);
}

/** Swagger UI owns every fragment that starts with `#/`; a tab's name, a message and an error code are ours. */
function fromAddress() {
  const named = location.hash.slice(1);
  if (TABS.includes(named)) select(named);
  else if (openNamed(location.hash)) select("messages");
  else select("rest");
}

function mountTabs() {
  TABS.forEach((name, index) => {
    const button = document.getElementById(`tab-${name}`);
    button.addEventListener("click", () => choose(name));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = TABS[(index + step + TABS.length) % TABS.length];
      choose(next);
      document.getElementById(`tab-${next}`).focus();
    });
  });
  window.addEventListener("hashchange", fromAddress);
  fromAddress();
}

/** Swagger UI's dark colours hang on a class of the root element. */
function followColours() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", apply);
  apply();
}

function mountSwagger() {
  const { SwaggerUIBundle } = window;
  SwaggerUIBundle({
    url: httpUrl("openapi.json"),
    dom_id: "#swagger",
    validatorUrl: null,
    deepLinking: true,
    filter: true,
    tryItOutEnabled: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: 0,
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
  });
}

/** Messages and client live on the description of the sockets; without it they say so and ask again on request. */
async function mountSockets() {
  const hosts = ["messages", "tester"].map((id) => document.getElementById(id));
  try {
    const [tester, about] = await Promise.all([mountTester(hosts[1]), description()]);
    mountMessages(hosts[0], about, (message, example) => {
      choose("websocket");
      tester.use(message, example);
    });
    if (openNamed(asked)) select("messages");
  } catch (error) {
    for (const host of hosts) {
      const again = el("button", { type: "button", text: "Try again", onclick: mountSockets });
      host.replaceChildren(el("p", { class: "problem", role: "alert", text: `The description of the sockets cannot be had: ${error.message}` }), again);
    }
  }
}

followColours();
mountTabs();
mountSwagger();
mountSockets();
