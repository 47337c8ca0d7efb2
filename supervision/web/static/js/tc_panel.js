/** The answer for one crystal: Tc, interval, what it is based on, probabilities, remarks. */

import { byId, el } from "./dom.js";
import { quantity, withUnit } from "./quantity.js";
import { Scale } from "./scale.js";
import { UNKNOWN, decimals, formula, interval, kelvin, percent } from "./text.js";

const DOMAINS = {
  known: "The model has learned from this material or from its next doping (within 0.02 in " +
    "composition), so that this may be little more than the reported value.",
  series: "The model has learned from other dopings of this compound (within 0.2 in composition).",
  "new family": "Nothing that the model has learned from is within 0.2 in composition: a guess " +
    "from other compounds.",
  "new elements": "It has an element that nothing the model has learned from had: treat this with " +
    "the greatest care.",
};
const ERROR_PLACES = quantity.is_tc ? 1 : 3;
const CHANCES = {
  p_superconducting: "a reported Tc",
  p_above_10: "Tc > 10 K",
  p_above_20: "Tc > 20 K",
  p_above_40: "Tc > 40 K",
};

export class TcPanel {
  constructor() {
    this.scale = new Scale(byId("scale"));
  }

  /**
   * @param {object} row the answer
   * @param {object[]} known materials of its family with their measured Tc
   */
  show(row, known) {
    const places = decimals(row);
    byId("tc").replaceChildren(kelvin(row.tc_kelvin, places), el("span", { class: "unit" }, ` ${quantity.unit}`));
    byId("interval").textContent = interval(row);
    this.scale.show(row, known);
    showDomain(row);
    byId("chances").replaceChildren(...Object.entries(CHANCES).flatMap(([key, name]) =>
      bar(name, row[key])));
    const members = Object.entries(row.members ?? {});
    byId("members").hidden = members.length === 0;
    byId("members-list").replaceChildren(...members.flatMap(([name, tc]) =>
      [el("dt", {}, name), el("dd", {}, tc === null ? "needs a structure" : withUnit(kelvin(tc, places)))]));
    byId("remarks").replaceChildren(...row.remarks.map((remark) => el("li", {}, remark)));
    byId("answered-by").textContent = row.model_version ? `Answered by ${row.model_version}.` : "";
  }
}

/** Name of a crystal, its formula, and what kind of structure it is. */
export function showHeading(input, row, crystal) {
  byId("answer-title").replaceChildren(formula(row.formula));
  byId("answer-name").textContent = input.name === row.formula ? "" : input.name;
  const facts = [
    crystal?.space_group,
    row.atoms ? `${row.atoms} atom${row.atoms === 1 ? "" : "s"} in the cell` : "formula alone",
    row.is_disordered ? "disordered" : "",
  ];
  byId("answer-facts").replaceChildren(...facts.filter(Boolean).map((fact) => el("li", {}, fact)));
}

function showDomain(row) {
  byId("domain").hidden = !row.domain;
  byId("domain-label").textContent = row.domain;
  byId("domain-label").dataset.domain = row.domain;
  const error = row.domain_error === null ? "" :
    ` On such materials the model is off by ${withUnit(row.domain_error.toFixed(ERROR_PLACES))} on average.`;
  byId("domain-text").textContent = (DOMAINS[row.domain] ?? "") + error;
}

function bar(name, p) {
  const width = p === null ? 0 : 100 * p;
  return [
    el("dt", {}, name),
    el("dd", {},
      el("span", { class: "bar", "aria-hidden": "true" }, el("i", { style: `width: ${width}%` })),
      el("span", { class: "percent" }, p === null ? UNKNOWN : percent(p))),
  ];
}
