import { copied, type Outbox } from './outbox.ts'
import type { Stream } from './stream.ts'

/** The streams of one link that wait until it takes more: those that send much first, then all. */
export class Senders {
  readonly #outbox: Outbox
  readonly #streams: ReadonlyMap<number, Stream>
  #waiting: Stream[] = []
  /** All streams wait. */
  #isStuck = false

  constructor(outbox: Outbox, streams: ReadonlyMap<number, Stream>) {
    this.#outbox = outbox
    this.#streams = streams
  }

  /** Whether a stream that has sent so many bytes may send more at once; `unblock` tells when it may again. */
  mayGoOn(stream: Stream, bytes: number): boolean {
    if (this.#outbox.isStuck) this.#block()
    else if (bytes <= copied || !this.#outbox.isFull) return true
    this.#waiting.push(stream)
    return false
  }

  /** A stream has begun. */
  opened(stream: Stream): void {
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

  #hold(stream: Stream): void {
    stream.block()
    this.#waiting.push(stream)
  }
}
