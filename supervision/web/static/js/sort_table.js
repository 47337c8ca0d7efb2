/** Tables that are sorted by their headers. */

import { el } from "./dom.js";

/**
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: object) => (string|number|null)} value by which it is sorted; null comes last
 * @property {(row: object) => (Node|string)} cell
 * @property {boolean} [isNumber] aligned right, and the highest comes first
 */

/** A table whose header buttons sort it. */
export class SortTable {
  /**
   * @param {HTMLTableElement} table empty but for its caption
   * @param {Column[]} columns
   * @param {{atMost?: number, onRow?: (row: object) => void, order?: [number, boolean]}} [options]
   *   atMost: rows that are shown; onRow: called with a row that is clicked; order: the column
   *   that it is sorted by at first, and whether descending
   */
  constructor(table, columns, { atMost = Infinity, onRow, order = null } = {}) {
    Object.assign(this, { columns, atMost, onRow, order, rows: [] });
    this.headers = columns.map((column, i) => this.#header(column, i));
    this.body = el("tbody");
    table.append(el("thead", {}, el("tr", {}, ...this.headers)), this.body);
  }

  /** Show these rows, in the order that the user chose. */
  show(rows) {
    this.rows = rows;
    this.headers.forEach((header, i) => {
      const sorted = this.order?.[0] === i;
      if (!sorted) header.removeAttribute("aria-sort");
      else header.setAttribute("aria-sort", this.order[1] ? "descending" : "ascending");
    });
    const shown = this.#sorted().slice(0, this.atMost);
    this.body.replaceChildren(...shown.map((row) => this.#line(row)));
  }

  #header(column, i) {
    const button = el("button", { type: "button" }, column.title);
    button.addEventListener("click", () => {
      const again = this.order?.[0] === i;
      this.order = [i, again ? !this.order[1] : Boolean(column.isNumber)];
      this.show(this.rows);
    });
    return el("th", { scope: "col", class: column.isNumber ? "number" : null }, button);
  }

  #sorted() {
    if (!this.order) return this.rows;
    const [index, descending] = this.order;
    const { value } = this.columns[index];
    return [...this.rows].sort((a, b) => compared(value(a), value(b), descending));
  }

  #line(row) {
    const line = el("tr", {}, ...this.columns.map(({ cell, isNumber }) =>
      el("td", { class: isNumber ? "number" : null }, cell(row))));
    if (this.onRow) line.addEventListener("click", () => this.onRow(row));
    return line;
  }
}

function compared(a, b, descending) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
  return descending ? -order : order;
}
