/** Answers as a CSV table. */

import { column, neighbourAsSent, quantity } from "./quantity.js";

const COLUMNS = [
  "name", "formula", "atoms", "is_disordered", "tc_kelvin", "tc_lower", "tc_upper",
  "p_superconducting", "p_above_10", "p_above_20", "p_above_40", "domain", "domain_error",
  "nearest", "members", "remarks", "model_version", "error",
];
const TC_ONLY = ["p_superconducting", "p_above_10", "p_above_20", "p_above_40"];
const COMMAND = /^[=+\-@\t\r]/; // a spreadsheet would run a text that begins so

/**
 * A line of names, then a line for each answer; nested values are JSON, null is empty.
 * @param {object[]} rows answers of the server
 * @returns {string}
 */
export function csv(rows) {
  const columns = quantity.is_tc
    ? COLUMNS
    : [...COLUMNS.filter((name) => !TC_ONLY.includes(name)).map(column), "unit"];
  const sent = rows.map((row) => ({ ...row, nearest: row.nearest?.map(neighbourAsSent) }));
  const lines = sent.map((row) => columns.map((name) => cell(row[name])));
  return [columns, ...lines].map((cells) => cells.join(",") + "\r\n").join("");
}

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "object") return quoted(JSON.stringify(value));
  if (typeof value !== "string") return String(value);
  return quoted(COMMAND.test(value) ? `'${value}` : value);
}

const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
