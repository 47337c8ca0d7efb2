/** The crystal in three dimensions, with its elements and its sites as text. */

import { byId, el } from "./dom.js";
import { formula, plainFormula } from "./text.js";

const NO_WEBGL = "This browser has no WebGL, so that the crystal is not drawn; its sites are below.";

export class CrystalPanel {
  constructor() {
    this.canvas = byId("crystal-canvas");
    byId("zoom-in").addEventListener("click", () => this.viewer.zoom(1.25));
    byId("zoom-out").addEventListener("click", () => this.viewer.zoom(0.8));
    byId("zoom-reset").addEventListener("click", () => this.viewer.reset());
  }

  /** Draw a crystal as the server describes it. */
  async show(crystal) {
    const sites = crystal.sites.map(({ count, label }) => `${count} ${plainFormula(label)}`);
    this.canvas.setAttribute("aria-label",
      `Crystal structure of ${plainFormula(crystal.formula)} in three dimensions; sites: ` +
      `${sites.join(", ")}. Arrow keys rotate, plus and minus zoom, Home resets.`);
    byId("elements").replaceChildren(...legend(crystal));
    byId("sites").replaceChildren(...crystal.sites.map(({ count, label }) =>
      el("li", {}, `${count} × `, formula(label))));
    await this.#start();
    this.viewer?.show(crystal);
  }

  /** three.js is loaded for the first crystal; one WebGL context draws all. */
  async #start() {
    if (this.viewer || this.isUnavailable) return;
    const { CrystalViewer } = await import("./crystal3d.js");
    try {
      this.viewer ??= new CrystalViewer(this.canvas);
    } catch {
      this.isUnavailable = true;
      byId("crystal-stage").replaceChildren(el("p", { class: "soft" }, NO_WEBGL));
    }
  }
}

function legend({ sites }) {
  const colours = new Map(sites.flatMap((site) =>
    site.species.map(({ symbol, colour }) => [symbol, colour])));
  const entries = [...colours].map(([symbol, colour]) =>
    el("li", {}, el("i", { class: "swatch", style: `background: ${colour}` }), symbol));
  if (sites.some((site) => site.vacancy)) {
    entries.push(el("li", {}, el("i", { class: "swatch vacant" }), "vacancy"));
  }
  return entries;
}
