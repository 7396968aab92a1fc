/**
 * One timer for all connections. A deadline is a number in its item; a sweep every {@link sweepInterval} finds those
 * that have passed. Cheaper than a timer per connection, and exact enough for time-outs of seconds.
 */
export interface Timed {
  /** When, on the clock of {@link Deadlines.now}; set by `Deadlines.set`. */
  deadline: number
  expire(): void
}

/** Milliseconds; how late a deadline may be noticed. */
export const sweepInterval = 100

/** Milliseconds that a client has for its first bytes, where it comes from where others came back from. */
export const hearing = 500
/** Milliseconds that a check has for its end: those that are known end with their header. */
export const undecidedFor = 1000

export class Deadlines {
  readonly #items = new Set<Timed>()
  /** Runs while there are items: an end without traffic sleeps. */
  #timer: NodeJS.Timeout | undefined

  /** Lets `item` expire in `ms`; an earlier deadline of it is forgotten. */
  set(item: Timed, ms: number): void {
    item.deadline = performance.now() + ms
    this.#items.add(item)
    this.#timer ??= setInterval(() => this.#sweep(), sweepInterval).unref()
  }

  clear(item: Timed): void {
    this.#items.delete(item)
  }

  close(): void {
    this.#stop()
    this.#items.clear()
  }

  #sweep(): void {
    const now = performance.now()
    for (const item of this.#items) {
      if (item.deadline > now) continue
      this.#items.delete(item)
      item.expire()
    }
    if (this.#items.size === 0) this.#stop()
  }

  #stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
