/** Tc against the fraction of a dopant: predicted with its interval, and measured. */

import { drawAtWidth, svg } from "./dom.js";
import { plainFormula, reported } from "./text.js";

const HEIGHT = 300;
const LEFT = 44;
const RIGHT = 14;
const TOP = 14;
const BASE = HEIGHT - 46;
const FRACTIONS = [0, 0.25, 0.5, 0.75, 1];
const STEPS = [1, 2, 5, 10, 20, 50, 100]; // K, between ticks
const TICKS_AT_MOST = 6;

export class SeriesChart {
  /** @param {HTMLElement} host */
  constructor(host) {
    this.host = host;
    drawAtWidth(host, (width) => this.#draw(width));
  }

  /** @param {object} series as the server says it */
  show(series) {
    this.series = series;
    this.#draw(this.width);
  }

  /** Mark a point of the series. */
  mark(point) {
    this.point = point;
    if (!this.cursor) return;
    const [x, y] = [this.x(point.fraction), this.y(point.tc_kelvin)];
    this.cursor.setAttribute("transform", `translate(${x} 0)`);
    this.dot.setAttribute("cy", y);
  }

  #draw(width) {
    this.width = width;
    if (!this.series || !width) return;
    const { points, measured, fraction, host, dopant } = this.series;
    const highest = Math.max(
      1, ...points.map((p) => p.tc_upper ?? p.tc_kelvin), ...measured.map((m) => m.tc_kelvin),
    );
    const step = STEPS.find((s) => highest / s <= TICKS_AT_MOST) ?? STEPS.at(-1);
    const top = Math.ceil(highest / step) * step;
    this.x = (share) => LEFT + (width - LEFT - RIGHT) * share;
    this.y = (tc) => BASE - (BASE - TOP) * (Math.max(tc, 0) / top);
    this.dot = svg("circle", { class: "series-dot", r: 6 });
    this.cursor = svg("g", { class: "cursor" },
      svg("line", { y1: TOP, y2: BASE, x1: 0, x2: 0 }), this.dot);
    const title =
      `Tc in kelvin against the fraction of ${dopant} on the sites of ${host}: predicted curve ` +
      `with its 90% interval, and ${measured.length} measured materials`;
    this.host.replaceChildren(
      svg("svg", { width, height: HEIGHT, role: "img", "aria-label": title },
        ...this.#axes(width, top, step),
        ...this.#band(points),
        this.#own(fraction),
        svg("path", { class: "curve", d: line(points.map((p) => this.#at(p.fraction, p.tc_kelvin))) }),
        ...measured.map((m) => this.#measured(m)),
        this.cursor));
    if (this.point) this.mark(this.point);
  }

  #at(fraction, tc) {
    return [this.x(fraction), this.y(tc)];
  }

  #axes(width, top, step) {
    const levels = Array.from({ length: Math.round(top / step) + 1 }, (_, i) => i * step);
    const { dopant, host } = this.series;
    return [
      ...levels.flatMap((tc) => [
        svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: this.y(tc), y2: this.y(tc) }),
        svg("text", { x: LEFT - 8, y: this.y(tc) + 4, "text-anchor": "end" }, String(tc)),
      ]),
      ...FRACTIONS.map((share) =>
        svg("text", { x: this.x(share), y: BASE + 19, "text-anchor": "middle" }, String(share))),
      svg("text", { x: this.x(0.5), y: BASE + 38, "text-anchor": "middle" },
        `fraction of ${dopant} on the sites of ${host}`),
      svg("text", { x: 12, y: (TOP + BASE) / 2, "text-anchor": "middle",
        transform: `rotate(-90 12 ${(TOP + BASE) / 2})` }, "Tc (K)"),
    ];
  }

  #band(points) {
    const sure = points.filter((p) => p.tc_upper !== null);
    if (!sure.length) return [];
    const upper = sure.map((p) => this.#at(p.fraction, p.tc_upper));
    const lower = sure.map((p) => this.#at(p.fraction, p.tc_lower)).reverse();
    return [svg("path", { class: "interval", d: `${line([...upper, ...lower])}Z` })];
  }

  /** Where the crystal itself is. */
  #own(fraction) {
    const x = this.x(fraction);
    return svg("line", { class: "own", x1: x, x2: x, y1: TOP, y2: BASE });
  }

  #measured({ formula, fraction, tc_kelvin: tc }) {
    const [x, y] = this.#at(fraction, tc);
    return svg("circle", { class: tc > 0 ? "measured" : "measured none", cx: x, cy: y, r: 4 },
      svg("title", {}, `${plainFormula(formula)}: ${reported(tc)}`));
  }
}

const line = (places) => `M${places.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`;
