// The documentation page: Swagger UI on /openapi.json, and the WebSocket test client, as two tabs.
import { httpUrl } from "./dom.js";
import { mountTester } from "./tester.js";

const TABS = ["rest", "websocket"];

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
  history.replaceState(null, "", name === "websocket" ? "#websocket" : location.pathname + location.search);
}

/** Swagger UI owns every fragment that starts with `#/`; `#websocket` is ours. */
function fromAddress() {
  select(location.hash === "#websocket" ? "websocket" : "rest");
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

followColours();
mountTabs();
mountTester(document.getElementById("tester"));
mountSwagger();
