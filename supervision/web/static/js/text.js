/** How formulas, temperatures and probabilities are written. */

import { el } from "./dom.js";

const FORMULA = /^(?:[A-Z][a-z]?(?:\d+(?:\.\d+)?)?)+$/;
const PART = /([A-Z][a-z]?)([\d.]*)/g;
const WIDE = 10; // K; temperatures whose interval is wider have no decimals
export const UNKNOWN = "–";

/**
 * A formula with its amounts as subscripts, those of 1 left out, that a line breaks before an
 * element; any other text as it is.
 * @param {string} text
 * @returns {DocumentFragment}
 */
export function formula(text) {
  const fragment = document.createDocumentFragment();
  for (const [symbol, amount] of parts(text)) {
    fragment.append(el("wbr"), symbol, ...(amount ? [el("sub", {}, amount)] : []));
  }
  return fragment;
}

/** A formula without amounts of 1, for labels that have no markup. */
export const plainFormula = (text) => parts(text).flat().join("");

/** How many decimals of an answer's temperatures mean something. */
export const decimals = (row) =>
  row.tc_upper !== null && row.tc_upper - row.tc_lower < WIDE ? 1 : 0;

/** A temperature to so many decimals, without unit; a dash for null. */
export const kelvin = (value, places) => (value === null ? UNKNOWN : value.toFixed(places));

/** The interval of an answer, "0 to 57 K"; a dash where it has none. */
export function interval(row) {
  if (row.tc_upper === null) return UNKNOWN;
  const places = decimals(row);
  return `${kelvin(row.tc_lower, places)} to ${kelvin(row.tc_upper, places)} K`;
}

/** A measured Tc; 0 means that none was reported. */
export const reported = (tc) => (tc > 0 ? `${Number(tc.toPrecision(3))} K` : "none reported");

/** A probability in per cent; a dash for null. */
export const percent = (p) => (p === null ? UNKNOWN : `${Math.round(100 * p)}%`);

/** "1 file", "3 files". */
export const counted = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

function parts(text) {
  if (!FORMULA.test(text)) return [[text, ""]];
  return [...text.matchAll(PART)].map(([, symbol, x]) => [symbol, x === "1" ? "" : x]);
}
