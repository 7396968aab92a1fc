import type { CheckConfig } from '../config/config.ts'
import type { Target } from './target.ts'

/** Milliseconds between two tries of a target that is down, where nothing else is configured. */
const passive: CheckConfig = { interval: 5000, rise: 1, fall: 1 }
/** Milliseconds between two tries of one that is about to change. */
const soon = 1000
/** The least pause after one that took long. */
const least = 100
/**
 * Milliseconds between two moments at which targets are tried: those of about the same time together, and the end sleeps
 * in between. Where a pause is shorter than so many of these, it counts as it is.
 */
const grid = 250
const longPause = 10 * grid
/** For so long (ms) a target that nobody stands in for is expected back at any moment. */
const atFirst = 60_000

/** One try of a target. */
export interface Try {
  /** Nobody is told any more. */
  cancel(): void
}

export interface CheckOwner {
  /** One try; it is told what became of it. */
  knock(target: Target, told: (error: string | undefined) => void): Try
  /** Another target is up. */
  isServed(): boolean
}

/**
 * Tries one target without a client, again and again: always (`check: {…}`), or only while it is down, until it answers
 * (passive). A target that a client found down, or that is between up and down, is tried every second.
 */
export class Check {
  readonly #target: Target
  readonly #owner: CheckOwner
  readonly #isPassive: boolean
  readonly #config: CheckConfig
  #knock: Try | undefined
  #timer: NodeJS.Timeout | undefined
  /** Answers, or failures, in a row that have changed nothing yet. */
  #rises = 0
  #falls = 0

  constructor(target: Target, config: CheckConfig | 'passive', owner: CheckOwner) {
    this.#target = target
    this.#owner = owner
    this.#isPassive = config === 'passive'
    this.#config = config === 'passive' ? passive : config
    this.#schedule(performance.now(), Math.random())
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#knock?.cancel()
  }

  /** Something else than this has changed the target. */
  reschedule(): void {
    if (this.#knock === undefined) this.#schedule(performance.now())
  }

  /** Now, unless one is under way. */
  try(): void {
    if (this.#knock !== undefined) return
    clearTimeout(this.#timer)
    const beganAt = performance.now()
    this.#knock = this.#owner.knock(this.#target, error => {
      this.#knock = undefined
      // What began before the target came up, and failed, tells of the time before.
      const { state, since } = this.#target
      const isLate = error !== undefined && state === 'up' && since >= beganAt
      if (!isLate) this.#learn(error)
      this.#schedule(beganAt)
    })
  }

  /** Many targets, and many ends, are not to be tried all at the same moment. */
  #schedule(from: number, jitter = 0.9 + 0.2 * Math.random()): void {
    clearTimeout(this.#timer)
    const pause = this.#pause()
    if (pause === undefined) return
    const now = performance.now()
    const next = from + pause * jitter
    const early = pause < longPause ? 0 : next % grid
    this.#timer = setTimeout(() => this.try(), Math.max(next - early - now, least)).unref()
  }

  /** Milliseconds from the beginning of one to the next; none where the target is left alone. */
  #pause(): number | undefined {
    const { interval } = this.#config
    const { state, isDead, since } = this.#target
    if (this.#isPassive && state !== 'down') return undefined
    const isChanging =
      state === 'unknown' || (state === 'down' && !isDead) || this.#rises > 0 || this.#falls > 0
    const isMissed = isDead && performance.now() - since < atFirst && !this.#owner.isServed()
    return isChanging || isMissed ? Math.min(soon, interval) : interval
  }

  #learn(error: string | undefined): void {
    const { rise, fall } = this.#config
    const target = this.#target
    const { state } = target
    if (error === undefined) {
      this.#falls = 0
      this.#rises = state === 'down' ? this.#rises + 1 : 0
      if (state === 'up' || (state === 'down' && this.#rises < rise)) return
      this.#rises = 0
      target.succeeded()
    } else {
      this.#rises = 0
      this.#falls = state === 'up' ? this.#falls + 1 : 0
      if (state === 'up' && this.#falls < fall) return
      this.#falls = 0
      target.failed(error, true)
    }
  }
}
