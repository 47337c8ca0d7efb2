/** The axis of values: a square-root one of Tc, a linear one of another quantity. */

import { quantity } from "./quantity.js";
import { temperatureAxis } from "./temperature_axis.js";

const MARGIN = 0.05; // of the range, on both sides
const MOST_TICKS = 8;
const STEPS = [1, 2, 5, 10]; // between ticks, times a power of ten

/**
 * @param {number[]} shown values that must be on it
 * @param {number} start pixels of its beginning
 * @param {number} end pixels of its end
 * @returns {{at: (value: number) => number, ticks: number[]}} the pixels of a value, and the values
 *   to name
 */
export const valueAxis = (shown, start, end) =>
  (quantity.is_tc ? temperatureAxis : linearAxis)(shown, start, end);

function linearAxis(shown, start, end) {
  const known = shown.filter(Number.isFinite);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const margin = MARGIN * (high - low) || 1;
  const [from, to] = [low - margin, high + margin];
  const at = (value) => start + ((end - start) * (value - from)) / (to - from);
  const power = 10 ** Math.floor(Math.log10((to - from) / MOST_TICKS));
  const step = power * STEPS.find((factor) => (to - from) / (power * factor) <= MOST_TICKS);
  const first = Math.ceil(from / step);
  const count = Math.floor(to / step) - first + 1;
  const ticks = Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(6)));
  return { at, ticks };
}
