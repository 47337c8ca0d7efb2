/** Many crystals: predicted some at a time, then a table to sort and filter, and what was refused. */

import { csv, predict } from "./api.js";
import { byId, el } from "./dom.js";
import { download } from "./download.js";
import { quantity } from "./quantity.js";
import { SortTable } from "./sort_table.js";
import { counted, decimals, formula, interval, kelvin, percent } from "./text.js";

const ROWS_SHOWN = 500;
const SYMBOLS = /^([A-Z][a-z]?)([ ,]+[A-Z][a-z]?)*$/; // "La Cu": elements, of which all must be there

export class Many {
  /**
   * @param {{batch: number, characters: number}} limits of a request
   * @param {(input: object, row: object) => void} open shows one of them
   * @param {(error: Error) => void} fail says what failed
   */
  constructor(limits, open, fail) {
    this.limits = limits;
    const chance = (title, key) => ({
      title, value: ({ row }) => row[key], cell: ({ row }) => percent(row[key]), isNumber: true,
    });
    this.table = new SortTable(byId("many-table"), [
      { title: "name", value: ({ row }) => row.name, cell: ({ row }) =>
        el("button", { type: "button", class: "link name" }, row.name) },
      { title: "formula", value: ({ row }) => row.formula, cell: ({ row }) => formula(row.formula) },
      { title: quantity.label, value: ({ row }) => row.tc_kelvin, isNumber: true,
        cell: ({ row }) => el("strong", {}, kelvin(row.tc_kelvin, decimals(row))) },
      { title: "90% interval", value: ({ row }) => row.tc_upper, cell: ({ row }) => interval(row),
        isNumber: true },
      ...(quantity.is_tc
        ? [
            chance("reported", "p_superconducting"),
            chance("> 10 K", "p_above_10"),
            chance("> 20 K", "p_above_20"),
            chance("> 40 K", "p_above_40"),
          ]
        : []),
      { title: "domain", value: ({ row }) => row.domain, cell: ({ row }) => row.domain },
    ], { atMost: ROWS_SHOWN, onRow: ({ input, row }) => open(input, row), order: [2, true] });
    for (const id of ["filter-formula", "filter-tc", "filter-domain"]) {
      byId(id).addEventListener("input", () => this.#refresh());
    }
    byId("many-csv").addEventListener("click", () =>
      csv(this.job.found.map(({ row }) => row))
        .then((table) => download("predictions.csv", table, "text/csv"))
        .catch(fail));
    byId("many-cancel").addEventListener("click", () => this.job.request.abort());
  }

  /**
   * Predict all inputs; those that have an error already are refused with it.
   * @param {{name: string, text?: string, error?: string}[]} inputs
   */
  async run(inputs) {
    const asked = inputs.filter(({ error }) => !error);
    const job = {
      found: inputs.filter(({ error }) => error).map((input) => ({ input, row: input })),
      done: 0, all: asked.length, isRunning: true, request: new AbortController(),
    };
    this.show(job);
    try {
      for (const batch of batches(asked, this.limits)) {
        const rows = await predict(batch, job.request.signal);
        job.found.push(...rows.map((row, i) => ({ input: batch[i], row: { ...row, name: batch[i].name } })));
        job.done += batch.length;
        if (job === this.job) this.#refresh();
      }
    } finally {
      job.isRunning = false;
      if (job === this.job) this.#refresh();
    }
  }

  /** Show a table, that of a `job` before, and stop another one; undefined is no table. */
  show(job) {
    if (job === this.job) return;
    this.job?.request.abort();
    this.job = job;
    if (job) this.#refresh();
  }

  #progress({ done, all, isRunning }) {
    byId("many-running").hidden = !isRunning;
    byId("many-progress").max = Math.max(all, 1);
    byId("many-progress").value = done;
    byId("many-progress-text").textContent = `${done} of ${counted(all, "structure")} predicted`;
  }

  /** Show what passes the filters, and what was refused. */
  #refresh() {
    const { found, done, all, isRunning } = this.job;
    this.#progress(this.job);
    const fine = found.filter(({ row }) => !row.error);
    byId("many-answers").hidden = fine.length === 0 && !isRunning;
    const passing = fine.filter(filters());
    this.table.show(passing);
    const shown = Math.min(passing.length, ROWS_SHOWN);
    const hidden = shown < passing.length ? `; the first ${shown} are shown` : "";
    const left = isRunning || done === all ? "" : `; ${all - done} not asked.`;
    byId("many-count").textContent = `${passing.length} of ${counted(fine.length, "answer")}${hidden}${left}`;
    const refused = found.filter(({ row }) => row.error);
    byId("rejects").hidden = refused.length === 0;
    byId("rejects-title").textContent = `${counted(refused.length, "file")} without an answer`;
    byId("rejects-list").replaceChildren(...refused.map(({ row }) =>
      el("li", {}, el("span", { class: "name" }, row.name), `: ${row.error}`)));
  }
}

/** Requests of a number of rows and characters that the server takes. */
function* batches(inputs, { batch, characters }) {
  let [rows, size] = [[], 0];
  for (const input of inputs) {
    if (rows.length && (rows.length === batch || size + input.text.length > characters)) {
      yield rows;
      [rows, size] = [[], 0];
    }
    rows.push(input);
    size += input.text.length;
  }
  if (rows.length) yield rows;
}

/** Whether an answer passes the filters as they are set now. */
function filters() {
  const text = byId("filter-formula").value.trim();
  const given = byId("filter-tc").valueAsNumber;
  const least = Number.isNaN(given) ? -Infinity : given;
  const domain = byId("filter-domain").value;
  const matches = SYMBOLS.test(text) ? hasElements(text.split(/[ ,]+/)) : contains(text.toLowerCase());
  return ({ row }) =>
    row.tc_kelvin >= least && (!domain || row.domain === domain) && matches(row);
}

const hasElements = (symbols) => (row) => {
  const present = new Set(row.formula.match(/[A-Z][a-z]?/g));
  return symbols.every((symbol) => present.has(symbol));
};

const contains = (text) => (row) =>
  row.formula.toLowerCase().includes(text) || row.name.toLowerCase().includes(text);
