// What was seen of a few figures since the page was opened. Gateways keep nothing, so there is nothing before that.

const MOST = 300;
const EVERY = 2;

export class History {
  /** @type {Map<string, number[]>} */
  #series = new Map();
  #last = -Infinity;

  /**
   * Takes figures, unless it has just taken some.
   *
   * @param {Record<string, number>} figures by name
   * @param {number} now in seconds
   */
  add(figures, now) {
    if (now - this.#last < EVERY * 0.75) {
      return;
    }
    this.#last = now;
    for (const [name, value] of Object.entries(figures)) {
      const series = this.#series.get(name) ?? [];
      series.push(value);
      this.#series.set(name, series.slice(-MOST));
    }
  }

  /** The values of a figure, the newest last. */
  of(name) {
    return this.#series.get(name) ?? [];
  }
}
