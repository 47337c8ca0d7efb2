/** Files that the page makes for its user. */

import { el } from "./dom.js";

const RELEASE_MS = 10_000; // a browser has taken the content by then
const FORBIDDEN = /[\\/:*?"<>|\u0000-\u001f]/g; // in names of files

/**
 * Let the browser save a text as a file.
 * @param {string} name
 * @param {string} text
 * @param {string} type its media type
 */
export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  el("a", { href: url, download: name.replace(FORBIDDEN, "_") }).click();
  setTimeout(() => URL.revokeObjectURL(url), RELEASE_MS);
}
