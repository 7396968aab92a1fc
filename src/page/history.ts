/** The last 15 minutes of the forwards as plain numbers: what the status page draws. */

export interface HistoryOptions {
  readonly read: () => readonly Counters[]
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number
}

/** What of a forward is sampled: `active` as it is, the bytes as growth since the last sample. */
export interface Counters {
  readonly name: string
  readonly active: number
  readonly receivedBytes: number
  readonly sentBytes: number
}

/** One number per sample, oldest first; at most {@link samples} of each. Of a young forward there are fewer. */
export interface Series {
  /** Open connections. */
  readonly active: readonly number[]
  /** Client to target, bytes a second. */
  readonly received: readonly number[]
  /** Target to client, bytes a second. */
  readonly sent: readonly number[]
}

/** Milliseconds between two samples. */
export const interval = 5000
/** How many there are in 15 minutes. */
export const samples = 180

const empty: Series = { active: [], received: [], sent: [] }

export class History {
  readonly #read: () => readonly Counters[]
  readonly #now: () => number
  readonly #timer: NodeJS.Timeout
  #last: { readonly at: number; readonly counters: ReadonlyMap<string, Counters> } | undefined
  #series: ReadonlyMap<string, Series> = new Map()
  #total = empty

  constructor({ read, now = () => performance.now() }: HistoryOptions) {
    this.#read = read
    this.#now = now
    this.#timer = setInterval(() => this.sample(), interval).unref()
  }

  /** Of all forwards together, those that are gone by now included. */
  get total(): Series {
    return this.#total
  }

  of(forward: string): Series {
    return this.#series.get(forward) ?? empty
  }

  /** The first one is only what the second is measured against. */
  sample(): void {
    const at = this.#now()
    const counters = new Map(this.#read().map(forward => [forward.name, forward]))
    const last = this.#last
    this.#last = { at, counters }
    if (last === undefined || at <= last.at) return
    const seconds = (at - last.at) / 1000
    const points = Array.from(counters.values(), forward =>
      pointOf(forward, last.counters.get(forward.name), seconds),
    )
    this.#series = new Map(points.map(point => [point.name, extended(this.of(point.name), point)]))
    const sum = (key: 'active' | 'received' | 'sent') =>
      points.reduce((total, point) => total + point[key], 0)
    this.#total = extended(this.#total, {
      active: sum('active'),
      received: sum('received'),
      sent: sum('sent'),
    })
  }

  close(): void {
    clearInterval(this.#timer)
  }
}

interface Point {
  readonly active: number
  readonly received: number
  readonly sent: number
}

function pointOf(
  now: Counters,
  before: Counters | undefined,
  seconds: number,
): Point & { readonly name: string } {
  return {
    name: now.name,
    active: now.active,
    received: growth(before?.receivedBytes, now.receivedBytes) / seconds,
    sent: growth(before?.sentBytes, now.sentBytes) / seconds,
  }
}

/** A forward that was made anew under its old name counts from 0. */
function growth(before = 0, now: number): number {
  return now < before ? now : now - before
}

function extended({ active, received, sent }: Series, point: Point): Series {
  const push = (numbers: readonly number[], number: number) => [...numbers.slice(1 - samples), number]
  return {
    active: push(active, point.active),
    received: push(received, point.received),
    sent: push(sent, point.sent),
  }
}
