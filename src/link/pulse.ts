import { LinkError } from './frame.ts'
import { Pace } from './pace.ts'

/**
 * Milliseconds between pings, and from when on an unanswered one makes a link doubtful, and dead. Doubtful takes new
 * connections elsewhere at once; dead cuts those that are open, so it has to outlast the two minutes that TCP may wait
 * between two tries (TCP_RTO_MAX) after a path was away. It is as long as keepalive waits on any other connection.
 */
const pingEvery = 1000
const doubtfulAfter = 2500
const deadAfter = 300_000
/** While there is bulk the path is measured more often. */
const paceEvery = 100
/** Pieces of data between two beats that make other streams busy. */
const busyParts = 4

export interface PulseOptions {
  /** Sends a ping. */
  readonly ping: () => void
  readonly dead: (why: string) => void
}

/** Whether the far end of a link is there, and what the path holds. */
export class Pulse {
  readonly pace = new Pace()
  /** Pieces of data since the last beat, those of lanes not among them. */
  parts = 0
  readonly #options: PulseOptions
  #hasBulk = false
  #timer: NodeJS.Timeout | undefined
  /** When the ping was sent that is not answered yet; on performance.now()'s clock. */
  #sentAt = 0

  constructor(options: PulseOptions) {
    this.#options = options
    this.#start(pingEvery)
  }

  /** A ping is out for so long that new connections had better go another way. */
  get isDoubtful(): boolean {
    return this.#sentAt > 0 && performance.now() - this.#sentAt > doubtfulAfter
  }

  set hasBulk(hasBulk: boolean) {
    if (hasBulk === this.#hasBulk) return
    this.#hasBulk = hasBulk
    this.#start(hasBulk ? paceEvery : pingEvery)
  }

  /** The answer to the ping. */
  answered(): void {
    if (this.#sentAt === 0) throw new LinkError('an answer to no ping')
    const now = performance.now()
    this.pace.answered(now - this.#sentAt, now)
    this.#sentAt = 0
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #start(every: number): void {
    clearInterval(this.#timer)
    this.#timer = setInterval(() => this.#beat(), every)
    this.#timer.unref()
  }

  #beat(): void {
    const now = performance.now()
    if (this.#hasBulk) this.pace.sample(now, this.parts >= busyParts)
    this.parts = 0
    if (this.#sentAt === 0) {
      this.#sentAt = now
      this.#options.ping()
    } else if (now - this.#sentAt > deadAfter) this.#options.dead(`no answer for ${deadAfter / 1000} s`)
  }
}
