/** What the page has shown, as entries of the browser's history: Back and Forward show it again. */

export class Visits {
  /** @param {() => void} start shows the page as it opens */
  constructor(start) {
    this.shows = new Map();
    history.replaceState(this.#noted(start), "", location.pathname);
    addEventListener("popstate", ({ state }) => {
      if (state === null || state === this.current) return; // an anchor of this page
      this.current = state;
      (this.shows.get(state) ?? start)(); // what was shown before a reload is forgotten
    });
  }

  /**
   * Add an entry for what is shown now.
   * @param {string} hash
   * @param {() => void} show shows it again
   */
  add(hash, show) {
    history.pushState(this.#noted(show), "", `#${hash}`);
  }

  #noted(show) {
    this.current = performance.timeOrigin + this.shows.size; // a reload has other numbers
    this.shows.set(this.current, show);
    return this.current;
  }
}
