/** Answers as a CSV table. */

const COLUMNS = [
  "name", "formula", "atoms", "is_disordered", "tc_kelvin", "tc_lower", "tc_upper",
  "p_superconducting", "p_above_10", "p_above_20", "p_above_40", "domain", "domain_error",
  "nearest", "members", "remarks", "model_version", "error",
];
const COMMAND = /^[=+\-@\t\r]/; // a spreadsheet would run a text that begins so

/**
 * A line of names, then a line for each answer; nested values are JSON, null is empty.
 * @param {object[]} rows answers of the server
 * @returns {string}
 */
export function csv(rows) {
  const lines = rows.map((row) => COLUMNS.map((column) => cell(row[column])));
  return [COLUMNS, ...lines].map((cells) => cells.join(",") + "\r\n").join("");
}

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "object") return quoted(JSON.stringify(value));
  if (typeof value !== "string") return String(value);
  return quoted(COMMAND.test(value) ? `'${value}` : value);
}

const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
