import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterRead } from '../sockets/reader.ts'
import { small, write } from '../sockets/writer.ts'
import { frameHeader } from './frame.ts'

/** Bytes that are copied together; a payload larger than `copied` goes by reference instead. */
const batchSize = 65_536
export const copied = 4096
/** Space left in a batch below which a new one is taken. */
const smallRest = 8192
/** Bytes waiting for the kernel from which on senders of much should wait. */
const fullAt = 262_144
/** Milliseconds after which a batch waits for no other turn, and bytes from which on it does not. */
const patience = 2
const enough = 32_768
/** Bytes from which on every sender waits; what is over that are answers and new streams. */
const stuckAt = 4 << 20
/** Bytes that the other end leaves unread, beyond which the link is cut: nothing but a fault gets there. */
export const mostUnread = 8 << 20

/**
 * What a link is about to send. The frames of one turn of the event loop leave together, and with them those of the turns
 * right behind it, for as long as each brings more: Node accepts one connection in a turn, and of a burst each would go
 * alone. Fewer packets, which a tunnel encrypts one by one, are what a link is faster by.
 *
 * A lone frame leaves at the end of the read that brought it, because somebody waits for it and no other one follows: one
 * of the stream that sent the one before, as in a talk of questions and answers. Not one after a silence: in a crowd there
 * is one before each wave, and what begins it would leave alone.
 */
export class Outbox {
  readonly #socket: Socket
  #batch = Buffer.allocUnsafeSlow(batchSize)
  /** Filled, and given to the list or the socket already, up to here. */
  #fill = 0
  #given = 0
  /** In order: parts of batches, and payloads by reference. */
  #list: Buffer[] = []
  #listed = 0
  #isScheduled = false
  /** The last turn brought something. */
  #isGrowing = false
  /** When the first of the batch came, on performance.now()'s clock. */
  #since = 0
  #lastStream = 0
  /** At the end of each turn of the event loop that something waits. */
  readonly #turn = () => {
    const mayWait = this.#isGrowing && this.#list.length === 0 && this.#fill - this.#given < enough
    if (!mayWait || performance.now() - this.#since > patience) this.flush()
    else {
      this.#isGrowing = false
      setImmediate(this.#turn)
    }
  }

  readonly #flush = () => this.flush()

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('drain', () => this.flush())
  }

  /** `payload` may be overwritten afterwards when it has at most `copied` bytes. Nothing goes behind the end. */
  add(stream: number, type: number, payload: Buffer | undefined): void {
    if (this.#socket.writableEnded) return
    const length = payload?.length ?? 0
    const inline = length <= copied
    if (this.#fill + frameHeader + (inline ? length : 0) > batchSize) this.#renew()
    const batch = this.#batch
    let at = this.#fill
    batch[at++] = stream >>> 24
    batch[at++] = stream >>> 16
    batch[at++] = stream >>> 8
    batch[at++] = stream
    batch[at++] = type
    batch[at++] = length >>> 16
    batch[at++] = length >>> 8
    batch[at++] = length
    if (payload !== undefined && inline) {
      payload.copy(batch, at)
      at += length
    }
    this.#fill = at
    if (payload !== undefined && !inline) {
      this.#give()
      this.#enlist(payload)
    }
    this.#isGrowing = true
    if (!this.#isScheduled) this.#schedule(stream, inline)
    this.#lastStream = stream
  }

  /** Bytes that the kernel has not taken. */
  get waiting(): number {
    return this.#socket.writableLength + this.#listed + this.#fill - this.#given
  }

  /** Whether a sender of much should wait until the socket has drained. */
  get isFull(): boolean {
    return this.#socket.writableNeedDrain || this.waiting > fullAt
  }

  /** Whether everybody should. */
  get isStuck(): boolean {
    return this.waiting > stuckAt
  }

  /**
   * Sends at once what waits for more. While the socket does not take what it has, more collects here until it has drained:
   * there each write would cost more than a small frame.
   */
  flush(): void {
    this.#isScheduled = this.#isGrowing = false
    if (!this.#socket.writableNeedDrain) this.#write()
  }

  /** Sends the end behind everything, and waits until the other end has closed, too; not longer than `signal` says. */
  async end(signal: AbortSignal | undefined): Promise<void> {
    const closed = once(this.#socket, 'close', { signal }).catch(() => {})
    this.#write()
    this.#socket.end()
    await closed
  }

  /** A batch begins, with a frame of this stream. Bulk is no talk: what comes right behind it goes with it. */
  #schedule(stream: number, isSmall: boolean): void {
    this.#isScheduled = true
    if (isSmall && stream === this.#lastStream) afterRead(this.#flush)
    else {
      this.#since = performance.now()
      setImmediate(this.#turn)
    }
  }

  #write(): void {
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded) return
    if (this.#list.length === 0 && this.#fill - this.#given <= small) this.#writeSmall()
    else this.#writeAll()
    // What the kernel has taken may be overwritten, what waits may not.
    if (socket.writableLength === 0) this.#fill = this.#given = 0
    else if (batchSize - this.#fill < smallRest) this.#renew()
  }

  #writeSmall(): void {
    if (this.#fill > this.#given) write(this.#socket, this.#batch, this.#given, this.#fill)
    this.#given = this.#fill
  }

  #writeAll(): void {
    const socket = this.#socket
    this.#give()
    if (this.#list.length === 1) socket.write(this.#list[0]!)
    else {
      socket.cork()
      for (const part of this.#list) socket.write(part)
      socket.uncork()
    }
    this.#list = []
    this.#listed = 0
  }

  #give(): void {
    if (this.#fill > this.#given) this.#enlist(this.#batch.subarray(this.#given, this.#fill))
    this.#given = this.#fill
  }

  #enlist(part: Buffer): void {
    this.#list.push(part)
    this.#listed += part.length
  }

  #renew(): void {
    this.#give()
    this.#batch = Buffer.allocUnsafeSlow(batchSize)
    this.#fill = this.#given = 0
  }
}
