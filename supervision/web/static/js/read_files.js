/** Files that a user chose or dropped, as texts. */

import { counted } from "./text.js";

/**
 * The texts of files; one that cannot be read has an error instead, one sentence.
 * @param {Iterable<File>} files
 * @param {number} characters that a text may have at most
 * @returns {Promise<{name: string, text?: string, error?: string}[]>}
 */
export const readFiles = (files, characters) =>
  Promise.all([...files].map((file) => readFile(file, characters)));

async function readFile(file, characters) {
  const { name } = file;
  if (file.size > characters) return { name, error: tooLong(file.size, characters) };
  try {
    const text = await file.text();
    return text.includes("\0") ? { name, error: "It is not a text file." } : { name, text };
  } catch {
    return { name, error: "It cannot be read; is it a folder? Choose the files in it instead." };
  }
}

const tooLong = (size, characters) =>
  `It has ${counted(size, "byte")}; a file may have ${characters.toLocaleString("en")}.`;
