/** How formulas, temperatures and probabilities are written. */

import { el } from "./dom.js";
import { quantity, withUnit } from "./quantity.js";

const FORMULA = /^(?:[A-Z][a-z]?(?:\d+(?:\.\d+)?)?)+$/;
const PART = /([A-Z][a-z]?)([\d.]*)/g;
const MOST_DECIMALS = 4;
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

/**
 * How many decimals of an answer's values mean something: of Tc as its interval is wide, of another
 * quantity so many that the interval has two digits or, without one, the value three.
 */
export function decimals(row) {
  const width = row.tc_upper === null ? null : row.tc_upper - row.tc_lower;
  if (quantity.is_tc) return width !== null && width < WIDE ? 1 : 0;
  const [size, digits] = width === null ? [Math.abs(row.tc_kelvin), 3] : [width, 2];
  const places = size > 0 ? digits - 1 - Math.floor(Math.log10(size)) : digits - 1;
  return Math.min(Math.max(0, places), MOST_DECIMALS);
}

/** A value to so many decimals, without unit; a dash for null. */
export const kelvin = (value, places) => (value === null ? UNKNOWN : value.toFixed(places));

/** The interval of an answer, "0 to 57 K"; a dash where it has none. */
export function interval(row) {
  if (row.tc_upper === null) return UNKNOWN;
  const places = decimals(row);
  return withUnit(`${kelvin(row.tc_lower, places)} to ${kelvin(row.tc_upper, places)}`);
}

/** Whether a value of a known material is a Tc of 0, which means that none was reported. */
export const isUnreported = (value) => quantity.is_tc && value <= 0;

/** The value of a known material. */
export const reported = (value) =>
  isUnreported(value) ? "none reported" : withUnit(String(Number(value.toPrecision(3))));

/** A probability in per cent; a dash for null. */
export const percent = (p) => (p === null ? UNKNOWN : `${Math.round(100 * p)}%`);

/** "1 file", "3 files". */
export const counted = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

function parts(text) {
  if (!FORMULA.test(text)) return [[text, ""]];
  return [...text.matchAll(PART)].map(([, symbol, x]) => [symbol, x === "1" ? "" : x]);
}
