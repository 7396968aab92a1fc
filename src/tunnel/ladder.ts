/** What can be done for a peer whose path is dead, the cheapest first. */
export const rungs = ['recreate', 'resolve', 'port', 'restart'] as const
export type Rung = (typeof rungs)[number]

/** Milliseconds from the first rung. */
const after: Readonly<Record<Rung, number>> = { recreate: 0, resolve: 5000, port: 15_000, restart: 30_000 }

/** Milliseconds: the longest wait after the last rung, at first and at most. */
const firstWait = 10_000
const lastWait = 60_000
/** Milliseconds of health after which the next fault is a new one, and after which all waits are short again. */
const newAfter = 10_000
const healthyAfter = 60_000

/**
 * When to take which rung, for one peer. Pure.
 *
 * After the last rung it starts over, with longer and longer waits (full jitter: the two ends of a tunnel, and many
 * ends of one gateway, do not try in step). A path that comes back for less than ten seconds did not come back: the
 * ladder goes on where it was.
 */
export class Ladder {
  readonly #random: () => number
  #startedAt: number | undefined
  #next = 0
  #round = 0
  #healthySince: number | undefined

  constructor(random: () => number = Math.random) {
    this.#random = random
  }

  /** The rung that is due for a dead path, once. */
  due(now: number): Rung | undefined {
    if (this.#healthySince !== undefined && now - this.#healthySince >= newAfter) this.#startedAt = undefined
    this.#healthySince = undefined
    if (this.#startedAt === undefined) {
      this.#startedAt = now
      this.#next = 0
    }
    const rung = rungs[this.#next]
    if (rung === undefined) {
      this.#startedAt = now + this.#random() * Math.min(firstWait * 2 ** this.#round, lastWait)
      this.#next = 0
      this.#round++
      return undefined
    }
    if (now - this.#startedAt < after[rung]) return undefined
    this.#next++
    return rung
  }

  /** The path is fine at this time. */
  healthy(now: number): void {
    this.#healthySince ??= now
    if (now - this.#healthySince >= healthyAfter) this.#round = 0
  }
}
