import { LinkError } from './frame.ts'
import { copied } from './outbox.ts'

/** Bytes by which a sender may exceed its credit: one read. */
const overshoot = 262_144
/** Bytes in a run of large reads, with nothing the other way, that make a stream a long one. */
const promoteAfter = 262_144
const mostCredit = 2 ** 31

/** How much of a stream may be on the way, in each direction. */
export class Flow {
  /** Bytes that may still be sent, and that the far end may still send. */
  #credit: number
  #granted: number
  #run = 0

  constructor(credit: number, granted: number) {
    this.#credit = credit
    this.#granted = granted
  }

  get maySend(): boolean {
    return this.#credit > 0
  }

  /** Returns whether the stream has become a long one. */
  sent(length: number): boolean {
    this.#credit -= length
    // Small messages count against it: a stream of many of them shares the link with profit.
    this.#run = length > copied ? this.#run + length : Math.max(this.#run - copied, 0)
    if (this.#run <= promoteAfter) return false
    this.#run = 0
    return true
  }

  /** Returns whether it was granted. */
  received(length: number): boolean {
    // Question and answer, not a long transfer.
    this.#run = 0
    this.#granted -= length
    return this.#granted >= -overshoot
  }

  /** The far end may send more. @throws LinkError */
  credited(bytes: number): void {
    this.#credit += bytes
    if (this.#credit > mostCredit) throw new LinkError(`credit of ${this.#credit} bytes for a stream`)
  }

  /** What the far end is to be granted now, so that `window` bytes may be on the way: nothing while half of it may be. */
  refill(window: number): number {
    if (this.#granted * 2 > window) return 0
    const bytes = Math.floor(window - this.#granted)
    this.#granted += bytes
    return bytes
  }

  /** Nobody counts any more. */
  unbind(): void {
    this.#credit = Number.POSITIVE_INFINITY
    this.#granted = Number.POSITIVE_INFINITY
  }
}
