// Small helpers for building nodes and for addresses relative to where the page is served.
// Invariant: text reaches the page only as text nodes, never as markup, because most of it comes from strangers.

/** Folder the page is served from, so everything also works behind a path prefix. */
export const base = new URL(".", document.baseURI);

/** HTTP address of `path` on this server. */
export function httpUrl(path) {
  return new URL(path, base).href;
}

/** WebSocket address of `path` on this server, `wss:` when the page came over TLS. */
export function socketUrl(path) {
  const url = new URL(path, base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** Makes an element: `on…` props are listeners, `text` is its text, known properties are set, the rest are attributes. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Same as `el` for SVG. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

let ids = 0;
/** A page-unique id, to tie labels to fields. */
export function uid(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}

/** A labelled form field: label above, control below. */
export function field(label, control, extra = "") {
  const id = control.id || uid("field");
  control.id = id;
  return el("div", { class: `field ${extra}`.trim() }, el("label", { for: id, text: label }), control);
}

/** Copies text; pages served over plain HTTP on a network have no clipboard API, so the old way is the fallback. */
async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = el("textarea", { class: "offscreen", readonly: true, value: text, "aria-hidden": "true" });
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("copying was refused");
}

/** A button that copies what `read()` returns and says so. */
export function copyButton(label, read) {
  const button = el("button", { type: "button", class: "quiet", text: label });
  let timer = 0;
  button.addEventListener("click", async () => {
    let said = "Copied";
    try {
      await copyText(read());
    } catch {
      said = "Copy failed";
    }
    button.textContent = said;
    clearTimeout(timer);
    timer = setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}
