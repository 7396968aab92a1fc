import type { Socket } from 'node:net'
import { systemCode } from '../errors.ts'
import type { ReadSocket, Sink } from '../reader.ts'
import { reset } from '../reset.ts'
import { exactly, frame, LinkError } from './frame.ts'
import { copied } from './outbox.ts'
import { decodeReset, encodeReset, type Reset } from './reset-reason.ts'
import type { Session } from './session.ts'

/** Bytes by which a sender may exceed its credit: one read. */
export const overshoot = 262_144
/** Bytes in a run of large reads, with nothing the other way, that make a stream a long one. */
const promoteAfter = 262_144

const mostCredit = 2 ** 31

/** How a stream ended. `local` is the socket at this end, `far` the one at the other. */
export type StreamEnd = 'complete' | 'local-reset' | 'far-reset' | 'link-lost' | 'aborted'

export interface StreamOwner {
  /** Called once: both directions are done and the local socket is closed, or the stream was cut. */
  streamEnded(end: StreamEnd, why: Reset | undefined): void
  /** One direction has ended, the other has not. */
  halfClosed(): void
}

/** A socket of a stream: the local one, or its lane. */
interface StreamSocket extends ReadSocket {
  stream: Stream
}

/**
 * One connection across a link: a local socket here, another at the other end, and between them frames. A long one is
 * promoted: at a marked byte of each direction it moves from the frames to a lane, a tunnel connection of its own.
 *
 * - Credit: the far end says how much may be sent; so a reader that stops costs its own stream only, and bulk does not
 *   queue in front of everyone. It is spent and given on lanes, too, and without a link no more.
 * - Half-close: `end` after the last byte, or FIN on the lane. A reset is told as one, never as an end.
 */
export class Stream implements Sink {
  readonly id: number
  /** From the far end to the local socket, and the other way. */
  receivedBytes = 0
  sentBytes = 0
  #session: Session | undefined
  #owner: StreamOwner | undefined
  #local: StreamSocket | undefined
  #lane: StreamSocket | undefined
  /** What arrived before there was a local socket. */
  #held: Buffer[] = []
  /** Bytes that may still be sent. */
  #credit: number
  /** Bytes that the far end may still send. */
  #granted: number
  #localEnded = false
  #farEnded = false
  /** The transport is full; it tells when it has room. */
  #isBlocked = false
  #run = 0
  /** What the far end sends comes on the lane from now on. */
  #isSwitched = false
  #isOver = false

  constructor(session: Session, id: number, credit: number, granted: number) {
    this.#session = session
    this.id = id
    this.#credit = credit
    this.#granted = granted
  }

  /** Who is told of its end. */
  own(owner: StreamOwner): void {
    this.#owner = owner
  }

  get isPromoted(): boolean {
    return this.#lane !== undefined
  }

  get isHalfClosed(): boolean {
    return this.#localEnded !== this.#farEnded
  }

  /**
   * Joins it with a connected socket that has no listeners for data of its own. `toLocal` is written before what has
   * arrived, in one piece with it; `toFar` was read from the socket already.
   */
  attach(socket: Socket, toLocal: Buffer | undefined, toFar: Buffer | undefined): void {
    const local = socket as StreamSocket
    local.stream = this
    local.sink = this
    this.#local = local
    local.on('data', Stream.#onData)
    local.on('end', Stream.#onEnd)
    local.on('drain', Stream.#onDrain)
    local.on('error', Stream.#onError)
    local.on('close', Stream.#onClose)
    const first = toLocal === undefined ? this.#held : [toLocal, ...this.#held]
    this.#held = []
    if (first.length > 0) this.#tookIn(local.write(first.length === 1 ? first[0]! : Buffer.concat(first)))
    if (toFar !== undefined) this.#send(toFar, false)
    if (this.#farEnded) local.end()
    if (local.readableEnded) this.#endHere()
    else this.#gate()
    this.#readLane()
  }

  /** Cuts it at both ends. */
  abort(why: Reset): void {
    this.#session?.send(this.id, frame.reset, encodeReset(why))
    this.#over('aborted', why)
  }

  // What the session hands over.

  data(part: Buffer): void {
    this.receivedBytes += part.length
    this.#granted -= part.length
    // Question and answer, not a long transfer.
    this.#run = 0
    if (this.#granted < -overshoot || this.#isSwitched || this.#farEnded)
      throw new LinkError(`data for stream ${this.id} beyond its credit, its end or its switch`)
    const local = this.#local
    // The part refers to the link's read buffer.
    if (local === undefined) {
      this.#held.push(Buffer.from(part))
      return
    }
    this.#tookIn(local.write(part))
    if (local.writableLength > 0) this.#session?.holdBuffer()
  }

  /** A frame about this stream. Returns whether it is of a type that there is. */
  control(type: number, payload: Buffer): boolean {
    if (type === frame.end) this.#endThere()
    else if (type === frame.reset) this.#over('far-reset', decodeReset(payload))
    else if (type === frame.credit) this.#credited(exactly(4, payload).readUInt32BE())
    else if (type === frame.want) this.#session?.wanted(this)
    else if (type === frame.switch) this.#switch()
    else return false
    return true
  }

  /** The link has room again. */
  unblock(): void {
    this.#isBlocked = false
    this.#gate()
  }

  /** From here the stream's bytes travel on `lane`. */
  promote(lane: Socket): void {
    this.#lane = lane as StreamSocket
    this.#lane.stream = this
    this.#lane.sink = this
    lane.on('data', Stream.#onData)
    lane.on('end', Stream.#onLaneEnd)
    lane.on('drain', Stream.#onLaneDrain)
    lane.on('error', Stream.#onLaneError)
    lane.on('close', Stream.#onLaneClose)
    this.#session?.send(this.id, frame.switch)
    if (this.#localEnded) lane.end()
    this.#readLane()
  }

  /** The link is gone: a stream that has left it goes on, without credit. */
  linkLost(why: string): void {
    this.#session = undefined
    this.#credit = Number.POSITIVE_INFINITY
    this.#granted = Number.POSITIVE_INFINITY
    if (this.#lane !== undefined && this.#isSwitched) this.#gate()
    else this.#over('link-lost', { reason: 'reset', detail: why })
  }

  // What its sockets read.

  read(chunk: Buffer, isShared: boolean, socket: ReadSocket): boolean {
    if (this.#isOver) return false
    if (socket === this.#lane) return this.#takeFromLane(isShared ? Buffer.from(chunk) : chunk)
    return this.#send(chunk, isShared)
  }

  /** What went into frames by reference waits for the end of the turn. */
  isHeld(socket: ReadSocket): boolean {
    const to = socket === this.#lane ? this.#local : this.#lane
    return to === undefined || to.writableLength > 0
  }

  #endThere(): void {
    if (this.#farEnded) return
    this.#farEnded = true
    if (!this.#localEnded) this.#owner?.halfClosed()
    const local = this.#local
    if (local === undefined) return
    // With nothing left to read or write, close() alone sends the FIN: one system call less than shutdown() first.
    if (this.#localEnded && local.writableLength === 0) local.destroy()
    else local.end()
  }

  #credited(bytes: number): void {
    this.#credit += bytes
    if (this.#credit > mostCredit)
      throw new LinkError(`credit of ${this.#credit} bytes for stream ${this.id}`)
    this.#gate()
  }

  /** The far end's bytes come on the lane from now on. */
  #switch(): void {
    if (this.#isSwitched) throw new LinkError(`stream ${this.id} switched twice`)
    this.#isSwitched = true
    this.#readLane()
  }

  /** Returns whether more may be read. */
  #send(chunk: Buffer, isShared: boolean): boolean {
    const { length } = chunk
    this.sentBytes += length
    this.#credit -= length
    // Small messages count against it: a stream of many of them shares the link with profit.
    this.#run = length > copied ? this.#run + length : Math.max(this.#run - copied, 0)
    if (this.#lane === undefined && this.#run > promoteAfter) {
      this.#run = 0
      this.#session?.promote(this)
    }
    const bytes = isShared && (length > copied || this.#lane !== undefined) ? Buffer.from(chunk) : chunk
    if (this.#lane !== undefined) this.#isBlocked = !this.#lane.write(bytes)
    else this.#isBlocked = this.#session?.sendData(this, bytes) === false
    return this.#gate()
  }

  #takeFromLane(chunk: Buffer): boolean {
    this.receivedBytes += chunk.length
    this.#granted -= chunk.length
    this.#session?.delivered(chunk.length)
    const goOn = this.#local?.write(chunk) ?? false
    this.#tookIn(goOn)
    if (!goOn) this.#lane?.pause()
    return goOn
  }

  /** The local socket took bytes; with `goOn` it takes more. Gives credit back once half of the window is used up. */
  #tookIn(goOn: boolean): void {
    const session = this.#session
    if (session === undefined) return
    if (!goOn || this.#farEnded) return
    const window = session.windowOf(this)
    if (this.#granted * 2 > window) return
    session.sendCredit(this, window - this.#granted)
    this.#granted = window
  }

  /** Reads the local socket or lets it wait. Returns which. */
  #gate(): boolean {
    const local = this.#local
    if (local === undefined) return false
    const open = this.#credit > 0 && !this.#isBlocked
    if (!open) local.pause()
    else if (local.isPaused() || !local.readableFlowing) local.resume()
    return open
  }

  #readLane(): void {
    if (this.#lane !== undefined && this.#isSwitched && this.#local !== undefined) this.#lane.resume()
  }

  #endHere(): void {
    if (this.#localEnded || this.#isOver) return
    this.#localEnded = true
    if (this.#lane !== undefined) this.#lane.end()
    else this.#session?.send(this.id, frame.end)
    if (!this.#farEnded) this.#owner?.halfClosed()
    else if (this.#local!.writableLength === 0) this.#local!.destroy()
  }

  #over(end: StreamEnd, why: Reset | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#session?.remove(this)
    this.#held = []
    if (end !== 'complete') {
      if (this.#local !== undefined) reset(this.#local)
      if (this.#lane !== undefined) reset(this.#lane)
    }
    this.#owner?.streamEnded(end, why)
  }

  #fail(detail: string): void {
    if (this.#isOver) return
    const why: Reset = { reason: 'reset', detail }
    this.#session?.send(this.id, frame.reset, encodeReset(why))
    this.#over('local-reset', why)
  }

  static #onData(this: StreamSocket, chunk: Buffer): void {
    this.stream.read(chunk, false, this)
  }

  static #onEnd(this: StreamSocket): void {
    this.stream.#endHere()
  }

  static #onDrain(this: StreamSocket): void {
    const { stream } = this
    stream.#tookIn(true)
    stream.#readLane()
  }

  static #onError(this: StreamSocket, error: Error): void {
    this.stream.#fail(systemCode(error) ?? error.message)
  }

  static #onClose(this: StreamSocket): void {
    const { stream } = this
    if (stream.#localEnded && stream.#farEnded) stream.#over('complete', undefined)
    else stream.#fail('')
  }

  static #onLaneEnd(this: StreamSocket): void {
    this.stream.#endThere()
  }

  static #onLaneDrain(this: StreamSocket): void {
    this.stream.unblock()
  }

  static #onLaneError(this: StreamSocket, error: Error): void {
    this.stream.#over('far-reset', { reason: 'reset', detail: systemCode(error) ?? error.message })
  }

  static #onLaneClose(this: StreamSocket): void {
    const { stream } = this
    // A lane is closed by both ends, after both directions; earlier it was cut.
    if (!stream.#farEnded || !stream.#localEnded)
      stream.#over('far-reset', { reason: 'reset', detail: 'its lane closed' })
  }
}
