/** The page of reasons for a Tc, which the server makes when it is asked. */

import { RequestError, explain } from "./api.js";
import { byId, el } from "./dom.js";
import { download } from "./download.js";

export class Reasons {
  constructor() {
    byId("explain").addEventListener("click", () => this.#ask());
    byId("explain-save").addEventListener("click", () =>
      download(`${this.input.name}.html`, this.page, "text/html"));
  }

  /** @param {{name: string, text: string}} input the crystal that can be explained now */
  show(input) {
    this.request?.abort();
    this.input = input;
    byId("reasons-page").replaceChildren();
    byId("explain-save").hidden = true;
    byId("reasons-error").textContent = "";
  }

  async #ask() {
    this.request?.abort();
    const { signal } = (this.request = new AbortController());
    byId("reasons-error").textContent = "";
    byId("explaining").hidden = false;
    byId("explain").disabled = true;
    try {
      this.page = await explain(this.input, signal);
      byId("reasons-page").replaceChildren(framed(this.page));
      byId("explain-save").hidden = false;
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof RequestError)) throw error;
      byId("reasons-error").textContent = error.message;
    } finally {
      byId("explaining").hidden = true;
      byId("explain").disabled = false;
    }
  }
}

/** No script of the page is run, and it has no access to this one. */
const framed = (page) => el("iframe", { srcdoc: page, sandbox: "", title: "Reasons for this Tc" });
