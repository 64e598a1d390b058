// A form for one frame, made from its JSON Schema. A control left empty leaves its member out, also a required one: how the
// server answers that is worth seeing. Members with one possible value (`type`, `jsonrpc`, `method`) have no control.
import { el, field } from "./dom.js";
import { sample } from "./templates.js";

/** Where values go: the frame's own members, and in JSON-RPC those of its named params. */
function members(schema) {
  const needed = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).flatMap(([name, member]) => {
    if (member.const !== undefined) return [];
    const named = name === "params" ? (member.oneOf ?? []).find((one) => one.type === "object") : null;
    if (named) return members(named).map((inner) => ({ ...inner, path: [name, ...inner.path] }));
    return [{ path: [name], schema: member, required: needed.has(name) }];
  });
}

const kinds = (schema) => [schema.type ?? []].flat().filter((kind) => kind !== "null");

/** How a member is typed in: as text, a number, text or a number, a choice, or JSON. */
function manner(schema) {
  if (schema.enum) return "choice";
  const all = kinds(schema);
  if (all.length === 0 || all.includes("object") || all.includes("array")) return "json";
  if (all.includes("boolean")) return "boolean";
  if (all.includes("string")) return all.length > 1 ? "either" : "text";
  return "number";
}

const WRITE = {
  text: (value) => (typeof value === "string" ? value : JSON.stringify(value)),
  either: String,
  number: String,
  boolean: String,
  choice: String,
  json: (value) => JSON.stringify(value),
};

const READ = {
  text: (text) => text,
  choice: (text) => text,
  boolean: (text) => text === "true",
  either: (text) => (/^-?\d{1,15}$/.test(text) ? Number(text) : text),
  number: (text) => (Number.isFinite(Number(text)) ? Number(text) : text),
  json: (text) => {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  },
};

function control({ schema, path }, how) {
  const common = { name: path.join("."), autocomplete: "off", spellcheck: "false" };
  const options = { choice: schema.enum, boolean: ["true", "false"] }[how];
  if (options) return el("select", common, el("option", { value: "", text: "left out" }), ...options.map((value) => el("option", { value, text: value })));
  if (how === "json") return el("textarea", { ...common, rows: "1", placeholder: JSON.stringify(sample(schema, {})) });
  return el("input", { ...common, type: "text", inputmode: how === "number" ? "numeric" : null });
}

export class FrameForm {
  #fields = [];
  #fixed = {};
  #changed;

  /** `changed(frame)` is called with the frame whenever a control changes. */
  constructor(changed) {
    this.#changed = changed;
    this.element = el("div", { class: "frame-form" });
  }

  /** Makes the controls of a schema; `frame` fills them. */
  show(schema, frame) {
    this.#fields = members(schema).map((member) => {
      const how = manner(member.schema);
      const input = control(member, how);
      input.addEventListener("input", () => this.#changed(this.#frame()));
      return { ...member, how, input };
    });
    const rows = this.#fields.map(({ path, schema: { description }, required, input }) => {
      const row = field(`${path.at(-1)}${required ? " (required)" : ""}`, input);
      if (description) {
        const note = el("small", { class: "muted", id: `${input.id}-note`, text: description });
        input.setAttribute("aria-describedby", note.id);
        row.append(note);
      }
      return row;
    });
    this.element.replaceChildren(...(rows.length ? rows : [el("p", { class: "muted", text: "This frame has nothing to fill in." })]));
    this.fill(frame);
  }

  /** Puts a frame's values into the controls; what the schema does not know stays as it is. */
  fill(frame) {
    this.#fixed = frame;
    for (const { path, how, input } of this.#fields) {
      const value = path.reduce((at, part) => at?.[part], frame);
      input.value = value === undefined ? "" : WRITE[how](value);
    }
  }

  #frame() {
    const frame = structuredClone(this.#fixed);
    for (const { path, how, input } of this.#fields) {
      const inside = path.slice(0, -1).reduce((at, part) => (at[part] = plainObject(at[part])), frame);
      if (input.value === "") delete inside[path.at(-1)];
      else inside[path.at(-1)] = READ[how](input.value);
    }
    return frame;
  }
}

function plainObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? value : {};
}
