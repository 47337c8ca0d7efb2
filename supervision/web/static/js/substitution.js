/** Replacing one element of the crystal by another: the curve, the slider, the new crystal. */

import { RequestError, series, substitute } from "./api.js";
import { byId, el } from "./dom.js";
import { download } from "./download.js";
import { SeriesChart } from "./series_chart.js";
import { counted, decimals, formula, interval, kelvin } from "./text.js";

export class Substitution {
  /** @param {(input: {name: string, text: string}) => void} use takes the new crystal */
  constructor(use) {
    this.chart = new SeriesChart(byId("series-chart"));
    [this.host, this.dopant] = [byId("host"), byId("dopant")];
    this.slider = byId("fraction");
    this.allElements = [...this.dopant.querySelectorAll("option[value]")];
    this.host.addEventListener("change", () => (this.#fillDopants(), this.#load()));
    this.dopant.addEventListener("change", () => this.#load());
    this.slider.addEventListener("input", () => this.#follow());
    byId("use-crystal").addEventListener("click", () => this.#made(use));
    byId("download-cif").addEventListener("click", () =>
      this.#made(({ name, text }) => download(`${name}.cif`, text, "chemical/x-cif")));
  }

  /** Offer the substitutions of a crystal; the first mixed pair is shown at once. */
  show(input, crystal) {
    this.input = input;
    this.pairs = crystal.substitutions;
    const present = crystal.sites.flatMap(({ species }) => species.map(({ symbol }) => symbol));
    const hosts = new Set([...this.pairs.map(({ host }) => host), ...present]);
    this.host.replaceChildren(...[...hosts].map((symbol) => el("option", {}, symbol)));
    this.#fillDopants();
    this.#load();
  }

  /** The elements mixed with the host come first; the page has brought the menu of all. */
  #fillDopants() {
    const host = this.host.value;
    const mixed = this.pairs.filter((pair) => pair.host === host).map((pair) => pair.dopant);
    const others = this.allElements.filter((option) => option.value && option.value !== host);
    this.dopant.replaceChildren(
      el("option", { value: "" }, "choose an element"),
      ...(mixed.length ? [el("optgroup", { label: `mixed with ${host}` },
        ...mixed.map((symbol) => el("option", { value: symbol }, symbol)))] : []),
      el("optgroup", { label: "all elements" }, ...others.map((option) => option.cloneNode(true))),
    );
    this.dopant.value = mixed[0] ?? "";
  }

  async #load() {
    this.request?.abort();
    byId("series").hidden = true;
    this.#say("");
    if (!this.dopant.value) {
      this.#say("Choose an element to see how Tc changes as it takes the place of another.");
      return;
    }
    const { signal } = (this.request = new AbortController());
    this.#say("Predicting the series…");
    try {
      const found = await series(this.input, this.host.value, this.dopant.value, signal);
      this.#say("");
      this.#showSeries(found);
    } catch (error) {
      this.#fail(error);
    }
  }

  #showSeries(found) {
    this.series = found;
    byId("series").hidden = false;
    byId("fraction-label").textContent = `Fraction of ${found.dopant} on the sites of ${found.host}`;
    const measured = counted(found.measured.length, "measured material");
    byId("series-model").textContent = `By the model ${found.model}; ${measured} on the series.`;
    this.slider.value = found.fraction;
    this.chart.show(found);
    this.#follow();
  }

  /** Show the point at the slider. */
  #follow() {
    const share = Number(this.slider.value);
    const away = (point) => Math.abs(point.fraction - share);
    const point = this.series.points.reduce((best, p) => (away(p) < away(best) ? p : best));
    this.point = point;
    const tc = `${kelvin(point.tc_kelvin, decimals(point))} K`;
    this.slider.setAttribute("aria-valuetext", `${point.fraction}, ${point.formula}, ${tc}`);
    byId("point-fraction").textContent = point.fraction.toFixed(3);
    byId("point-formula").replaceChildren(formula(point.formula));
    byId("point-tc").textContent = tc;
    byId("point-interval").textContent = interval(point);
    byId("point-domain").textContent = point.domain;
    this.chart.mark(point);
  }

  /** Have the crystal at the slider made, and hand it on. */
  async #made(then) {
    const { host, dopant } = this.series;
    const { signal } = (this.request = new AbortController());
    try {
      then(await substitute(this.input, { host, dopant, fraction: this.point.fraction }, signal));
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof RequestError)) throw error;
    this.#say("");
    byId("series-error").textContent = error.message;
  }

  #say(text) {
    byId("series-status").textContent = text;
    byId("series-error").textContent = "";
  }
}
