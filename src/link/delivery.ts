import { exactCopy, mayPin, ownSize, pin, type ReadSocket } from '../sockets/reader.ts'
import { write } from '../sockets/writer.ts'
import { Held } from './held.ts'
import { copied } from './outbox.ts'
import type { Reset } from './reset-reason.ts'
import type { Holder, Holdings } from './unread.ts'

/** Bytes that are written at once of what was held. */
const mostWritten = 65_536

/** The stream that it is for. */
export interface Receiver {
  abort(why: Reset): void
  /** The local socket takes more. */
  taken(): void
  /** It has taken all that had to wait. */
  drained(local: ReadSocket): void
}

/**
 * What a link brings for one stream, on its way to the local socket. While that takes everything, parts are written as
 * they lie in the link's read buffer. Once it does not they are copied together: a part by itself would keep the whole
 * read buffer, and each write that waits costs more than a small message.
 */
export class Delivery implements Holder {
  /** Is told each part that arrives before there is a local socket; it must not keep it. */
  told: ((part: Buffer) => void) | undefined
  counted = 0
  readonly #holdings: Holdings
  readonly #stream: Receiver
  #local: ReadSocket | undefined
  #held: Held | undefined
  /** Bytes of memory that a write which waits refers to. */
  #pinned = 0
  /** A write is under way that `#taken` is called after. */
  #isWaiting = false
  #onTaken: (() => void) | undefined
  #isOver = false

  /** @param holdings what it holds is counted there. */
  constructor(holdings: Holdings, stream: Receiver) {
    this.#holdings = holdings
    this.#stream = stream
  }

  /** Whether the socket has been given everything. */
  get isDone(): boolean {
    return !this.#isWaiting
  }

  get unread(): number {
    if (this.#isOver) return 0
    const isWritten = this.#local === undefined || this.#local.writableLength === 0
    return (this.#held?.cost ?? 0) + (isWritten ? 0 : this.#pinned)
  }

  abort(why: Reset): void {
    this.#stream.abort(why)
  }

  /** `first` goes before what has arrived, in one piece with it. */
  attach(local: ReadSocket, first: Buffer | undefined): void {
    this.#local = local
    this.told = undefined
    const bytes = this.#rest(first)
    if (bytes === undefined) return
    const goesOn = local.write(bytes)
    this.#pinned = bytes.length
    this.#holdings.count(this)
    if (goesOn) this.#stream.taken()
  }

  /** @param part of the link's read buffer. */
  deliver(part: Buffer): void {
    if (this.#isOver) return
    const local = this.#local
    if (local === undefined || this.#isWaiting) this.#keep(part)
    else if (local.writableLength > 0) this.#write(exactCopy(part))
    else {
      const isCopied = part.length <= copied || !mayPin()
      const goesOn = isCopied ? write(local, part) : local.write(part)
      if (local.writableLength > 0) {
        this.#pinned = isCopied ? Math.max(part.length, Buffer.poolSize) : ownSize
        if (!isCopied) pin()
        this.#holdings.count(this)
      }
      if (goesOn) this.#stream.taken()
    }
  }

  /** The socket has drained. */
  drained(): void {
    if (this.#isWaiting) return
    this.#pinned = 0
    if (this.counted > 0) this.#holdings.count(this)
    this.#stream.taken()
  }

  /** Nothing follows: the end goes behind what waits, once there is a socket. */
  end(): void {
    const local = this.#local
    if (local === undefined) return
    const rest = this.#rest()
    if (rest !== undefined) this.#write(rest)
    local.end()
  }

  /** What follows comes another way, or not at all: it holds no more than its socket does. */
  close(): void {
    this.#isOver = true
    this.#held?.clear()
    this.#held = undefined
    this.told = undefined
    if (this.counted > 0) this.#holdings.count(this)
  }

  #keep(part: Buffer): void {
    this.#held ??= new Held()
    const { cost } = this.#held
    this.#held.keep(part)
    if (this.#held.cost > cost) this.#holdings.count(this)
    // Last: who is told may end the stream, and with it what is held.
    this.told?.(part)
  }

  #write(bytes: Buffer): void {
    this.#isWaiting = true
    this.#pinned += bytes.length
    this.#onTaken ??= () => this.#taken()
    this.#local!.write(bytes, this.#onTaken)
    this.#holdings.count(this)
  }

  /** All that was written is taken, or the socket is gone. */
  #taken(): void {
    const local = this.#local!
    // The end of what was held was written behind it.
    if (!local.destroyed && local.writableLength > 0) return
    this.#isWaiting = false
    this.#pinned = 0
    if (local.destroyed) return
    const rest = this.#rest(undefined, mostWritten)
    if (rest !== undefined) this.#write(rest)
    else this.#stream.drained(local)
  }

  #rest(first?: Buffer, most?: number): Buffer | undefined {
    const bytes = this.#held === undefined ? first : this.#held.take(first, most)
    if (this.#held?.length === 0) this.#held = undefined
    return bytes
  }
}
