/** A predicted Tc with its interval, against the measured Tc of known materials. */

import { drawAtWidth, el, svg } from "./dom.js";
import { quantity, withUnit } from "./quantity.js";
import { valueAxis } from "./value_axis.js";
import { counted, decimals, formula, isUnreported, kelvin, plainFormula, reported } from "./text.js";

const HEIGHT = 250;
const TOP = 30; // pixels above the plot, for the predicted Tc
const BASE = HEIGHT - 40; // the axis
const NONE_WIDTH = 84; // for materials of which no Tc is reported
const RADII = [5, 4, 3.2, 2.6]; // of dots; the first with which they fit, or the last, overlapping
const REACH = 24; // pixels from a pointer to the dot that it names
const HINT = "Point at a dot, or move with the arrow keys, to name a material.";

/**
 * @typedef {{formula: string, tc_kelvin: number, distance: number}} Known
 */

/** The scale in an element of the page. */
export class Scale {
  /** @param {HTMLElement} host */
  constructor(host) {
    this.plot = el("div", { class: "plot" });
    this.readout = el("p", { class: "readout", "aria-live": "polite" });
    host.append(this.plot, this.readout);
    drawAtWidth(this.plot, (width) => this.#draw(width));
  }

  /**
   * @param {object} row the answer
   * @param {Known[]} known materials of its family
   */
  show(row, known) {
    this.row = row;
    this.known = [...known].sort((a, b) => a.tc_kelvin - b.tc_kelvin);
    const hint = known.length ? HINT : "No measured material of its family is known.";
    this.readout.replaceChildren(hint);
    if (this.width) this.#draw(this.width);
  }

  #draw(width) {
    this.width = width;
    if (!this.row) return;
    const { row, known } = this;
    const none = known.filter((material) => isUnreported(material.tc_kelvin)).length;
    const start = none ? NONE_WIDTH + 16 : 14;
    const shown = [row.tc_kelvin, row.tc_lower, row.tc_upper, ...known.map((material) => material.tc_kelvin)];
    const axis = valueAxis(shown, start, width - 16);
    const drawing = svg(
      "svg",
      { width, height: HEIGHT, role: "group", "aria-label": this.#summary(none) },
      ...this.#interval(axis),
      ...this.#axis(axis, start, width),
      ...(none ? noneReported(none) : []),
      this.#dots(axis),
      ...this.#prediction(axis, width),
    );
    this.plot.replaceChildren(drawing);
  }

  #summary(none) {
    const { row, known } = this;
    const places = decimals(row);
    const unit = quantity.is_tc ? "kelvin" : quantity.unit;
    const bounds = row.tc_upper === null ? "" :
      `, 90% interval ${kelvin(row.tc_lower, places)} to ${kelvin(row.tc_upper, places)} ${unit}`;
    const unreported = quantity.is_tc ? `, ${none} without a reported Tc` : "";
    return (
      `Scale of ${quantity.is_tc ? "temperature" : quantity.symbol}: predicted ${quantity.symbol} ` +
      `${kelvin(row.tc_kelvin, places)} ${unit}${bounds}; ` +
      `${counted(known.length, "known material")} of its family${unreported}`
    );
  }

  #interval(axis) {
    const { tc_lower: low, tc_upper: high } = this.row;
    if (high === null) return [];
    const x = axis.at(low);
    const width = axis.at(high) - x;
    return [svg("rect", { class: "interval", x, y: TOP, width, height: BASE - TOP, rx: 3 })];
  }

  #axis(axis, start, width) {
    const ticks = axis.ticks.flatMap((tick) => {
      const x = axis.at(tick);
      return [
        svg("line", { class: "tick", x1: x, x2: x, y1: BASE, y2: BASE + 5 }),
        svg("text", { x, y: BASE + 19, "text-anchor": "middle" }, String(tick)),
      ];
    });
    const title = quantity.label;
    return [
      svg("line", { class: "axis", x1: start - 6, x2: width - 6, y1: BASE, y2: BASE }),
      ...ticks,
      svg("text", { x: width - 6, y: BASE + 36, "text-anchor": "end" }, title),
    ];
  }

  #prediction(axis, width) {
    const x = axis.at(this.row.tc_kelvin);
    const anchor = x < 60 ? "start" : x > width - 60 ? "end" : "middle";
    const label = `predicted ${withUnit(kelvin(this.row.tc_kelvin, decimals(this.row)))}`;
    return [
      svg("line", { class: "predicted", x1: x, x2: x, y1: TOP - 6, y2: BASE }),
      svg("path", { class: "predicted-mark", d: `M${x} ${BASE}l-6 9h12z` }),
      svg("text", { class: "predicted-label", x, y: TOP - 13, "text-anchor": anchor }, label),
    ];
  }

  /** The dots: one of them is in the tab order, arrow keys go to the others. */
  #dots(axis) {
    const x = this.known.map(({ tc_kelvin: tc }) => (isUnreported(tc) ? null : axis.at(tc)));
    const { radius, places } = swarm(x);
    this.places = places;
    this.circles = this.known.map((material, i) =>
      svg("circle", {
        class: isUnreported(material.tc_kelvin) ? "known none" : "known",
        cx: places[i][0], cy: places[i][1], r: radius,
        style: `--near: ${nearness(material.distance)}`,
        tabindex: i === nearest(this.known) ? 0 : -1,
        role: "img",
        "aria-label": named(material),
      }));
    this.circles.forEach((circle, i) => circle.addEventListener("focus", () => this.#name(i)));
    const group = svg("g", { class: "dots" }, ...this.circles);
    group.addEventListener("keydown", (event) => this.#move(event));
    this.plot.onpointermove = this.plot.onclick = (event) => this.#point(event);
    return group;
  }

  #move(event) {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    const to = this.circles[this.circles.indexOf(document.activeElement) + step];
    if (!to) return;
    event.preventDefault();
    this.circles.forEach((circle) => circle.setAttribute("tabindex", circle === to ? 0 : -1));
    to.focus();
  }

  #point(event) {
    const box = this.plot.getBoundingClientRect();
    const distance = ([x, y]) => Math.hypot(x - event.clientX + box.left, y - event.clientY + box.top);
    const found = least(this.places.map(distance));
    if (found >= 0 && distance(this.places[found]) < REACH) this.#name(found);
  }

  #name(i) {
    const material = this.known[i];
    this.circles.forEach((circle, j) => circle.classList.toggle("active", i === j));
    const { tc_kelvin: tc, distance } = material;
    const said = quantity.is_tc ? `measured ${reported(tc)}` : reported(tc);
    this.readout.replaceChildren(
      el("strong", {}, formula(material.formula)),
      `: ${isUnreported(tc) ? "no Tc reported" : said}, ${distance.toFixed(3)} away`,
    );
  }
}

function noneReported(count) {
  const middle = 4 + NONE_WIDTH / 2;
  return [
    svg("line", { class: "axis", x1: 6, x2: NONE_WIDTH, y1: BASE, y2: BASE }),
    svg("text", { x: middle, y: BASE + 19, "text-anchor": "middle" }, "none"),
    svg("text", { x: middle, y: BASE + 34, "text-anchor": "middle" }, `reported (${count})`),
  ];
}

/** Places of dots that do not hide each other, stacked on the axis; x is null for those apart. */
function swarm(x) {
  for (const radius of RADII) {
    const pitch = 2 * radius + 1;
    const places = stacked(x, pitch);
    const room = (BASE - TOP) / pitch / (1 + Math.max(0, ...places.map(([, level]) => level)));
    if (room < 1 && radius !== RADII.at(-1)) continue;
    const height = pitch * Math.min(1, room);
    return { radius, places: places.map(([at, level]) => [at, BASE - height * (level + 0.6)]) };
  }
}

/** The x of each dot, and its level, counted from the axis. */
function stacked(x, pitch) {
  const perRow = Math.floor((NONE_WIDTH - 8) / pitch);
  const last = []; // the x of the last dot of each level
  let none = 0;
  return x.map((at) => {
    if (at === null) {
      const place = [8 + pitch * ((none % perRow) + 0.5), Math.floor(none / perRow)];
      none++;
      return place;
    }
    const free = last.findIndex((before) => at - before >= pitch);
    const level = free < 0 ? last.length : free;
    last[level] = at;
    return [at, level];
  });
}

/** How strong the colour of a dot is, 0.35 to 1: the nearest materials are the strongest. */
const nearness = (distance) => (0.35 + 0.65 * Math.exp(-distance / 0.05)).toFixed(2);

const named = ({ formula: text, tc_kelvin: tc, distance }) =>
  `${plainFormula(text)}, ${reported(tc)}, distance ${distance.toFixed(3)}`;

const nearest = (known) => least(known.map((material) => material.distance));

const least = (values) => values.reduce((best, v, i) => (best < 0 || v < values[best] ? i : best), -1);
