/** Bytes on the way for bulk, at least: as many as a short path needs, and fewer while others would queue behind them. */
const leastAlone = 4 << 20
const leastShared = 1 << 20
const most = 32 << 20
/** Twice what the path holds: room for the rate to grow into. */
const gain = 2
/** Samples, of about 100 ms, whose best rate counts. */
const samples = 20
/** Milliseconds after which the shortest round trip is looked for anew, and how long that takes at least. */
const shortestFor = 10_000
const searchFor = 300

/**
 * How many bytes of bulk may be on the way to this end: as many as the path holds, bandwidth times delay, so that small
 * messages do not wait behind them. The model is BBR's: the best rate of late, and the shortest round trip of late, which
 * can only be seen while the queues are empty; so every ten seconds the window is halved for a moment.
 */
export class Pace {
  #roundTrip: number | undefined
  #shortest = Number.POSITIVE_INFINITY
  #shortestAt = 0
  /** While the shortest round trip is looked for: until when, and what was found. */
  #searchUntil = 0
  #found = Number.POSITIVE_INFINITY
  #bytes = 0
  #sampledAt = 0
  /** Bytes per millisecond. */
  readonly #rates: number[] = []
  #bestRate = 0
  #isShared = true

  /** Milliseconds of the last ping. */
  get roundTrip(): number | undefined {
    return this.#roundTrip
  }

  /** Bytes, for all bulk together. */
  get window(): number {
    const held = gain * this.#bestRate * this.#shortest
    const least = this.#isShared ? leastShared : leastAlone
    const window = Math.min(Math.max(Number.isFinite(held) ? held : 0, least), most)
    return this.#searchUntil > 0 ? window / 2 : window
  }

  delivered(bytes: number): void {
    this.#bytes += bytes
  }

  answered(roundTrip: number, now: number): void {
    this.#roundTrip = roundTrip
    this.#found = Math.min(this.#found, roundTrip)
    if (roundTrip > this.#shortest) return
    this.#shortest = roundTrip
    this.#shortestAt = now
  }

  /** To be called about every 100 ms while there is bulk. `isShared`: other streams are busy beside it. */
  sample(now: number, isShared: boolean): void {
    this.#isShared = isShared
    const elapsed = now - this.#sampledAt
    this.#sampledAt = now
    const rate = elapsed < 1000 ? this.#bytes / elapsed : 0
    this.#bytes = 0
    this.#rates.push(rate)
    if (this.#rates.length > samples) this.#rates.shift()
    this.#bestRate = Math.max(...this.#rates)
    this.#search(now)
  }

  #search(now: number): void {
    if (this.#searchUntil === 0) {
      if (now - this.#shortestAt < shortestFor) return
      this.#searchUntil = now + Math.max(searchFor, 3 * (this.#roundTrip ?? 0))
      this.#found = Number.POSITIVE_INFINITY
    } else if (now >= this.#searchUntil) {
      this.#searchUntil = 0
      this.#shortest = this.#found
      this.#shortestAt = now
    }
  }
}
