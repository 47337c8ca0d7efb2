/** A square-root axis of temperatures: the same relative detail at 2 K and at 100 K. */

const TICKS = [0, 1, 5, 10, 20, 40, 60, 90, 130, 200, 300]; // K
const LEAST_TOP = 10; // K; the axis does not end below it
const MARGIN = 1.05;

/**
 * @param {number[]} shown temperatures in kelvin that must be on it
 * @param {number} start pixels at 0 K
 * @param {number} end pixels at the highest temperature
 * @returns {{at: (kelvin: number) => number, ticks: number[]}} the pixels of a temperature, and
 *   the temperatures to name
 */
export function temperatureAxis(shown, start, end) {
  const top = Math.max(LEAST_TOP, ...shown.filter(Number.isFinite)) * MARGIN;
  const at = (kelvin) => start + (end - start) * Math.sqrt(Math.max(kelvin, 0) / top);
  return { at, ticks: TICKS.filter((tick) => tick <= top) };
}
