/** The page: what the user gives -> one answer, or a table of many. */

import { AnswerView } from "./answer_view.js";
import { RequestError, crystal, example, predict } from "./api.js";
import { byId, el } from "./dom.js";
import { Many } from "./many.js";
import { readFiles } from "./read_files.js";
import { formula } from "./text.js";

const limits = {
  batch: Number(document.body.dataset.batch),
  characters: Number(document.body.dataset.characters),
};
const view = new AnswerView((input) => run((request) => answerOne(input, request)));
const many = new Many(limits, (input, row) => run((request) => answerOne(input, request, row)));
let current = new AbortController(); // of what the page waits for, besides a table

/** Do one thing, and no longer what was done before; a failure is shown as one sentence. */
async function run(task, status = "Predicting…") {
  current.abort();
  const request = (current = new AbortController());
  say(status);
  try {
    await task(request);
  } catch (error) {
    if (error.name === "AbortError") return;
    byId("alert").textContent =
      error instanceof RequestError ? error.message : `The page failed: ${error.message}`;
    if (!(error instanceof RequestError)) throw error;
  } finally {
    if (request === current) byId("status").textContent = "";
  }
}

/** Show the answer for one crystal; a row that is known already is not asked for again. */
async function answerOne(input, { signal }, row) {
  row ??= (await predict([input], signal))[0];
  if (row.error) throw new RequestError(`${input.name}: ${row.error}`);
  showOnly("answer");
  byId("back").hidden = !many.found;
  view.showAnswer(input, row);
  byId("answer-title").focus();
  if (input.text === undefined) return;
  try {
    await view.showCrystal(input, row, await crystal(input, signal));
  } catch (error) {
    if (error instanceof RequestError) view.withoutCrystal();
    throw error;
  }
}

async function answerFiles(files) {
  const inputs = await readFiles(files, limits.characters);
  if (inputs.length === 1) answerSingle(inputs[0]);
  if (inputs.length < 2) return;
  showOnly("many");
  byId("many-title").focus();
  run(() => many.run(inputs), "");
}

/** Show the answer for what was given alone; a table that there was is given up. */
function answerSingle(input) {
  many.stop();
  run(async (request) => {
    if (input.error) throw new RequestError(`${input.name}: ${input.error}`);
    await answerOne(input, request);
  });
}

function say(status) {
  byId("alert").textContent = "";
  byId("status").textContent = status;
}

function showOnly(id) {
  for (const section of ["welcome", "many", "answer"]) byId(section).hidden = section !== id;
}

byId("files").addEventListener("change", async ({ target }) => {
  await answerFiles([...target.files]);
  target.value = ""; // so that the same file can be chosen again
});
byId("formula-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("formula").value.trim();
  answerSingle({ name: text, formula: text });
});
byId("paste-form").addEventListener("submit", (event) => {
  event.preventDefault();
  answerSingle({ name: "pasted structure", text: byId("paste").value });
});
for (const button of document.querySelectorAll("[data-example]")) {
  const name = button.querySelector(".formula");
  name.replaceChildren(formula(name.textContent));
  button.addEventListener("click", () => {
    many.stop();
    run(async (request) => {
      await answerOne(await example(button.dataset.example, request.signal), request);
    });
  });
}
byId("back").addEventListener("click", () => {
  current.abort();
  say("");
  showOnly("many");
  byId("many-title").focus();
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  answerFiles([...event.dataTransfer.files]);
});
for (const table of document.querySelectorAll("#card table")) {
  const frame = el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Table of the card" });
  table.replaceWith(frame);
  frame.append(table);
}
