import type { Socket } from 'node:net'
import { systemCode } from '../errors.ts'
import { beginning } from '../link/stream-owner.ts'
import { pass, type ReadSocket, type Sink } from '../sockets/reader.ts'
import { reset } from '../sockets/reset.ts'
import { askUnheard } from '../sockets/unheard.ts'
import { write } from '../sockets/writer.ts'
import type { Carrier } from './carrier.ts'

/** Who a relay works for. */
export interface RelayOwner {
  /** Both sockets are closed. */
  relayEnded(end: 'complete' | 'client-reset' | 'target-reset' | 'aborted', detail: string): void
  /** The client's first bytes, without those that came before its target was there. Returns whether to go on. */
  begins(bytes: Buffer): boolean
  /** One direction has ended. */
  halfClosed(): void
}

/** A socket with its place in a relay: state on the socket spares a closure per connection. */
interface Side extends ReadSocket {
  relay: Relay
  other: Side
}

/**
 * Bytes between a client's socket and a target's, both ways, until both directions are done or one side fails.
 *
 * - Back-pressure: a side is read only while the other takes what was read, so at most a socket buffer
 *   (`highWaterMark`) and one read buffer are held for each direction.
 * - Half-close: the end of one direction is passed on after its last byte; the other direction goes on.
 * - A reset is passed on as a reset, never as an end: the far side must not take a cut stream for a whole one.
 */
export class Relay implements Carrier, Sink {
  /** Client to target. */
  receivedBytes = 0
  /** Target to client. */
  sentBytes = 0
  readonly #client: Side
  readonly #target: Side
  readonly #owner: RelayOwner
  #end: 'complete' | 'client-reset' | 'target-reset' | 'aborted' = 'complete'
  #detail = ''
  #open = 2

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
    const ready = first === undefined || write(target, first)
    if (client.readableEnded) target.end()
    else if (ready) client.resume()
    else client.pause()
    target.resume()
  }

  get isHalfClosed(): boolean {
    return this.#client.readableEnded !== this.#target.readableEnded
  }

  look(): void {
    askUnheard(this.#client, this.#target)
  }

  abort(detail: string): void {
    this.#cut('aborted', detail)
  }

  read(chunk: Buffer, isShared: boolean, socket: ReadSocket): boolean {
    const side = socket as Side
    if (side === this.#client) {
      if (this.receivedBytes < beginning && !this.#owner.begins(chunk)) return false
      this.receivedBytes += chunk.length
    } else this.sentBytes += chunk.length
    return pass(chunk, isShared, side.other)
  }

  #join(side: Side, other: Side): void {
    side.relay = this
    side.sink = this
    side.other = other
    side.on('data', Relay.#onData)
    side.on('drain', Relay.#onDrain)
    side.on('end', Relay.#onEnd)
    side.on('error', Relay.#onError)
    side.on('close', Relay.#onClose)
  }

  #cut(end: 'client-reset' | 'target-reset' | 'aborted', detail: string): void {
    if (this.#end === 'complete') {
      this.#end = end
      this.#detail = detail
    }
    reset(this.#client)
    reset(this.#target)
  }

  /** Of sockets that were accepted; dialled ones read into static buffers. */
  static #onData(this: Side, chunk: Buffer): void {
    if (!this.relay.read(chunk, false, this)) this.pause()
  }

  static #onDrain(this: Side): void {
    this.other.resume()
  }

  static #onEnd(this: Side): void {
    const { other, relay } = this
    // With nothing left to read or write, close() alone sends the FIN: one system call less than shutdown() first.
    if (other.readableEnded && other.writableLength === 0) other.destroy()
    else other.end()
    if (relay.isHalfClosed) relay.#owner.halfClosed()
  }

  static #onError(this: Side, error: Error): void {
    this.relay.#fail(this, systemCode(error) ?? error.message)
  }

  static #onClose(this: Side): void {
    const relay = this.relay
    if (!this.readableEnded) relay.#fail(this, '')
    if (--relay.#open === 0) relay.#owner.relayEnded(relay.#end, relay.#detail)
  }

  #fail(side: Side, detail: string): void {
    this.#cut(side === this.#client ? 'client-reset' : 'target-reset', detail)
  }
}
