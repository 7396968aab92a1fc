/** Whether anything moves on a connection: asked now and then, so that no byte sets a timer. */
export class Silence {
  #bytes = -1
  /** On performance.now()'s clock. */
  #since = 0

  /** @param bytes that have moved in all. Returns the milliseconds for which it has found no others. */
  lasts(bytes: number): number {
    const now = performance.now()
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#since = now
    }
    return now - this.#since
  }
}
