import { copied, type Outbox } from './outbox.ts'

/** A stream, as far as it is told when to send. */
export interface Sender {
  /** The link takes nothing more for now. */
  block(): void
  /** The link has room again. */
  unblock(): void
}

/** The streams of one link that wait until it takes more: those that send much first, then all. */
export class Senders {
  readonly #outbox: Outbox
  readonly #streams: ReadonlyMap<number, Sender>
  #waiting: Sender[] = []
  /** All streams wait. */
  #isStuck = false

  constructor(outbox: Outbox, streams: ReadonlyMap<number, Sender>) {
    this.#outbox = outbox
    this.#streams = streams
  }

  /** Whether a stream that has sent so many bytes may send more at once; `unblock` tells when it may again. */
  mayGoOn(stream: Sender, bytes: number): boolean {
    if (this.#outbox.isStuck) this.#block()
    else if (bytes <= copied || !this.#outbox.isFull) return true
    this.#waiting.push(stream)
    return false
  }

  /** A stream has begun. */
  opened(stream: Sender): void {
    if (this.#isStuck) this.#hold(stream)
  }

  /** The socket has taken what it was given. */
  drained(): void {
    if (this.#outbox.isFull) return
    this.#isStuck = false
    const waiting = this.#waiting
    this.#waiting = []
    for (const stream of waiting) stream.unblock()
  }

  #block(): void {
    if (this.#isStuck) return
    this.#isStuck = true
    for (const stream of this.#streams.values()) this.#hold(stream)
  }

  #hold(stream: Sender): void {
    stream.block()
    this.#waiting.push(stream)
  }
}
