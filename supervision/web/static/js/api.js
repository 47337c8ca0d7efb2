/** Requests to the server. A failure is a RequestError whose message is one sentence. */

import { asFields } from "./quantity.js";

const MAX_TRIES = 30; // of a server that is busy
const CSV_ROWS = 1000; // of a request, some 2 MB
const BUSY_SECONDS = 2; // before it is asked again, where it does not say
const UNREACHABLE = "The server does not answer; check that it still runs, then try again.";

export class RequestError extends Error {}

/**
 * The answers for structures, a row each, in their order.
 * @param {{name: string, text?: string, formula?: string}[]} inputs all with a text, or all without
 * @param {AbortSignal} signal
 * @returns {Promise<object[]>}
 */
export async function predict(inputs, signal) {
  const records = inputs.map(({ name, text, formula }) =>
    text === undefined ? { id: name, formula } : { id: name, cif: text },
  );
  const body = { dataframe_records: records, params: { strict: false } };
  return (await (await post("/predict", body, signal)).json()).predictions.map(asFields);
}

/** What is drawn of a crystal: atoms, bonds, images, known materials of its family. */
export const crystal = async (input, signal) => (await about("/crystal", input, {}, signal)).json();

/** The known materials of the family of a formula. */
export const family = async (formula, signal) =>
  (await (await post("/family", { formula }, signal)).json()).known;

/** Answers as a CSV table, as the command `predict --out` writes them. */
export async function csv(rows) {
  const tables = [];
  for (let i = 0; i === 0 || i < rows.length; i += CSV_ROWS) {
    const table = await (await post("/csv", { rows: rows.slice(i, i + CSV_ROWS) })).text();
    tables.push(i === 0 ? table : table.slice(table.indexOf("\n") + 1)); // one line of names
  }
  return tables.join("");
}

/** Tc as one element replaces another. */
export const series = async (input, host, dopant, signal) =>
  (await about("/series", input, { host, dopant }, signal)).json();

/** The crystal with a fraction of one element replaced: its name and CIF text. */
export const substitute = async (input, change, signal) =>
  (await about("/substitute", input, change, signal)).json();

/** The reasons for a Tc, as an HTML page. */
export const explain = async (input, signal) => (await about("/explain", input, {}, signal)).text();

/** An example: its name and CIF text. */
export const example = async (id, signal) =>
  (await request(`/examples/${encodeURIComponent(id)}`, { signal })).json();

const about = (path, { name, text }, more, signal) => post(path, { name, text, ...more }, signal);

const post = (path, body, signal) =>
  request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });

async function request(path, options) {
  for (let tries = 1; ; tries++) {
    const response = await reached(path, options);
    if (response.ok) return response;
    if (response.status !== 503 || tries === MAX_TRIES) throw await refusal(response);
    await pause(Number(response.headers.get("Retry-After")) || BUSY_SECONDS, options.signal);
  }
}

async function reached(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestError(UNREACHABLE);
  }
}

async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  return new RequestError(body.error || `The server refused this (${response.status}).`);
}

const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)));
  });
