/** The page of one crystal: each part of it shows its share of the answer. */

import { CrystalPanel } from "./crystal_panel.js";
import { byId } from "./dom.js";
import { KnownTable } from "./known_table.js";
import { quantity } from "./quantity.js";
import { Reasons } from "./reasons.js";
import { Substitution } from "./substitution.js";
import { TcPanel, showHeading } from "./tc_panel.js";
import { showViews } from "./views_panel.js";

export class AnswerView {
  /** @param {(input: {name: string, text: string}) => void} use takes a crystal with a substitution */
  constructor(use) {
    this.section = byId("answer");
    this.tc = new TcPanel();
    this.known = new KnownTable();
    this.crystal = new CrystalPanel();
    this.substitution = new Substitution(use);
    this.reasons = new Reasons();
  }

  /**
   * The answer alone; what is drawn of the crystal follows, where it has a structure.
   * @param {{name: string, text?: string}} input
   * @param {object} row
   */
  showAnswer(input, row) {
    this.section.hidden = false;
    const hasStructure = input.text !== undefined;
    for (const part of this.section.querySelectorAll(".needs-structure")) part.hidden = !hasStructure;
    byId("formula-only").hidden = hasStructure;
    this.section.setAttribute("aria-busy", hasStructure);
    showHeading(input, row);
    this.#showNearest(row, row.nearest);
    if (hasStructure) this.reasons.show(input);
  }

  /** Atoms, images, the family, and what can be substituted. */
  async showCrystal(input, row, crystal) {
    this.section.setAttribute("aria-busy", "false");
    showHeading(input, row, crystal);
    this.showFamily(row, crystal.known);
    showViews(crystal.views);
    if (quantity.is_tc) this.substitution.show(input, crystal);
    await this.crystal.show(crystal);
  }

  /** The family of a formula. */
  showFamily(row, known) {
    this.#showNearest(row, known.length ? known : row.nearest);
  }

  /** What cannot be drawn is left out. */
  withoutCrystal() {
    this.section.setAttribute("aria-busy", "false");
    for (const part of this.section.querySelectorAll(".needs-structure")) part.hidden = true;
  }

  #showNearest(row, known) {
    this.tc.show(row, known);
    this.known.show(known);
  }
}
