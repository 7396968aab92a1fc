/** Ports at a time; the one that has rested longest goes. A third of those that Linux gives, so that another one is soon found. */
const mostResting = 8192

/**
 * Source ports that are nobody's for a while. What is sent from a port, or still comes to it, would be taken for whose it was a
 * moment ago. Times are on performance.now()'s clock.
 */
export class RestingPorts {
  // In the order in which they came.
  readonly #until = new Map<number, number>()

  /** @param until no earlier than what it was given for this port before */
  add(port: number, until: number): void {
    this.#until.delete(port)
    this.#until.set(port, until)
    if (this.#until.size <= mostResting) return
    for (const first of this.#until.keys()) {
      this.#until.delete(first)
      break
    }
  }

  has(port: number, now: number): boolean {
    const until = this.#until.get(port)
    if (until === undefined) return false
    if (now < until) return true
    this.#until.delete(port)
    return false
  }
}
