/** The page: what the user gives -> one answer, or a table of many. */

import { AnswerView } from "./answer_view.js";
import { RequestError, crystal, example, family, predict } from "./api.js";
import { byId, el } from "./dom.js";
import { Many } from "./many.js";
import { readFiles } from "./read_files.js";
import { formula } from "./text.js";
import { Visits } from "./visits.js";

const limits = {
  batch: Number(document.body.dataset.batch),
  characters: Number(document.body.dataset.characters),
};
const narrow = matchMedia("(max-width: 48rem)"); // one column, as in page.css
const examples = document.querySelectorAll("[data-example]");
let current = new AbortController(); // of what the page waits for, besides a table
let shown = current; // of what it shows
const view = new AnswerView((input) =>
  run((request) => answerOne(input, request, { table: many.job })));
const many = new Many(limits, (input, row) =>
  run((request) => answerOne(input, request, { row, table: many.job })), fail);
const visits = new Visits(() => {
  stopWaiting();
  showOnly("welcome");
});

/** Do one thing, and no longer what was done before; a failure is shown as one sentence. */
async function run(task, status = "Predicting…") {
  current.abort();
  const request = (current = new AbortController());
  say(status);
  try {
    await task(request);
  } catch (error) {
    if (error.name === "AbortError") return;
    byId("before").hidden = shown === request || !byId("welcome").hidden;
    fail(error);
  } finally {
    if (request === current) byId("status").textContent = "";
  }
}

function fail(error) {
  byId("alert").textContent =
    error instanceof RequestError ? error.message : `The page failed: ${error.message}`;
  if (narrow.matches) byId("results").scrollIntoView();
  if (!(error instanceof RequestError)) throw error;
}

/**
 * Show the answer for one crystal; a row that is known already is not asked for again. `table` is
 * the one that it belongs to; another one is stopped.
 */
async function answerOne(input, request, { row, table }) {
  row ??= (await predict([input], request.signal))[0];
  if (row.error) throw new RequestError(`${input.name}: ${row.error}`);
  const show = (waiting) => showAnswer(input, row, table, waiting);
  visits.add("answer", () => run(show, ""));
  await show(request);
}

async function showAnswer(input, row, table, request) {
  const { signal } = (shown = request);
  many.show(table);
  showOnly("answer", input.example);
  byId("back").hidden = !table;
  view.showAnswer(input, row);
  reveal("answer-title");
  if (input.text === undefined) {
    view.showFamily(row, await family(input.formula, signal));
    return;
  }
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
  run(() => {
    const done = many.run(inputs);
    openTable(many.job);
    return done;
  }, "");
}

function openTable(table) {
  const show = () => {
    stopWaiting();
    shown = current;
    many.show(table);
    showOnly("many");
    reveal("many-title");
  };
  visits.add("many", show);
  show();
}

/** Show the answer for what was given alone; a table that there was is then given up. */
function answerSingle(input) {
  run(async (request) => {
    if (input.error) throw new RequestError(`${input.name}: ${input.error}`);
    await answerOne(input, request, {});
  });
}

function say(status) {
  byId("alert").textContent = "";
  byId("before").hidden = true;
  byId("status").textContent = status;
}

function stopWaiting() {
  current.abort();
  say("");
}

/** Show one section, and which example it answers. */
function showOnly(id, example) {
  for (const section of ["welcome", "many", "answer"]) byId(section).hidden = section !== id;
  for (const button of examples) {
    if (button.dataset.example === example) button.setAttribute("aria-pressed", "true");
    else button.removeAttribute("aria-pressed");
  }
}

/** Bring a title into view; in one column it would stand at the lower edge. */
function reveal(id) {
  byId(id).focus();
  if (narrow.matches) byId(id).scrollIntoView();
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
for (const button of examples) {
  const name = button.querySelector(".formula");
  name.replaceChildren(formula(name.textContent));
  button.addEventListener("click", () => {
    const id = button.dataset.example;
    run(async (request) => {
      await answerOne({ ...(await example(id, request.signal)), example: id }, request, {});
    });
  });
}
byId("back").addEventListener("click", () => openTable(many.job));
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
