/** The images of a crystal that the vision model reads. */

import { byId, el } from "./dom.js";

const DIRECTION = { a: "along\u00a0a", b: "along\u00a0b", c: "along\u00a0c" };

/** @param {{name: string, image: string}[]} views named by supercell and direction, "2x2x1-a" */
export function showViews(views) {
  byId("views-list").replaceChildren(...views.map(({ name, image }) => {
    const [cells, direction] = name.split("-");
    const seen = DIRECTION[direction] ?? "in a random direction";
    const caption = `${cells.replaceAll("x", " × ")} cells, ${seen}`;
    return el("li", {}, el("figure", {},
      el("img", { src: image, width: 224, height: 224, alt: `The crystal, ${caption}` }),
      el("figcaption", {}, caption)));
  }));
}
