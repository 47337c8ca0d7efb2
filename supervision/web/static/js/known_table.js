/** The known materials nearest to a crystal, as a table. */

import { byId } from "./dom.js";
import { quantity } from "./quantity.js";
import { SortTable } from "./sort_table.js";
import { UNKNOWN, counted, formula, isUnreported } from "./text.js";

const AT_MOST = 200;
const VALUES = quantity.is_tc
  ? "measured Tc; a dash where none is reported"
  : `known ${quantity.symbol}`;

export class KnownTable {
  constructor() {
    this.table = new SortTable(byId("known-table"), [
      { title: "material", value: (m) => m.formula, cell: (m) => formula(m.formula) },
      { title: quantity.label, value: (m) => m.tc_kelvin, cell: (m) => measured(m.tc_kelvin), isNumber: true },
      { title: "distance", value: (m) => m.distance, cell: (m) => m.distance.toFixed(3), isNumber: true },
    ], { atMost: AT_MOST });
  }

  /** @param {{formula: string, tc_kelvin: number, distance: number}[]} known nearest first */
  show(known) {
    this.table.order = null;
    this.table.show(known);
    byId("known-count").textContent = known.length
      ? `${counted(known.length, "material")}, nearest first, with ${VALUES}.`
      : "The model knows no measured material near it.";
  }
}

const measured = (value) => (isUnreported(value) ? UNKNOWN : String(Number(value.toPrecision(3))));
