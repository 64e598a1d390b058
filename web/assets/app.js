// The start page: live figures, the topic playground, snippets. Each part stands alone in its own module.
import { mountFeed } from "./feed.js";
import { mountLive } from "./live.js";
import { Pane } from "./pane.js";
import { mountSnippets } from "./snippets.js";

const TOPIC = "lobby";

mountLive(document.getElementById("live"), document.getElementById("health"));
mountFeed(document.getElementById("feed"));
mountSnippets(document.getElementById("snippets"));

const people = [
  { name: "Alice", topic: TOPIC, payload: '{"text":"Hello, Bob!"}' },
  { name: "Bob", topic: TOPIC, payload: '{"text":"Hello, Alice!"}' },
];
document.getElementById("panes").replaceChildren(...people.map((person) => new Pane(person).element));
