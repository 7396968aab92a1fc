import type { Socket } from 'node:net'
import type { Timeouts } from '../config/config.ts'
import { systemCode } from '../errors.ts'
import type { Deadlines, Timed } from './deadlines.ts'
import { reset } from './reset.ts'

/** How a relayed connection ended. */
export type RelayEnd =
  | 'complete'
  | 'client-reset'
  | 'target-reset'
  | 'idle-timeout'
  | 'half-closed-timeout'
  | 'drain-timeout'

/** Who a relay works for. */
export interface RelayOwner {
  readonly deadlines: Deadlines
  /** `idle` and `halfClosed` count here. */
  readonly timeouts: Timeouts
  /** Both sockets are closed. */
  done(end: RelayEnd, detail: string | undefined): void
}

/** A socket with its place in a relay: state on the socket spares a closure per connection. */
interface Side extends Socket {
  relay: Relay
  other: Side
}

/**
 * Bytes between a client's socket and a target's, both ways, until both directions are done or one side fails.
 *
 * - Back-pressure: a side is read only while the other takes what was read, so at most a socket buffer
 *   (`highWaterMark`) and one read are held for each direction.
 * - Half-close: the end of one direction is passed on after its last byte; the other direction goes on.
 * - Silence: a relay in which nothing moves for `idle`, or `halfClosed` once one direction has ended, is reset.
 * - A reset is passed on as a reset, never as an end: the far side must not take a cut stream for a whole one.
 */
export class Relay implements Timed {
  deadline = 0
  /** Client to target. */
  receivedBytes = 0
  /** Target to client. */
  sentBytes = 0
  readonly #client: Side
  readonly #target: Side
  readonly #owner: RelayOwner
  #end: RelayEnd = 'complete'
  #detail: string | undefined
  #open = 2
  /** Bytes at the last look for silence, and when they last were others; on performance.now()'s clock. */
  #moved = -1
  #movedAt = 0

  /**
   * Both sockets are connected, `allowHalfOpen`, and have no `data` listener of their own. `first` goes to the target
   * before anything else, `firstBytes` of it came from the client.
   */
  constructor(
    client: Socket,
    target: Socket,
    first: Buffer | undefined,
    firstBytes: number,
    owner: RelayOwner,
  ) {
    this.#client = client as Side
    this.#target = target as Side
    this.#owner = owner
    this.receivedBytes = firstBytes
    this.#join(this.#client, this.#target)
    this.#join(this.#target, this.#client)
    const ready = first === undefined || target.write(first)
    if (client.readableEnded) target.end()
    else if (ready) client.resume()
    else client.pause()
    this.expire()
  }

  /** Looks for silence, four times within its limit: it ends at most a quarter late, and no byte sets a timer. */
  expire(): void {
    const { deadlines, timeouts } = this.#owner
    const { idle, halfClosed } = timeouts
    const limit = this.#isHalfClosed && (idle === 0 || halfClosed < idle) ? halfClosed : idle
    if (limit === 0) return
    const now = performance.now()
    const moved = this.receivedBytes + this.sentBytes
    if (moved !== this.#moved) {
      this.#moved = moved
      this.#movedAt = now
    }
    if (now - this.#movedAt < limit) deadlines.set(this, limit / 4)
    else this.abort(limit === idle ? 'idle-timeout' : 'half-closed-timeout', `nothing moved for ${limit} ms`)
  }

  /** One direction has ended, the other has not. */
  get #isHalfClosed(): boolean {
    return this.#client.readableEnded !== this.#target.readableEnded
  }

  /** Ends both sides with a reset. */
  abort(end: RelayEnd, detail?: string): void {
    if (this.#end === 'complete') {
      this.#end = end
      this.#detail = detail
    }
    reset(this.#client)
    reset(this.#target)
  }

  #join(side: Side, other: Side): void {
    side.relay = this
    side.other = other
    side.on('data', Relay.#onData)
    side.on('drain', Relay.#onDrain)
    side.on('end', Relay.#onEnd)
    side.on('error', Relay.#onError)
    side.on('close', Relay.#onClose)
  }

  static #onData(this: Side, chunk: Buffer): void {
    const relay = this.relay
    if (this === relay.#client) relay.receivedBytes += chunk.length
    else relay.sentBytes += chunk.length
    if (!this.other.write(chunk)) this.pause()
  }

  static #onDrain(this: Side): void {
    this.other.resume()
  }

  static #onEnd(this: Side): void {
    const { other, relay } = this
    // With nothing left to read or write, close() alone sends the FIN: one system call less than shutdown() first.
    if (other.readableEnded && other.writableLength === 0) other.destroy()
    else other.end()
    if (relay.#isHalfClosed) relay.expire()
  }

  static #onError(this: Side, error: Error): void {
    this.relay.#fail(this, systemCode(error) ?? error.message)
  }

  static #onClose(this: Side): void {
    const relay = this.relay
    if (!this.readableEnded) relay.#fail(this, undefined)
    if (--relay.#open > 0) return
    relay.#owner.deadlines.clear(relay)
    relay.#owner.done(relay.#end, relay.#detail)
  }

  #fail(side: Side, detail: string | undefined): void {
    this.abort(side === this.#client ? 'client-reset' : 'target-reset', detail)
  }
}
