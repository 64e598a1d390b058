// A sparkline: the last minute of one figure as an SVG area. Decoration only; the figure stands beside it as text.
import { svg } from "./dom.js";

const SAMPLES = 60;
const WIDTH = 120;
const HEIGHT = 32;

export class Spark {
  #values = [];
  #line = svg("polyline", { class: "spark-line", "vector-effect": "non-scaling-stroke" });
  #area = svg("polygon", { class: "spark-area" });

  constructor() {
    this.element = svg(
      "svg",
      { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      this.#area,
      this.#line,
    );
  }

  /** Appends one sample and redraws; the scale follows the largest sample shown. */
  push(value) {
    this.#values.push(value);
    if (this.#values.length > SAMPLES) this.#values.shift();
    const top = Math.max(1, ...this.#values);
    const step = WIDTH / (SAMPLES - 1);
    const start = WIDTH - (this.#values.length - 1) * step;
    const points = this.#values.map((v, i) => {
      const y = HEIGHT - 2 - (v / top) * (HEIGHT - 4);
      return `${(start + i * step).toFixed(1)},${y.toFixed(1)}`;
    });
    this.#line.setAttribute("points", points.join(" "));
    this.#area.setAttribute("points", `${start.toFixed(1)},${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`);
  }
}
